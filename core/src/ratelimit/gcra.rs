//! GCRA, the generic cell rate algorithm (ITU-T I.371, annex A.1; Turner's leaky bucket as a meter): pure
//! arithmetic, with no storage and no clock.
//!
//! A counter is one number, its theoretical arrival time (TAT), in nanoseconds. A batch of n events conforms at
//! `now` if and only if `max(TAT, now) + n*T <= now + burst*T`, where T = 1 s / `event_limit` is the emission
//! interval; the TAT then becomes the left side.
//!
//! # No drift
//!
//! T is seldom a whole number of nanoseconds (1/300 s is not), and a TAT is. Rounding T would change the rate, so
//! instead the time line is cut into an exact grid: the k-th event of each second starts at `ceil(k*T)`. A TAT is a
//! cell of that grid and a phase within it; n events later it is n cells further, at the same phase. Every second has
//! the same `event_limit` cells, so exactly that many events fit each second, for ever. A counter that starts on the
//! grid, for instance at a whole second, behaves to the nanosecond as one with exact arithmetic.
//!
//! In general, call B the exact place of a TAT b: where its cell starts before rounding, plus the phase. Then
//! b - 1 < B <= b, and charging n moves B by n*T: exactly, but for the one phase that only the longer cells have (they
//! differ by 1 ns), which a shorter cell rounds up to the next one, once. So B never shrinks and never moves by less than
//! what is charged, and n events on one counter that were admitted from `first` to `last` satisfy
//! n*T < last - first + 1 ns + burst*T. That is P1 for one counter, in every half-open window of whole nanoseconds: an
//! instant that is given in nanoseconds is a nanosecond long. 64 bits cannot do better: two counters with the same TAT may
//! owe different fractions.
//!
//! # Other limits on the same counter
//!
//! [`Gcra::instant`] moves `now` by M - tolerance, where M is the longest tolerance that any limits have. On that line a batch conforms if and
//! only if its new TAT is at most `now` + M (plus the wait, of a reservation, which counts when the wait is over), whatever the limits, in
//! which order and by how many threads at once they are used. And a charge moves the TAT by n*T from `now` + M - tolerance or later. So what a
//! counter admits in a window of length W, while its limits change, is at most the highest rate x (W + the longest tolerance) of those in force: P7,
//! for the larger of each limit. A client keeps its room in time: a larger burst gives none to who has used up a smaller one, and there
//! and back changes nothing.
//!
//! # Invariants
//!
//! - A TAT never shrinks.
//! - For `now <= MAX_NOW` and a TAT that this module made, nothing overflows: see [`MAX_NOW`].

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// The latest instant that is told apart from later ones, in nanoseconds: 2^62, or 146 years. A later `now` counts
/// as this one, so time stands still there and nothing overflows: the largest TAT is `MAX_NOW` + twice the longest
/// burst tolerance (10^15) + [`MAX_WAIT`], far below 2^63.
pub(crate) const MAX_NOW: u64 = 1 << 62;

/// The longest burst tolerance, in nanoseconds.
const MAX_TOLERANCE: u64 = crate::config::MAX_BURST_MULTIPLIER as u64 * SECOND;

/// The latest that [`Gcra::instant`] makes of any `now`.
const MAX_INSTANT: u64 = MAX_NOW + MAX_TOLERANCE;

/// The longest wait that a reservation may ask for, in nanoseconds: about 36 years.
pub(crate) const MAX_WAIT: u64 = 1 << 60;

/// A rate and a burst, ready for use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    event_limit: u64,
    burst: u64,
    /// Burst tolerance, burst x T: a whole number of seconds, since burst is a multiple of `event_limit`.
    tolerance: u64,
    /// How far the time line is moved: by what the tolerance lacks of the longest one.
    moved_by: u64,
    /// T in whole nanoseconds, rounded down.
    interval: u64,
    /// The rest of T in units of 2^-64 ns, rounded down; 0 if T is a whole number of nanoseconds.
    interval_fraction: u64,
}

/// What GCRA says of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conformance {
    /// It fits after `wait` nanoseconds (0 unless it was reserved); the counter's new TAT.
    Conforming {
        /// The TAT to store.
        tat: u64,
        /// Nanoseconds that the caller must wait before it accepts the batch.
        wait: u64,
    },
    /// It does not fit now; it will after this many nanoseconds, if nothing else is charged.
    NonConforming {
        /// Nanoseconds, exact.
        retry_after: u64,
    },
    /// It is larger than the burst and never fits.
    ExceedsBurst,
}

