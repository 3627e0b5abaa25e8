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

use super::slot::{FROZEN, Owner, State};
use super::{Batch, Charge, KeyHash, Table, WINDOW};
use crate::ratelimit::gcra::{Conformance, Gcra};
use crate::sync::{Ordering, mutant};

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
}

/// The counter that a newcomer takes over.
#[derive(Clone, Copy)]
pub(super) struct Victim {
    pub(super) index: usize,
    pub(super) owner: Owner,
    pub(super) tat: u64,
}

/// The claims for a key that are met while looking its candidates over.
#[derive(Default)]
struct Claims {
    lowest: Option<(usize, Owner)>,
}

impl Claims {
    /// Whether the key owns this counter; a claim is noted.
    fn owns(&mut self, index: usize, owner: Owner, hash: KeyHash) -> bool {
        if owner.fingerprint() != hash.fingerprint() {
            return false;
        }
        if owner.state() == State::Claimed && self.lowest.is_none_or(|(other, _)| index < other) {
            self.lowest = Some((index, owner));
        }
        owner.state() == State::Owned
    }

    /// What was seen of a key that owns no candidate, of which `best` is the one to take.
    fn sight(self, best: Option<Victim>) -> Sight {
        match (self.lowest, best) {
            (Some((index, owner)), _) => Sight::Claimed(index, owner),
            (None, Some(victim)) => Sight::Absent(victim),
            // There is at least one candidate, so there is a best one.
            (None, None) => Sight::Moved(0),
        }
    }
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
        loop {
            let index = match self.look(batch.hash, batch.now) {
                Sight::Owned(index) => {
                    // The hint was late or wrong.
                    self.hints.note(index, batch.hash);
                    index
                }
                Sight::Moved(index) => {
                    if let Some(charge) = self.settle_or_leave(index, batch, gcra, previous) {
                        return charge;
                    }
                    continue;
                }
                Sight::Claimed(index, claim) => {
                    match self.confirm(index, claim, batch.hash, debt) {
                        Some(index) => index,
                        None => continue,
                    }
                }
                Sight::Absent(victim) => {
                    let tat = victim.tat.max(debt);
                    let conformance = gcra.conform(tat, batch.now, batch.n, batch.max_wait);
                    if batch.n == 0 || !matches!(conformance, Conformance::Conforming { .. }) {
                        return Charge { conformance, tat };
                    }
                    let Some(claim) = self.stake(victim, batch) else {
                        continue;
                    };
                    match self.confirm(victim.index, claim, batch.hash, debt) {
                        Some(index) => index,
                        None => continue,
                    }
                }
            };
            return self.charge_counter(index, batch, gcra, previous);
        }
    }

    /// Gives the key a counter with at least this debt, unless all candidates belong to keys that owe more.
    pub(super) fn place(&self, hash: KeyHash, debt: u64) {
        loop {
            let (index, claim) = match self.look_for_handover(hash) {
                Sight::Owned(_) | Sight::Moved(_) => return,
                Sight::Claimed(index, claim) => (index, claim),
                Sight::Absent(victim) => {
                    if victim.owner.state() != State::Free && victim.tat >= debt {
                        return;
                    }
                    let claim = victim.owner.claimed_by(hash.fingerprint());
                    if !self.slot(victim.index).change_owner(victim.owner, claim) {
                        continue;
                    }
                    (victim.index, claim)
                }
            };
            if self.confirm(index, claim, hash, debt).is_some() {
                return;
            }
        }
    }

    /// Looks over the candidates of a newcomer.
    fn look(&self, hash: KeyHash, now: u64) -> Sight {
        let mut claims = Claims::default();
        let mut best: Option<(Victim, Preference)> = None;
        for window in self.candidates(hash).windows() {
            let mut here: Option<Victim> = None;
            let mut passed = 0;
            for index in self.window(window) {
                let slot = self.slot(index);
                let owner = slot.owner_seqcst();
                if claims.owns(index, owner, hash) {
                    return Sight::Owned(index);
                }
                let tat = slot.tat();
                if tat & FROZEN != 0 {
                    return Sight::Moved(index);
                }
                passed += usize::from(tat <= now);
                if here.is_none_or(|victim| tat < victim.tat) {
                    here = Some(Victim { index, owner, tat });
                }
            }
            if let Some(victim) = here {
                let preference = self.preference(victim.tat, now, passed);
                if best.is_none_or(|(_, other)| preference > other) {
                    best = Some((victim, preference));
                }
            }
        }
        claims.sight(best.map(|(victim, _)| victim))
    }

    /// Which window's best counter to take. Counters whose TAT has passed are all as good as new, so where both windows have such
    /// the emptier one is taken: that is what keeps two choices balanced. Otherwise the smaller TAT. Where every
    /// counter is a candidate there is nothing to balance, and the smallest TAT is taken always.
    fn preference(&self, tat: u64, now: u64, passed: usize) -> Preference {
        let balance = self.capacity > 2 * WINDOW && tat <= now;
        Preference {
            passed: if balance { passed } else { 0 },
            tat: std::cmp::Reverse(tat),
        }
    }

    /// As [`Table::look`], for a key that is moved here from the table before: free counters first, and no clock.
    fn look_for_handover(&self, hash: KeyHash) -> Sight {
        let mut claims = Claims::default();
        let mut best: Option<Victim> = None;
        for index in self.candidates_of(hash) {
            let slot = self.slot(index);
            let owner = slot.owner_seqcst();
            if claims.owns(index, owner, hash) {
                return Sight::Owned(index);
            }
            let tat = slot.tat();
            let rank = |owner: Owner, tat: u64| (owner.state() != State::Free, tat);
            if best.is_none_or(|victim| rank(owner, tat) < rank(victim.owner, victim.tat)) {
                best = Some(Victim { index, owner, tat });
            }
        }
        claims.sight(best)
    }

    /// Stakes a claim on a counter, displacing its owner.
    pub(super) fn stake(&self, victim: Victim, batch: &Batch) -> Option<Owner> {
        let claim = victim.owner.claimed_by(batch.hash.fingerprint());
        if !self.slot(victim.index).change_owner(victim.owner, claim) {
            return None;
        }
        // Relaxed: statistics.
        self.claims.fetch_add(1, Ordering::Relaxed);
        if victim.owner.state() == State::Owned && victim.tat > batch.now {
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
        Some(claim)
    }

    /// Confirms a claim if it has no rival, and returns the counter. `None`: look again.
    pub(super) fn confirm(
        &self,
        index: usize,
        claim: Owner,
        hash: KeyHash,
        debt: u64,
    ) -> Option<usize> {
        if !mutant("locator_unpublished") {
            self.publish_locator(index, claim, hash);
        }
        if !mutant("debt_forgotten") {
            self.slot(index).raise_tat(debt);
        }
        for other in self.candidates_of(hash).filter(|&other| other != index) {
            let slot = self.slot(other);
            let owner = slot.owner_seqcst();
            if owner.fingerprint() != hash.fingerprint() || mutant("confirm_blindly") {
                continue;
            }
            match owner.state() {
                State::Owned if mutant("owned_rival_ignored") => {}
                State::Owned => {
                    self.slot(index).change_owner(claim, claim.released());
                    return None;
                }
                State::Claimed if other < index => {
                    self.slot(index).change_owner(claim, claim.released());
                    return None;
                }
                State::Claimed if mutant("claimed_rival_spared") => {}
                State::Claimed => {
                    if !slot.change_owner(owner, owner.released()) {
                        return None;
                    }
                }
                State::Free => {}
            }
        }
        if !self.slot(index).change_owner(claim, claim.confirmed()) {
            return None;
        }
        self.hints.note(index, hash);
        Some(index)
    }

    /// Notes the claimant's locator, for whoever has to find the key again. A note of a later incarnation stays.
    fn publish_locator(&self, index: usize, claim: Owner, hash: KeyHash) {
        let note = u64::from(hash.locator()) << 32 | claim.incarnation();
        let word = &self.locators[index];
        // Relaxed: the confirmation that follows releases it, and who reads it compares the incarnation.
        let mut current = word.load(Ordering::Relaxed);
        while incarnation_is_later(note, current) {
            match word.compare_exchange_weak(current, note, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => current = newer,
            }
        }
    }
}

/// Compares incarnations (the lower 32 bits), which may wrap.
fn incarnation_is_later(a: u64, b: u64) -> bool {
    (a as u32).wrapping_sub(b as u32) as i32 > 0
}

/// Larger is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    passed: usize,
    tat: std::cmp::Reverse<u64>,
}
