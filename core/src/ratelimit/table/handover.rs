//! Replacing a table by one of another size while it is in use (P7).
//!
//! Counter i of the new table goes on where counter i of the old one stopped: its TAT is taken over by freezing the old one's,
//! so that each is charged in one place only. That keeps P1 without a pause: in all there are never more counters in use than the
//! larger table has, and none is refilled. Counters that a smaller table lacks are frozen and end; if a still later table has room
//! for them again, they start where the fullest of those stopped, so that shrinking and growing refills nobody either.
//!
//! Keys move apart from TATs. Whoever finds a key in neither table's place freezes its candidates in the old one, reads what it owed, and
//! gives it a counter here with at least that debt; the thread that replaces the table does so for all keys. Since the
//! candidates were frozen first, no charge to the key's old counter can follow, and the key never has two in use (P2).
//!
//! What a counter took over from its predecessor stays on it even if the key it came from now has a counter elsewhere:
//! that debt is nobody's for as long as it lasts (at most the burst tolerance). Strict bounds are worth it.

use std::sync::Arc;

use super::slot::{FROZEN, State, UNSETTLED};
use super::{Batch, Charge, KeyHash, Table};
use crate::ratelimit::gcra::Gcra;
use crate::sync::{Ordering, mutant, unless_mutant};

impl Table {
    /// A table of this capacity that takes over the counters of `previous`. Call [`Table::complete_handover`] once it is in use.
    pub(crate) fn replacing(previous: &Arc<Table>, capacity: usize) -> Arc<Self> {
        let table = Self::new(capacity);
        // Relaxed, here and below: nobody else sees the table yet, and the handover before this one is complete.
        let dropped = previous.dropped.load(Ordering::Relaxed);
        table.dropped.store(dropped, Ordering::Relaxed);
        let common = table.capacity.min(previous.capacity);
        let taken_over = unless_mutant("counters_unguarded", common, 0);
        for index in 0..taken_over {
            table.slot(index).tat.store(UNSETTLED, Ordering::Relaxed);
        }
        if dropped > 0 && !mutant("dropped_forgotten") {
            for index in taken_over..table.capacity {
                table.slot(index).tat.store(dropped, Ordering::Relaxed);
            }
        }
        let table = Arc::new(table);
        if mutant("next_late") {
            for index in 0..previous.capacity {
                previous.slot(index).freeze();
            }
        }
        // The caller replaces one table after another, so this is the first successor.
        let next = previous.next.get_or_init(|| Arc::clone(&table));
        debug_assert!(Arc::ptr_eq(next, &table), "a table is replaced once");
        table
    }

    /// Takes over everything that has not been taken over by a decision on the way.
    pub(crate) fn complete_handover(&self, previous: &Table) {
        for index in 0..previous.capacity {
            if index < self.capacity {
                self.settle(index, previous);
            } else {
                let tat = previous.slot(index).freeze();
                // Relaxed: only the next replacement reads it, after this.
                self.dropped.fetch_max(tat, Ordering::Relaxed);
            }
        }
        // Owners first: a key that lost its counter may own another one by now, which is the one that counts.
        for state in [State::Owned, State::Loose] {
            for index in 0..previous.capacity {
                let owner = previous.slot(index).owner_seqcst();
                if owner.state() == state && !mutant("keys_left_behind") {
                    let debt = previous.slot(index).freeze();
                    self.place(owner.key(), debt);
                }
            }
        }
    }

    /// What the key owed in the table before, which it can't charge any more after this.
    #[cold]
    pub(super) fn debt_in(&self, previous: &Table, hash: KeyHash) -> u64 {
        let owed = |index: usize| previous.slot(index).freeze();
        if mutant("debt_read_before_freezing") {
            return previous.find_exactly(hash).map_or(0, owed);
        }
        for index in previous.candidates_of(hash) {
            previous.slot(index).freeze();
        }
        previous
            .find_exactly(hash)
            .or_else(|| previous.find_loose(hash))
            .map_or(0, owed)
    }

    /// Charges a batch whose counter can't be charged here.
    #[cold]
    #[inline(never)]
    pub(super) fn charge_elsewhere(
        &self,
        index: usize,
        batch: &Batch,
        gcra: &Gcra,
        previous: Option<&Table>,
    ) -> Charge {
        match self.settle_or_leave(index, batch, gcra, previous) {
            Some(charge) => charge,
            None => self.charge(batch, gcra, previous),
        }
    }

    /// Settles the counter if that is what it lacks (`None`: try again here); else charges the next table.
    pub(super) fn settle_or_leave(
        &self,
        index: usize,
        batch: &Batch,
        gcra: &Gcra,
        previous: Option<&Table>,
    ) -> Option<Charge> {
        if let Some(previous) = previous.filter(|_| self.slot(index).tat() == UNSETTLED) {
            self.settle(index, previous);
            return None;
        }
        // A frozen TAT means that there is a next table: it was set first.
        self.next
            .get()
            .map(|next| next.charge(batch, gcra, Some(self)))
    }

    /// Takes over the TAT of the same counter in the table before.
    pub(super) fn settle(&self, index: usize, previous: &Table) {
        let tat = if mutant("settled_without_freezing") {
            previous.slot(index).tat() & !FROZEN
        } else {
            previous.slot(index).freeze()
        };
        // Everybody computes the same value, so it does not matter who is first. Relaxed: the value stands for itself.
        let _ = self.slot(index).tat.compare_exchange(
            UNSETTLED,
            tat,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}