impl Gcra {
    /// A limit of `event_limit` events a second (1 to 10^9) with a burst of `event_limit * burst_multiplier`
    /// (multiplier 1 to 10^6). Values outside are taken as the nearest one inside.
    #[must_use]
    pub fn new(event_limit: u32, burst_multiplier: u32) -> Self {
        let event_limit = u64::from(event_limit.clamp(1, crate::config::MAX_EVENT_LIMIT));
        let multiplier = u64::from(burst_multiplier.clamp(1, crate::config::MAX_BURST_MULTIPLIER));
        let rest = u128::from(SECOND % event_limit);
        Self {
            event_limit,
            burst: event_limit * multiplier,
            tolerance: multiplier * SECOND,
            moved_by: MAX_TOLERANCE - multiplier * SECOND,
            interval: SECOND / event_limit,
            // rest < event_limit, so the quotient is below 2^64.
            interval_fraction: ((rest << 64) / u128::from(event_limit)) as u64,
        }
    }

    /// The largest batch that ever fits.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// Burst tolerance in nanoseconds: how far a TAT can lie ahead of now.
    #[must_use]
    pub const fn tolerance(&self) -> u64 {
        self.tolerance
    }

    /// `now` on the time line on which TATs of any limits agree: all calls for one counter have their `now` from here, or none has. Moved
    /// by whole seconds, so that the grid stays where it is. Instants after [`MAX_NOW`] are not told apart.
    #[inline]
    #[must_use]
    pub(crate) fn instant(&self, now: u64) -> u64 {
        now.min(MAX_NOW) + self.moved_by
    }

    /// The reverse of [`Gcra::instant`], for an instant or a TAT under limits with this multiplier.
    #[inline]
    #[must_use]
    pub(crate) fn on_the_callers_clock(instant: u64, burst_multiplier: u32) -> u64 {
        let tolerance = u64::from(burst_multiplier) * SECOND;
        instant.saturating_sub(MAX_TOLERANCE.saturating_sub(tolerance))
    }

    /// Would `n` events fit a counter with this TAT at `now`, or within `max_wait` nanoseconds from then?
    #[inline]
    #[must_use]
    pub fn conform(&self, tat: u64, now: u64, n: u64, max_wait: u64) -> Conformance {
        if n > self.burst {
            return Conformance::ExceedsBurst;
        }
        let now = now.min(MAX_INSTANT);
        let arrival = tat.max(now);
        let new_tat = arrival + self.cost(arrival, n);
        let wait = new_tat.saturating_sub(now + self.tolerance);
        if wait <= max_wait.min(MAX_WAIT) {
            Conformance::Conforming { tat: new_tat, wait }
        } else {
            Conformance::NonConforming { retry_after: wait }
        }
    }

    /// How many events a counter with this TAT still has room for at `now`.
    #[inline]
    #[must_use]
    pub fn remaining(&self, tat: u64, now: u64) -> u64 {
        let now = now.min(MAX_INSTANT);
        let arrival = tat.max(now);
        let end = now + self.tolerance;
        if end < arrival {
            return 0;
        }
        if self.interval_fraction == 0 {
            let room = end - arrival;
            return room / SECOND * self.event_limit + room % SECOND * self.event_limit / SECOND;
        }
        let from = self.cell(arrival % SECOND);
        let room = arrival % SECOND + (end - arrival);
        let to = self.cell(room % SECOND);
        // The last cell counts only if the phase lies within what is left of it.
        room / SECOND * self.event_limit + to.index - from.index - u64::from(from.phase > to.phase)
    }

    /// What `n <= burst` events add to a TAT, in nanoseconds.
    #[inline]
    fn cost(&self, tat: u64, n: u64) -> u64 {
        if self.interval_fraction == 0 {
            return n * self.interval;
        }
        let (seconds, n) = if n < self.event_limit {
            (0, n)
        } else {
            (n / self.event_limit, n % self.event_limit)
        };
        // start(j + n) - start(j), where j is the cell of the TAT, put so that little has to wait for j: what rounding
        // added to j*T is spent first, and n*T less that is rounded up.
        let cell = self.cell_index(tat % SECOND);
        let rounded_up = cell.wrapping_mul(self.interval_fraction).wrapping_neg();
        let batch = u128::from(n) * u128::from(self.interval_fraction);
        let carry = u64::from(batch as u64 > rounded_up);
        seconds * SECOND + n * self.interval + (batch >> 64) as u64 + carry
    }

