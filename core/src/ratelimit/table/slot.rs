//! One counter, and how its two words are laid out.
//!
//! `owner` says whose counter it is: the client key's hash, the number of times that the counter has changed hands,
//! and a state. `tat` is GCRA's theoretical arrival time.
//!
//! # Invariants
//!
//! - The incarnation number grows by one each time that a claim is staked, so a compare-and-swap that expects an
//!   owner word which was read before succeeds only if nothing has happened to the ownership in between. (It has 16 bits,
//!   and the word has the whole hash. To be deceived, a thread would have to stand still between its look at the rivals and its
//!   confirmation while this one counter changes hands a multiple of 2^16 times, and wake just when it is claimed for that
//!   same key again and another thread claims another counter for it.)
//! - `tat` only grows, until its top bit is set; then it never changes again, except from [`UNSETTLED`] to a value.

use super::KeyHash;
use crate::sync::{AtomicU64, Ordering, unless_mutant};

/// A counter: 16 bytes.
#[cfg_attr(not(loom), derive(zerocopy::FromZeros, zerocopy::KnownLayout))]
#[repr(C, align(16))]
pub(super) struct Slot {
    pub(super) owner: AtomicU64,
    pub(super) tat: AtomicU64,
}

/// The TAT belongs to the table that came after this one; this slot's value is final.
pub(super) const FROZEN: u64 = 1 << 63;
/// The TAT has not been taken over from the table before this one yet.
pub(super) const UNSETTLED: u64 = u64::MAX;

/// What an owner word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Nobody's. The TAT may still lie ahead: that debt is the next owner's.
    Free,
    /// Nobody's, but it remembers whose it was, in case that the table is replaced.
    Loose,
    /// Claimed for a key, but another claim for the same key may win. Nothing is charged to it.
    Claimed,
    /// The one counter of its key.
    Owned,
}

/// An owner word: the key's hash ([`KeyHash`], 46 bits), whether it has a claim (1 bit), incarnation (16 bits), and one bit more for the
/// state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner(pub(super) u64);

/// [`State::Claimed`] or [`State::Owned`].
const TAKEN: u64 = 1 << 17;
/// [`State::Owned`] or [`State::Loose`].
const SETTLED: u64 = 1;
const INCARNATION: u64 = 0x1_fffe;
const INCARNATION_STEP: u64 = 0b10;
/// How many incarnations are told apart.
pub(super) const INCARNATIONS: u64 = INCARNATION / INCARNATION_STEP + 1;

impl Owner {
    #[inline]
    pub(super) fn state(self) -> State {
        match (self.0 & TAKEN != 0, self.0 & SETTLED != 0) {
            (false, false) => State::Free,
            (false, true) => State::Loose,
            (true, false) => State::Claimed,
            (true, true) => State::Owned,
        }
    }

    /// Whether this counter is claimed for, or owned by, the key with this hash.
    #[inline]
    pub(super) fn concerns(self, hash: KeyHash) -> bool {
        // The lower bits are the incarnation and which of both it is.
        self.0 ^ (hash.bits() | TAKEN) < TAKEN
    }

    /// Whether this is the one counter of the key with this hash.
    #[inline]
    pub(super) fn is_owned_by(self, hash: KeyHash) -> bool {
        self.0 & !INCARNATION == hash.bits() | TAKEN | SETTLED
    }

    /// Whether this was the one counter of the key with this hash, and has not been anybody's since.
    pub(super) fn is_remembered_by(self, hash: KeyHash) -> bool {
        self.0 & !INCARNATION == hash.bits() | SETTLED
    }

    /// The hash of the key whose counter this is, or, if it is loose, was.
    pub(super) fn key(self) -> KeyHash {
        KeyHash::new(self.0)
    }

    /// How often the counter has changed hands, modulo [`INCARNATIONS`].
    #[inline]
    pub(super) fn incarnation(self) -> u64 {
        (self.0 & INCARNATION) / INCARNATION_STEP
    }

    /// The next incarnation, claimed for the key with this hash.
    #[inline]
    pub(super) fn claimed_by(self, hash: KeyHash) -> Self {
        let step = unless_mutant("incarnation_stands_still", INCARNATION_STEP, 0);
        let incarnation = self.0.wrapping_add(step) & INCARNATION;
        Self(hash.bits() | TAKEN | incarnation)
    }

    /// The same incarnation, owned.
    #[inline]
    pub(super) fn confirmed(self) -> Self {
        Self(self.0 | SETTLED)
    }

    /// The same incarnation, given up.
    pub(super) fn released(self) -> Self {
        Self(self.0 & INCARNATION)
    }

    /// The same incarnation of an owner that has no right to the counter any more.
    pub(super) fn loosened(self) -> Self {
        Self(self.0 & !TAKEN)
    }
}

