//! How a key gets a counter: the rare path, and the only one in which counters change hands.
//!
//! A newcomer picks the candidate that it may take (smallest TAT), stakes a claim on it, looks whether another thread
//! has staked a rival claim for the same key on another candidate, and confirms its own only if there is none.
//!
//! # Why no key ever owns two counters (P2)
//!
//! Suppose counters a and b both become owned by key k, b last, a still owned then. Whoever confirmed b had seen
//! b's claim, *then* read a as neither claimed nor owned by k, *then* confirmed that same claim (the compare-and-swap expects
//! the incarnation that it saw). So a's claim was staked after that reading. Whoever confirmed a read b after a's claim was
//! staked, found b claimed by k, and therefore either gave a up or first revoked b's claim; the former contradicts that
//! a was confirmed, the latter that b's was. The argument needs one total order of stakes and readings: SeqCst.
//!
//! # Why it is lock-free
//!
//! A step fails only because another thread's step succeeded. A thread that finds a claim for its key does not wait
//! for the claimant: it goes on with that claim itself. Of rival claims the one with the lowest index survives.

use super::slot::{FROZEN, INCARNATIONS, Owner, Slot, State};
use super::{Batch, Charge, KeyHash, Table, WINDOW, Window};
use crate::ratelimit::gcra::{Conformance, Gcra};
use crate::sync::{Ordering, mutant};

/// So many counters of a window whose TATs have passed are plenty: both windows of a key would have to fill up before it displaces
/// anybody.
const PLENTY: usize = WINDOW / 2;

/// What a newcomer sees when it looks its candidates over.
enum Sight {
    /// The key owns this counter by now.
    Owned(usize),
    /// Somebody claims this counter for the key (the lowest such index).
    Claimed(usize, Owner),
    /// Nobody has anything to do with the key. The counter to take, and its TAT.
    Absent(Victim),
    /// A candidate's TAT isn't to be had here: frozen, or not settled yet.
    Moved(usize),
    /// Things change too fast: look again.
    Changed,
}

/// The counter that a newcomer takes over.
#[derive(Clone, Copy)]
pub(super) struct Victim {
    pub(super) index: usize,
    pub(super) owner: Owner,
    pub(super) tat: u64,
}

/// What one look at the counters of a window came to.
struct Survey {
    /// The one with the smallest TAT.
    best: Victim,
    /// How many TATs have passed.
    passed: usize,
    /// Whether a TAT isn't to be had here.
    moved: bool,
    /// Whether a counter is the key's, or claimed for it.
    concerns_key: bool,
}

impl Table {
    /// Charges a key that owned no counter when it was looked for. A batch that would be refused takes over nothing:
    /// it would be refused just the same and only displace somebody.
    #[cold]
    #[inline(never)]
    pub(super) fn charge_newcomer(
        &self,
        batch: &Batch,
        gcra: &Gcra,
        previous: Option<&Table>,
    ) -> Charge {
        let debt = previous.map_or(0, |previous| self.debt_in(previous, batch.hash));
        let mut closely = false;
        loop {
            let sight = if closely {
                self.look_closely(batch.hash)
            } else {
                self.look(batch.hash, batch.now)
            };
            closely = false;
            let (index, claim) = match sight {
                Sight::Absent(victim) => {
                    let tat = victim.tat.max(debt);
                    let conformance = gcra.conform(tat, batch.now, batch.n, batch.max_wait);
                    if batch.n == 0 || !matches!(conformance, Conformance::Conforming { .. }) {
                        if batch.n > 0 {
                            self.loosen_if_exhausted(victim.tat, batch, gcra);
                        }
                        return Charge::new(conformance, tat);
                    }
                    let Some(claim) = self.stake(victim, batch) else {
                        continue;
                    };
                    (victim.index, claim)
                }
                Sight::Claimed(index, claim) => (index, claim),
                Sight::Owned(index) => {
                    // The hint was late or wrong.
                    self.hints.note(index, batch.hash);
                    return self.charge_counter(index, batch, gcra, previous);
                }
                Sight::Moved(index) => {
                    if let Some(charge) = self.settle_or_leave(index, batch, gcra, previous) {
                        return charge;
                    }
                    continue;
                }
                Sight::Changed => continue,
            };
            if self.confirm(index, claim, batch.hash, debt) {
                let charge = self.charge_counter(index, batch, gcra, previous);
                // Last, so that nothing has to wait until the hint is stored.
                self.hints.note(index, batch.hash);
                return charge;
            }
            // There is a rival, or there was.
            closely = true;
        }
    }