    /// Where in the second the k-th cell starts: ceil(k*T). Exact for k <= 2^31, here and in [`Gcra::cost`]: what the fraction
    /// lacks, k * 2^-64, is smaller than the distance of any k*T from a whole number above it, 1/event_limit.
    #[inline]
    fn start(&self, k: u64) -> u64 {
        let fraction = u128::from(k) * u128::from(self.interval_fraction);
        k * self.interval + fraction.div_ceil(1 << 64) as u64
    }

    /// The cell that holds this nanosecond of the second.
    #[inline]
    fn cell(&self, within: u64) -> Cell {
        let index = self.cell_index(within);
        Cell {
            index,
            phase: within - self.start(index),
        }
    }

    /// The last k with ceil(k*T) <= `within`.
    #[inline]
    fn cell_index(&self, within: u64) -> u64 {
        // within < 10^9 and event_limit <= 10^9: the product fits 64 bits.
        within * self.event_limit / SECOND
    }
}

/// A nanosecond of a second, as a cell of the grid and a place in it.
struct Cell {
    index: u64,
    phase: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Charges one batch and returns whether it was admitted.
    fn charge(gcra: &Gcra, tat: &mut u64, now: u64, n: u64) -> bool {
        match gcra.conform(*tat, now, n, 0) {
            Conformance::Conforming { tat: new, wait } => {
                assert_eq!(wait, 0);
                *tat = new;
                true
            }
            _ => false,
        }
    }

    fn limits() -> impl Strategy<Value = u32> {
        prop_oneof![
            1..20u32,
            1..2000u32,
            1..=1_000_000_000u32,
            Just(300),
            Just(7),
            Just(999_999_999)
        ]
    }