impl Slot {
    /// Reads the owner.
    ///
    /// Relaxed suffices: the word is a hint that decides which TAT is charged, and a charge to a counter that has changed
    /// hands meanwhile is allowed (it still keeps that counter's bound). Who relies on more uses [`Slot::owner_seqcst`].
    #[inline]
    pub(super) fn owner(&self) -> Owner {
        Owner(self.owner.load(Ordering::Relaxed))
    }

    /// Reads the owner, in the one total order in which claims are staked.
    ///
    /// SeqCst: a claimant stakes its claim and then looks for rivals. Of two claimants at least one must see
    /// the other, which only a single total order of these stores and loads guarantees.
    #[inline]
    pub(super) fn owner_seqcst(&self) -> Owner {
        let order = unless_mutant("look_acquire", Ordering::SeqCst, Ordering::Acquire);
        Owner(self.owner.load(order))
    }

    /// Changes the owner if it is still the expected one.
    ///
    /// SeqCst: see [`Slot::owner_seqcst`].
    #[inline]
    pub(super) fn change_owner(&self, from: Owner, to: Owner) -> bool {
        let order = unless_mutant("stake_acqrel", Ordering::SeqCst, Ordering::AcqRel);
        let changed = self
            .owner
            .compare_exchange(from.0, to.0, order, Ordering::SeqCst)
            .is_ok();
        #[cfg(test)]
        #[cfg(loom)]
        if changed {
            super::models::watch::owner_changed(self, to);
        }
        changed
    }

    /// Reads the TAT word, which may be [`FROZEN`] or [`UNSETTLED`].
    ///
    /// Acquire: whoever sees the frozen bit goes on to the next table, which was set before the bit was.
    #[inline]
    pub(super) fn tat(&self) -> u64 {
        let order = unless_mutant("tat_relaxed", Ordering::Acquire, Ordering::Relaxed);
        self.tat.load(order)
    }

    /// Sets the frozen bit and returns the final TAT.
    ///
    /// AcqRel: releases the next table to whoever sees the bit, and acquires the owner of whoever charged last (a key owns a
    /// counter before it charges it), so that a look-up which follows finds it.
    pub(super) fn freeze(&self) -> u64 {
        let order = unless_mutant("freeze_relaxed", Ordering::AcqRel, Ordering::Relaxed);
        let tat = self.tat.fetch_or(FROZEN, order) & !FROZEN;
        #[cfg(test)]
        #[cfg(loom)]
        super::models::watch::frozen(self);
        tat
    }

    /// Raises the TAT to at least this. Does nothing to one that is frozen, whose top bit makes it the larger.
    ///
    /// Relaxed: the value stands for itself; claims order what depends on it.
    pub(super) fn raise_tat(&self, tat: u64) {
        self.tat.fetch_max(tat, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn an_owner_word_says_whose_the_counter_is_or_was_and_in_which_incarnation() {
        let keys = [0, 1 << 18, 0x0123_4567_89ab_cdef, 1 << 63, u64::MAX].map(KeyHash::new);
        for key in keys {
            for before in [0, 1, 2, 0x7fff, 0xfffe, 0xffff] {
                let after = (before + 1) & 0xffff;
                let fresh = Owner(before << 1);
                let claimed = fresh.claimed_by(key);
                let owned = claimed.confirmed();
                let loose = owned.loosened();
                for (owner, incarnation, state) in [
                    (fresh, before, State::Free),
                    (claimed, after, State::Claimed),
                    (owned, after, State::Owned),
                    (loose, after, State::Loose),
                    (claimed.released(), after, State::Free),
                ] {
                    assert_eq!((owner.state(), owner.incarnation()), (state, incarnation));
                    if state != State::Free {
                        assert_eq!(owner.key(), key);
                    }
                    for other in keys {
                        let said = (
                            owner.concerns(other),
                            owner.is_owned_by(other),
                            owner.is_remembered_by(other),
                        );
                        let right = match state {
                            _ if other != key => (false, false, false),
                            State::Free => (false, false, false),
                            State::Loose => (false, false, true),
                            State::Claimed => (true, false, false),
                            State::Owned => (true, true, false),
                        };
                        assert_eq!(said, right, "{owner:?} {other:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_frozen_tat_stays_what_it_was() {
        let slot = Slot {
            owner: AtomicU64::new(0),
            tat: AtomicU64::new(5),
        };
        slot.raise_tat(7);
        slot.raise_tat(6);
        assert_eq!(slot.tat(), 7);
        assert_eq!(slot.freeze(), 7);
        slot.raise_tat(8);
        assert_eq!(slot.freeze(), 7);
        assert_eq!(slot.tat(), FROZEN | 7);
    }
}