    /// Where no candidate has room for one event, even the one with the smallest TAT, takes from all their owners the right to their
    /// counters, but no counter and no debt.
    ///
    /// Who owns an exhausted counter would be refused until that one has room, while strangers take whichever has room first;
    /// so it is better to be a stranger, and well-behaved clients must not fare worse than an attacker's. Where all counters are candidates of
    /// every key nobody loses a counter like this: who returned could find a TAT that is smaller by a fraction of an event.
    #[cold]
    #[inline(never)]
    fn loosen_if_exhausted(&self, smallest_tat: u64, batch: &Batch, gcra: &Gcra) {
        let room_for_one = matches!(
            gcra.conform(smallest_tat, batch.now, 1, 0),
            Conformance::Conforming { .. }
        );
        if room_for_one || !self.has_others_than_candidates() {
            return;
        }
        for index in self.candidates_of(batch.hash) {
            let owner = self.slot(index).owner();
            if owner.state() == State::Owned {
                // Whether it succeeds or not: then there is another owner.
                self.slot(index).change_owner(owner, owner.loosened());
            }
        }
    }

    /// Gives the key a counter with at least this debt, unless all candidates belong to keys that owe more.
    pub(super) fn place(&self, hash: KeyHash, debt: u64) {
        loop {
            let (index, claim) = match self.look_for_handover(hash) {
                Sight::Owned(_) | Sight::Moved(_) => return,
                Sight::Claimed(index, claim) => (index, claim),
                Sight::Absent(victim) => {
                    if !is_nobodys(victim.owner) && victim.tat >= debt {
                        return;
                    }
                    let Some(claim) = self.claim(victim.index, victim.owner, hash) else {
                        continue;
                    };
                    (victim.index, claim)
                }
                Sight::Changed => continue,
            };
            if self.confirm(index, claim, hash, debt) {
                self.hints.note(index, hash);
                return;
            }
        }
    }

    /// Looks over the candidates of a newcomer. Their memory has been asked for, but for few ([`Table::prefetch_counter`]).
    #[inline(always)]
    fn look(&self, hash: KeyHash, now: u64) -> Sight {
        let [first, second] = self.windows_of(hash);
        // Where every counter is a candidate there is nothing to balance, and the smallest TAT is taken always.
        let balance = self.has_others_than_candidates();
        let first = first.survey(hash, now);
        if balance
            && first.passed == WINDOW
            && first.best.tat == 0
            && !first.moved
            && !first.concerns_key
        {
            // No window is emptier, and no counter older than one that was never used. Should the other window concern the key, that
            // is found before the claim is confirmed, and nobody is displaced by it.
            return Sight::Absent(first.best);
        }
        let second = second.survey(hash, now);
        if first.concerns_key | second.concerns_key | first.moved | second.moved {
            return self.look_closely(hash);
        }
        // Counters whose TAT has passed are all as good as new, so the window that has more of them, the emptier one, is taken: that
        // is what keeps two choices balanced. Where both have plenty, the smaller TAT, as everywhere else: of clients that owe nothing, the
        // one that has been away longest is least likely to come back and look for another counter in its turn.
        let plenty = first.passed.min(second.passed) >= PLENTY && first.best.tat != second.best.tat;
        let take_second = if balance && !plenty && first.passed != second.passed {
            second.passed > first.passed
        } else {
            second.best.tat < first.best.tat
        };
        Sight::Absent(if take_second { second.best } else { first.best })
    }

    /// As [`Table::look`], where a candidate concerns the key or can't be charged here.
    #[cold]
    #[inline(never)]
    fn look_closely(&self, hash: KeyHash) -> Sight {
        let (mut claimed, mut moved) = (None, None);
        for index in self.candidates_of(hash) {
            let owner = self.slot(index).owner_seqcst();
            match owner.state() {
                State::Owned if owner.concerns(hash) => return Sight::Owned(index),
                State::Claimed if owner.concerns(hash) => note_lowest(&mut claimed, index, owner),
                _ => {}
            }
            if self.slot(index).tat() & FROZEN != 0 {
                moved = Some(index);
            }
        }
        // A claim is confirmed only where all candidates are settled, since it may have to bear a debt.
        match (moved, claimed) {
            (Some(index), _) => Sight::Moved(index),
            (None, Some((index, claim))) => Sight::Claimed(index, claim),
            (None, None) => Sight::Changed,
        }
    }

    /// As [`Table::look`], for a key that is moved here from the table before: free counters first, and no clock.
    fn look_for_handover(&self, hash: KeyHash) -> Sight {
        let mut claimed = None;
        let mut best: Option<Victim> = None;
        for index in self.candidates_of(hash) {
            let owner = self.slot(index).owner_seqcst();
            match owner.state() {
                State::Owned if owner.concerns(hash) => return Sight::Owned(index),
                State::Claimed if owner.concerns(hash) => note_lowest(&mut claimed, index, owner),
                _ => {}
            }
            let tat = self.slot(index).tat();
            let rank = |owner: Owner, tat: u64| (!is_nobodys(owner), tat);
            if best.is_none_or(|victim| rank(owner, tat) < rank(victim.owner, victim.tat)) {
                best = Some(Victim { index, owner, tat });
            }
        }
        match (claimed, best) {
            (Some((index, claim)), _) => Sight::Claimed(index, claim),
            (None, Some(victim)) => Sight::Absent(victim),
            // There is at least one candidate, so there is a best one.
            (None, None) => Sight::Changed,
        }
    }

