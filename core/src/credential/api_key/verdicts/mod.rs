//! Verdicts on API keys, a minute each: lock-free to read, in memory that is allocated once.
//!
//! A store holds exactly `capacity` verdicts. A fingerprint has two sets of eight ways and may lie in any of the sixteen; there
//! are twice as many ways as verdicts (all sixteen, where there are few), so that two full sets are next to impossible
//! before the store is. When the store is full, the oldest verdict makes room (`order.rs`).
//!
//! # Invariants
//!
//! - Readers take no lock, never wait and never retry: what changes under their eyes is a verdict that is making room for another,
//!   so to them it is gone (`set.rs`). A verdict that is renewed stays visible throughout.
//! - Writers (verifications that have ended) take turns. Readers never meet their lock.
//! - Nobody who lacks the fingerprint's key can choose what makes room: the oldest does, whatever is written.

mod order;
mod set;

use std::sync::{Mutex, PoisonError};

use self::order::Order;
use self::set::{Set, WAYS, Word};
use super::fingerprint::Fingerprint;
use super::privileges::Privileges;

/// How long a verdict holds, in nanoseconds: a minute.
pub(crate) const LIFETIME: u64 = 60_000_000_000;

/// What a store says of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A verdict that holds.
    Live(Privileges),
    /// A verdict whose minute is over.
    Stale,
    /// Nothing.
    Absent,
}

/// Verdicts of one kind: successes, or failures.
pub(crate) struct Store {
    sets: Box<[Set]>,
    capacity: usize,
    order: Mutex<Order>,
}

impl Store {
    /// A store of exactly `capacity` verdicts (at least one). Allocates about 80 bytes for each, once.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let sets = (2 * capacity).div_ceil(WAYS).max(2);
        Self {
            sets: (0..sets).map(|_| Set::new()).collect(),
            capacity,
            order: Mutex::new(Order::new(sets * WAYS)),
        }
    }

    /// The verdict on this fingerprint at `now`.
    #[inline]
    pub(crate) fn get(&self, fingerprint: Fingerprint, now: u64) -> Held {
        let [first, second] = self.candidates(fingerprint);
        let word = self.sets[first]
            .read(fingerprint)
            .or_else(|| self.sets[second].read(fingerprint));
        match word {
            Some(word) => word.at(now),
            None => Held::Absent,
        }
    }

    /// Stores a verdict that was asked for at `now`, or renews it.
    pub(crate) fn insert(&self, fingerprint: Fingerprint, privileges: Privileges, now: u64) {
        let word = Word::new(privileges, now);
        let mut order = self.lock();
        if let Some(place) = self.place_of(fingerprint) {
            let (set, way) = split(place);
            self.sets[set].renew(way, word);
            order.move_to_back(place);
            return;
        }
        if order.len() == self.capacity
            && let Some(oldest) = order.front()
        {
            self.vacate(oldest, &mut order);
        }
        let place = match self.vacancy(fingerprint) {
            Some(place) => place,
            None => {
                let oldest = self.oldest_of(fingerprint);
                self.vacate(oldest, &mut order);
                oldest
            }
        };
        let (set, way) = split(place);
        self.sets[set].write(way, fingerprint, word);
        order.push_back(place);
    }

    /// Forgets the verdict on this fingerprint, if there is one.
    pub(crate) fn remove(&self, fingerprint: Fingerprint) {
        let mut order = self.lock();
        if let Some(place) = self.place_of(fingerprint) {
            self.vacate(place, &mut order);
        }
    }

    /// How many verdicts it holds, the stale ones included.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn vacate(&self, place: usize, order: &mut Order) {
        let (set, way) = split(place);
        self.sets[set].clear(way);
        order.unlink(place);
    }

    /// The two sets of a fingerprint, never the same one.
    #[inline]
    fn candidates(&self, fingerprint: Fingerprint) -> [usize; 2] {
        // The upper halves, scaled to the number of sets, and to the number of the others.
        let scaled = |word: u64, to: usize| (((word >> 32) * to as u64) >> 32) as usize;
        let sets = self.sets.len();
        let first = scaled(fingerprint.high, sets);
        let second = first + 1 + scaled(fingerprint.low, sets - 1);
        [first, if second < sets { second } else { second - sets }]
    }

    fn place_of(&self, fingerprint: Fingerprint) -> Option<usize> {
        let find = |set: usize| Some(set * WAYS + self.sets[set].way_of(fingerprint)?);
        self.candidates(fingerprint).into_iter().find_map(find)
    }

    /// An empty way in the emptier set.
    fn vacancy(&self, fingerprint: Fingerprint) -> Option<usize> {
        let [first, second] = self.candidates(fingerprint);
        let emptier = if self.sets[second].empty() > self.sets[first].empty() {
            second
        } else {
            first
        };
        Some(emptier * WAYS + self.sets[emptier].empty_way()?)
    }

    /// The oldest of two full sets.
    fn oldest_of(&self, fingerprint: Fingerprint) -> usize {
        let [first, second] = self.candidates(fingerprint);
        let (a, b) = (self.sets[first].oldest(), self.sets[second].oldest());
        if b.1.expiry() < a.1.expiry() {
            second * WAYS + b.0
        } else {
            first * WAYS + a.0
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Order> {
        // Nothing that holds the lock can panic half-way.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn split(place: usize) -> (usize, usize) {
    (place / WAYS, place % WAYS)
}

#[cfg(all(test, not(loom)))]
mod tests;
