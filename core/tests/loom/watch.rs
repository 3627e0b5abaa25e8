//! Watches P2 at every moment of every execution: no key ever owns two counters that can be charged.
//!
//! The table tells it of each change of an owner and of each TAT that is frozen, between that atomic operation and the next
//! one of any thread (loom switches threads at atomic operations only, and runs them all on one thread of the
//! system). So what is noted here is the true state in the order of the operations, not what some thread can see of it.

use std::cell::RefCell;
use std::collections::HashMap;

use super::super::KeyHash;
use super::super::slot::{Owner, Slot, State};

#[derive(Clone, Copy, Default)]
struct Seen {
    owned_by: Option<KeyHash>,
    frozen: bool,
}

thread_local! {
    static SLOTS: RefCell<HashMap<usize, Seen>> = RefCell::default();
}

/// Forgets the execution before.
pub(super) fn start() {
    SLOTS.with_borrow_mut(HashMap::clear);
}

/// The owner of this counter has just become `to`.
pub(in super::super) fn owner_changed(slot: &Slot, to: Owner) {
    let owned_by = (to.state() == State::Owned).then(|| to.key());
    let owners = SLOTS.with_borrow_mut(|slots| {
        slots.entry(address(slot)).or_default().owned_by = owned_by;
        let counters = slots
            .values()
            .filter(|seen| !seen.frozen && seen.owned_by == owned_by);
        counters.count()
    });
    assert!(
        owned_by.is_none() || owners <= 1,
        "P2: a key owns {owners} counters"
    );
}

/// The TAT of this counter has just been frozen: nothing is charged to it any more.
pub(in super::super) fn frozen(slot: &Slot) {
    SLOTS.with_borrow_mut(|slots| slots.entry(address(slot)).or_default().frozen = true);
}

fn address(slot: &Slot) -> usize {
    std::ptr::from_ref(slot).addr()
}