    /// Stakes a claim on a counter, displacing its owner.
    #[inline]
    pub(super) fn stake(&self, victim: Victim, batch: &Batch) -> Option<Owner> {
        let claim = self.claim(victim.index, victim.owner, batch.hash)?;
        if victim.tat > batch.now && matches!(victim.owner.state(), State::Owned | State::Loose) {
            // Relaxed: a statistic.
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
        Some(claim)
    }

    /// Changes the owner of a counter to a claim for this key.
    #[inline]
    fn claim(&self, index: usize, owner: Owner, hash: KeyHash) -> Option<Owner> {
        let claim = owner.claimed_by(hash);
        if !self.slot(index).change_owner(owner, claim) {
            return None;
        }
        if claim.incarnation() == 0 {
            // Relaxed: a statistic.
            self.forgotten_claims
                .fetch_add(INCARNATIONS, Ordering::Relaxed);
        }
        Some(claim)
    }

    /// Confirms a claim if it has no rival, and says whether the key owns the counter now: then note a hint. If not: look again.
    #[inline]
    pub(super) fn confirm(&self, index: usize, claim: Owner, hash: KeyHash, debt: u64) -> bool {
        if debt > 0 && !mutant("debt_forgotten") {
            self.slot(index).raise_tat(debt);
        }
        // The claim itself concerns the key; is there another one?
        let [first, second] = self.windows_of(hash);
        let concerning = first.concerning(hash) + second.concerning(hash);
        if concerning > 1 && !mutant("confirm_blindly") && !self.overcome_rivals(index, claim, hash)
        {
            return false;
        }
        self.slot(index).change_owner(claim, claim.confirmed())
    }

    /// Revokes rival claims for the key on other counters, or gives up its own.
    #[cold]
    #[inline(never)]
    fn overcome_rivals(&self, index: usize, claim: Owner, hash: KeyHash) -> bool {
        for other in self.candidates_of(hash).filter(|&other| other != index) {
            let slot = self.slot(other);
            let owner = slot.owner_seqcst();
            if !owner.concerns(hash) {
                continue;
            }
            match owner.state() {
                State::Owned if mutant("owned_rival_ignored") => {}
                State::Owned => {
                    self.slot(index).change_owner(claim, claim.released());
                    return false;
                }
                State::Claimed if other < index => {
                    self.slot(index).change_owner(claim, claim.released());
                    return false;
                }
                State::Claimed if mutant("claimed_rival_spared") => {}
                State::Claimed => {
                    if !slot.change_owner(owner, owner.released()) {
                        return false;
                    }
                }
                State::Free | State::Loose => {}
            }
        }
        true
    }
}

impl Window<'_> {
    /// Reads all counters once.
    #[inline(always)]
    fn survey(self, hash: KeyHash, now: u64) -> Survey {
        let (mut best, mut least) = (0, u64::MAX);
        let (mut passed, mut all, mut concerns_key) = (0, 0, false);
        for (offset, slot) in self.slots.iter().enumerate() {
            concerns_key |= slot.owner_seqcst().concerns(hash);
            let tat = slot.tat();
            all |= tat;
            passed += usize::from(tat <= now);
            if tat < least {
                (best, least) = (offset, tat);
            }
        }
        Survey {
            best: Victim {
                index: self.start + best,
                // An empty window has none, and no TAT that would be chosen.
                owner: self.slots.get(best).map_or(Owner(0), Slot::owner_seqcst),
                tat: least,
            },
            passed,
            moved: all & FROZEN != 0,
            concerns_key,
        }
    }

    /// How many counters are the key's, or claimed for it.
    #[inline(always)]
    fn concerning(self, hash: KeyHash) -> usize {
        let concerns = |slot: &Slot| slot.owner_seqcst().concerns(hash);
        self.slots
            .iter()
            .map(|slot| usize::from(concerns(slot)))
            .sum()
    }
}

fn is_nobodys(owner: Owner) -> bool {
    matches!(owner.state(), State::Free | State::Loose)
}

/// Keeps the lower one of two claims.
fn note_lowest(lowest: &mut Option<(usize, Owner)>, index: usize, claim: Owner) {
    if lowest.is_none_or(|(other, _)| index < other) {
        *lowest = Some((index, claim));
    }
}