    proptest! {
        /// The rule in exact rational arithmetic: TATs in units of 1/event_limit ns. However long the trace,
        /// ours are less than 1 ns earlier and less than 2 ns later, and verdicts agree unless it is about less than that.
        #[test]
        fn agrees_with_exact_arithmetic_to_a_nanosecond(
            limit in limits(), multiplier in 1..5u32, start in 0..10_000_000_000u64,
            steps in prop::collection::vec((0..2_000_000_000u64, 1..10u64, 0..4u32), 1..60),
        ) {
            let gcra = Gcra::new(limit, multiplier);
            let unit = i128::from(limit);
            let tolerance = i128::from(multiplier) * i128::from(SECOND) * unit;
            let (mut tat, mut now) = (0u64, start);
            let mut exact = 0i128;
            for (gap, n, scale) in steps {
                now += gap >> (scale * 8);
                let exact_now = i128::from(now) * unit;
                let wanted = exact.max(exact_now) + i128::from(n) * i128::from(SECOND);
                let spare = exact_now + tolerance - wanted;
                let admitted = charge(&gcra, &mut tat, now, n);
                if spare >= 2 * unit {
                    prop_assert!(admitted, "exact arithmetic admits with {} to spare", spare);
                } else if spare <= -unit {
                    prop_assert!(!admitted, "exact arithmetic lacks {}", -spare);
                }
                if admitted {
                    exact = exact.max(exact_now) + i128::from(n) * i128::from(SECOND);
                    let late = i128::from(tat) * unit - exact;
                    prop_assert!(-unit < late && late < 2 * unit);
                }
            }
        }

        /// Where the counter starts at a whole second and is kept busy, verdicts are those of exact arithmetic.
        #[test]
        fn a_counter_that_starts_on_the_grid_is_exact(
            limit in limits(), multiplier in 1..5u32, start in 0..10u64,
            steps in prop::collection::vec((0..2_000_000_000u64, 1..10u64, 0..4u32), 1..60),
        ) {
            let gcra = Gcra::new(limit, multiplier);
            let unit = i128::from(limit);
            let tolerance = i128::from(multiplier) * i128::from(SECOND) * unit;
            let (mut tat, mut now) = (0u64, start * SECOND);
            let mut exact = i128::from(now) * unit;
            for (gap, n, scale) in steps {
                let busy = now.max((exact / unit) as u64);
                now = (now + (gap >> (scale * 8))).min(busy);
                let wanted = exact + i128::from(n) * i128::from(SECOND);
                let conforms = wanted <= i128::from(now) * unit + tolerance;
                prop_assert_eq!(charge(&gcra, &mut tat, now, n), conforms);
                if conforms {
                    exact = wanted;
                }
            }
        }

        /// P1 for one counter, strictly, in every half-open window, under any sequence of batches.
        #[test]
        fn p1_one_counter_never_exceeds_its_bound(
            limit in limits(), multiplier in 1..4u32,
            steps in prop::collection::vec((0..1_500_000_000u64, 1..50u64, 0..4u32), 1..50),
        ) {
            let gcra = Gcra::new(limit, multiplier);
            let (mut tat, mut now) = (0u64, 0u64);
            let mut admitted: Vec<(u64, u64)> = Vec::new();
            for (gap, n, scale) in steps {
                now += gap >> (scale * 8);
                // As much as fits, greedily: a batch, then whatever remains.
                for n in [n.min(gcra.burst()), gcra.remaining(tat, now)] {
                    if n > 0 && charge(&gcra, &mut tat, now, n) {
                        admitted.push((now, n));
                    }
                }
            }
            for (i, &(from, _)) in admitted.iter().enumerate() {
                let mut sum = 0u128;
                for &(at, n) in &admitted[i..] {
                    sum += u128::from(n);
                    let window = u128::from(at - from) + 1;
                    let second = u128::from(SECOND);
                    prop_assert!(sum * second <= u128::from(gcra.burst()) * second + u128::from(limit) * window);
                }
            }
        }

        /// `remaining` is exact: that many fit, and not one more.
        #[test]
        fn remaining_fits_and_one_more_does_not(
            limit in limits(), multiplier in 1..5u32, tat in 0..20_000_000_000u64, now in 0..20_000_000_000u64,
        ) {
            let gcra = Gcra::new(limit, multiplier);
            let remaining = gcra.remaining(tat, now);
            prop_assert!(remaining <= gcra.burst());
            if tat <= now + gcra.tolerance() {
                let conforms = matches!(gcra.conform(tat, now, remaining, 0), Conformance::Conforming { .. });
                prop_assert!(conforms);
            } else {
                prop_assert_eq!(remaining, 0);
            }
            let one_more = gcra.conform(tat, now, remaining + 1, 0);
            let conforms = matches!(one_more, Conformance::Conforming { .. });
            prop_assert!(!conforms);
        }

        /// The retry time is exact: the batch fits then, and not a nanosecond earlier.
        #[test]
        fn retry_after_is_exact(
            limit in limits(), multiplier in 1..5u32, tat in 0..20_000_000_000u64, now in 0..20_000_000_000u64, n in 1..2000u64,
        ) {
            let gcra = Gcra::new(limit, multiplier);
            if let Conformance::NonConforming { retry_after } = gcra.conform(tat, now, n, 0) {
                prop_assert!(retry_after > 0);
                let then = matches!(gcra.conform(tat, now + retry_after, n, 0), Conformance::Conforming { .. });
                prop_assert!(then);
                let before = matches!(gcra.conform(tat, now + retry_after - 1, n, 0), Conformance::NonConforming { .. });
                prop_assert!(before);
            }
        }

        /// P8: no overflow, no panic, and no rewinding, for any values of 64 bits (TATs as this module makes them).
        #[test]
        fn p8_any_values_of_64_bits(
            limit in any::<u32>(), multiplier in any::<u32>(), now in any::<u64>(), earlier in any::<u64>(),
            n in any::<u64>(), m in any::<u64>(), max_wait in any::<u64>(),
        ) {
            let gcra = Gcra::new(limit, multiplier);
            let mut tat = 0;
            for (now, n) in [(earlier, n), (now, m), (earlier, n % 7), (u64::MAX, m % 1000)] {
                let _ = gcra.remaining(tat, now);
                if let Conformance::Conforming { tat: new, .. } = gcra.conform(tat, now, n, max_wait) {
                    prop_assert!(new >= tat);
                    prop_assert!(new < 1 << 63);
                    tat = new;
                }
            }
        }
    }

