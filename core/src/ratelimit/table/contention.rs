//! What a thread does that was overtaken in charging a counter: it stands back for a moment, and lets the other one get on with it. That is
//! faster for both than to hand the cache line to and fro.
//!
//! Two threads that meet at a counter by chance should hardly notice, while those that are all after one address, as in a flood, are
//! best off taking turns, each with as many decisions as pay for the line's way. So who meets somebody at the same counter as the last
//! time stands back for twice as long as then, up to [`MOST`].

use std::cell::Cell;

use super::slot::Slot;

/// For how many of the processor's pauses, at first and at most. A pause takes 10 to 50 ns: these are as long as the other thread
/// takes to make ten decisions, or some hundred.
const FIRST: u32 = if cfg!(loom) { 1 } else { 16 };
const MOST: u32 = if cfg!(loom) { 1 } else { 256 };

thread_local! {
    /// The address of the counter at which this thread stood back last, and for how many pauses.
    static LAST: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
}

/// Lets others charge this counter for a moment.
#[cold]
pub(super) fn stand_back(slot: &Slot) {
    let here = std::ptr::from_ref(slot).addr();
    LAST.with(|last| {
        let pauses = match last.get() {
            (before, pauses) if before == here => (pauses * 2).min(MOST),
            _ => FIRST,
        };
        last.set((here, pauses));
        (0..pauses).for_each(|_| std::hint::spin_loop());
    });
}
