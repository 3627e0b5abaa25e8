//! GCRA once more, slow and plain: what SPEC 4 says of one counter, in exact integers over the whole time line.
//!
//! The k-th event since time began starts at `ceil(k * T)`, T = 1 s / `event_limit`; n events after a TAT lies the same place n
//! cells further. A batch conforms if its new TAT is at most `now` + burst * T.

use tollbar::ratelimit::Limits;

const SECOND: u128 = 1_000_000_000;
/// Burst * T of the largest burst.
const MAX_TOLERANCE: u64 = 1_000_000 * 1_000_000_000;
/// Later instants count as this one.
pub(crate) const END_OF_TIME: u64 = 1 << 62;
/// Nobody waits longer.
pub(crate) const LONGEST_WAIT: u64 = 1 << 60;

/// The limits of one counter.
#[derive(Clone, Copy)]
pub(crate) struct Gcra {
    event_limit: u128,
    burst_multiplier: u128,
}

impl Gcra {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            event_limit: limits.event_limit.into(),
            burst_multiplier: limits.burst_multiplier.into(),
        }
    }

    /// The largest batch that ever fits.
    pub(crate) fn burst(self) -> u64 {
        (self.event_limit * self.burst_multiplier) as u64
    }

    /// Burst * T, in nanoseconds.
    pub(crate) fn tolerance(self) -> u64 {
        (self.burst_multiplier * SECOND) as u64
    }

    /// An instant as TATs have it, which don't change with the burst: what a client has room for, in time, is its own
    /// whatever the limits become, and ends with `now`.
    pub(crate) fn instant(self, now: u64) -> u64 {
        now.min(END_OF_TIME) + (MAX_TOLERANCE - self.tolerance())
    }

    /// The TAT after these events, and how long to wait until they fit. `None`: never.
    pub(crate) fn after(self, tat: u64, now: u64, n: u64) -> Option<(u64, u64)> {
        if n > self.burst() {
            return None;
        }
        let now = self.instant(now);
        let arrival = u128::from(tat.max(now));
        let start = |cell: u128| (cell * SECOND).div_ceil(self.event_limit);
        let cell = arrival * self.event_limit / SECOND;
        let after = (arrival + start(cell + u128::from(n)) - start(cell)) as u64;
        Some((after, after.saturating_sub(now + self.tolerance())))
    }

    /// The largest batch that fits now.
    pub(crate) fn remaining(self, tat: u64, now: u64) -> u64 {
        let fits = |n| self.after(tat, now, n).is_some_and(|(_, wait)| wait == 0);
        if !fits(0) {
            return 0;
        }
        let (mut fitting, mut too_many) = (0, self.burst() + 1);
        while too_many - fitting > 1 {
            let middle = fitting + (too_many - fitting) / 2;
            if fits(middle) {
                fitting = middle;
            } else {
                too_many = middle;
            }
        }
        fitting
    }
}
