//! What a thread does that was overtaken in charging a counter: it stands back for a moment, and lets the other one get on with it. That is
//! faster for both than to hand the cache line to and fro.
//!
//! Two threads that meet at a counter by chance should hardly notice, while those that are all after one address, as in a flood, are
//! best off taking turns, each with as many decisions as pay for the line's way. So who meets somebody at the same counter again, soon after
//! the last time, stands back for twice as long as then, up to [`MOST`].

use std::cell::Cell;

use super::slot::Slot;

/// For how many of the processor's pauses, at first and at most. A pause takes 10 to 50 ns: these are as long as the other thread
/// takes to make ten decisions, or some hundred.
const FIRST: u32 = if cfg!(loom) { 1 } else { 16 };
const MOST: u32 = if cfg!(loom) { 1 } else { 256 };
/// Meetings that are no further apart than this, in nanoseconds, belong together: several times as long as the longest time back.
const SOON: u64 = 100_000;

/// Where and when a thread met another one, and for how many pauses it stood back then.
#[derive(Clone, Copy)]
struct Meeting {
    /// The counter's address.
    place: usize,
    now: u64,
    pauses: u32,
}

impl Meeting {
    const NONE: Self = Self {
        place: 0,
        now: 0,
        pauses: 0,
    };

    /// The meeting that comes after this one.
    fn then(self, place: usize, now: u64) -> Self {
        let again = self.place == place && now.saturating_sub(self.now) <= SOON;
        let pauses = if again {
            (self.pauses * 2).min(MOST)
        } else {
            FIRST
        };
        Self { place, now, pauses }
    }
}

thread_local! {
    /// This thread's last one.
    static LAST: Cell<Meeting> = const { Cell::new(Meeting::NONE) };
}

/// Lets others charge this counter for a moment. `now`: the instant of the charge, in nanoseconds.
#[cold]
#[inline(never)]
pub(super) fn stand_back(slot: &Slot, now: u64) {
    let place = std::ptr::from_ref(slot).addr();
    let meeting = LAST.with(|last| {
        last.set(last.get().then(place, now));
        last.get()
    });
    (0..meeting.pauses).for_each(|_| std::hint::spin_loop());
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn only_who_meets_somebody_at_the_same_place_again_soon_stands_back_for_longer() {
        let mut meeting = Meeting::NONE;
        let pauses: Vec<u32> = (0..7)
            .map(|i| {
                meeting = meeting.then(7, 5_000_000 + i * SOON);
                meeting.pauses
            })
            .collect();
        assert_eq!(pauses, [16, 32, 64, 128, 256, 256, 256]);
        assert_eq!(meeting.then(8, meeting.now).pauses, FIRST);
        assert_eq!(meeting.then(7, meeting.now + SOON + 1).pauses, FIRST);
        // A time from before is as good as the same.
        assert_eq!(meeting.then(7, 0).pauses, MOST);
    }
}