    #[test]
    fn exactly_the_limit_fits_each_second() {
        for limit in [1, 2, 3, 7, 300, 999, 1000, 3_000_000] {
            let gcra = Gcra::new(limit, 3);
            for start in [0, 1, 333_333_334, 1_999_999_999, 7_777_777_777] {
                let (mut tat, mut now) = (0, start);
                let mut count = 0;
                while count < 10_000 && charge(&gcra, &mut tat, now, 1) {
                    count += 1;
                }
                assert_eq!(count, gcra.burst().min(10_000), "limit {limit} at {start}");
                if limit > 3000 {
                    continue;
                }
                for _ in 0..5 {
                    now += SECOND;
                    let mut count = 0;
                    while charge(&gcra, &mut tat, now, 1) {
                        count += 1;
                    }
                    assert_eq!(count, u64::from(limit), "limit {limit} from {start}");
                }
            }
        }
    }

    #[test]
    fn weighted_cost_does_not_overflow() {
        // SPEC 7: an emission interval of about 2^33 ns is a rate below 1/s, which the configuration does not
        // have; the same product n*T beyond 64 bits is reached by a batch alone.
        let gcra = Gcra::new(1, 2);
        for n in [
            3,
            (1 << 31) + 1,
            1 << 34,
            1 << 35,
            u64::MAX / SECOND + 1,
            u64::MAX,
        ] {
            assert_eq!(gcra.conform(0, 0, n, u64::MAX), Conformance::ExceedsBurst);
        }
    }

    #[test]
    fn idle_time_is_credited_once() {
        // SPEC 7: burst 10, drained, idle for less than the full refill.
        let gcra = Gcra::new(10, 1);
        let mut tat = 0;
        assert!(charge(&gcra, &mut tat, 0, 10));
        let now = 700_000_000;
        assert_eq!(gcra.remaining(tat, now), 7);
        assert!(charge(&gcra, &mut tat, now, 7));
        assert!(!charge(&gcra, &mut tat, now, 1));
    }

    /// However many cells a batch goes over, and wherever it starts: no fraction is lost.
    #[test]
    fn as_many_events_as_the_limit_cost_a_second() {
        for limit in [
            1,
            7,
            300,
            3_000_000,
            999_999_937,
            999_999_999,
            1_000_000_000,
        ] {
            for multiplier in [1, 2, 1_000, 1_000_000] {
                let gcra = Gcra::new(limit, multiplier);
                for now in [0, 1, 11, 999, 333_333_334, 999_999_999, 7_777_777_777] {
                    for seconds in [1, u64::from(multiplier).div_ceil(2), multiplier.into()] {
                        let conformance = gcra.conform(0, now, u64::from(limit) * seconds, 0);
                        let tat = now + seconds * SECOND;
                        assert_eq!(conformance, Conformance::Conforming { tat, wait: 0 });
                    }
                }
            }
        }
    }

    #[test]
    fn instants_are_told_apart_up_to_the_latest() {
        for multiplier in [1, 1_000, 1_000_000] {
            let gcra = Gcra::new(10, multiplier);
            let mut tat = 0;
            let before = gcra.instant(MAX_NOW - SECOND);
            assert!(charge(&gcra, &mut tat, before, gcra.burst()));
            assert_eq!(gcra.remaining(tat, gcra.instant(MAX_NOW)), 10);
            assert!(charge(&gcra, &mut tat, gcra.instant(MAX_NOW), 10));
            assert!(!charge(&gcra, &mut tat, gcra.instant(u64::MAX), 1));
        }
    }

    #[test]
    fn a_stale_now_does_not_rewind() {
        let gcra = Gcra::new(1, 3);
        let mut tat = 0;
        assert!(charge(&gcra, &mut tat, 10 * SECOND, 3));
        assert!(!charge(&gcra, &mut tat, 2 * SECOND, 1));
        assert_eq!(tat, 13 * SECOND);
        assert!(!charge(&gcra, &mut tat, 10 * SECOND, 1));
    }

    #[test]
    fn a_reservation_is_charged_now_and_waits() {
        let gcra = Gcra::new(1, 3);
        assert_eq!(
            gcra.conform(3 * SECOND, 0, 1, SECOND),
            Conformance::Conforming {
                tat: 4 * SECOND,
                wait: SECOND
            }
        );
        assert_eq!(
            gcra.conform(4 * SECOND, 0, 1, SECOND),
            Conformance::NonConforming {
                retry_after: 2 * SECOND
            }
        );
    }
}
