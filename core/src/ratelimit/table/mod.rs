//! The counters: a table of fixed capacity, lock-free, that never allocates after it was made.
//!
//! The counters stand in windows of eight, the last one perhaps shorter. A client key hashes to two windows (where there
//! is one, to that) and may own any one of their counters. Looking up reads a byte for each candidate (`hints.rs`) and
//! then one counter, a single cache line of a large table; charging is one compare-and-swap on its TAT. A key that owns
//! no counter takes over the candidate with the smallest TAT and inherits that TAT (`claim.rs`). A table can be replaced
//! by one of another size while it is in use (`handover.rs`).
//!
//! # Invariants
//!
//! - P1: there are exactly `capacity` counters, and the TAT of each only grows, whoever owns it. GCRA bounds what one
//!   counter admits, so the sum is bounded whatever the threads do and however late they are: a charge that was meant for
//!   a previous owner lands on *some* counter and keeps its bound.
//! - P2: no key owns two counters at once (`claim.rs` has the argument).
//! - P5: 17 bytes a counter: 16 for owner and TAT, 1 for the hint.

mod claim;
mod contention;
#[cfg(test)]
#[cfg(not(loom))]
mod crafted;
mod handover;
mod hints;
mod memory;
#[cfg(test)]
#[cfg(loom)]
#[path = "../../../tests/loom/mod.rs"]
mod models;
mod slot;
#[cfg(test)]
#[cfg(not(loom))]
mod steps;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::sync::Arc;

use self::hints::Hints;
pub(crate) use self::hints::Hits;
use self::memory::{prefetch, zeroed_slots};
use self::slot::{FROZEN, Slot};
use super::gcra::{Conformance, Gcra};
use crate::sync::{AtomicU64, OnceLock, Ordering, Statistic, mutant, unless_mutant};

/// Counters in a window. Two where models are checked, so that few counters make two windows.
const WINDOW: usize = if cfg!(loom) { 2 } else { 8 };
/// Bytes in a cache line. The first counter starts one, so that no counter lies in two.
const CACHE_LINE: usize = 64;
/// How many counters the allocation may have to skip until a cache line starts.
const SKIPPED: usize = (CACHE_LINE / size_of::<Slot>()).saturating_sub(1);

/// A client key's hash, keyed and well mixed: where its windows are, and how it is told from others. 46 bits, so that an owner
/// word has room for all of it: of 10^6 clients one in 7 * 10^7 shares its counter with another one, of 10^8 one in 7 * 10^5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    /// The bits of a word that a hash has: the upper ones.
    const BITS: u64 = !0 << 18;

    /// The upper bits of this word.
    #[inline]
    pub(crate) fn new(word: u64) -> Self {
        Self(word & Self::BITS)
    }

    #[inline]
    fn bits(self) -> u64 {
        self.0
    }

    /// The half that chooses the first window.
    #[inline]
    fn locator(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// A byte that has nothing to do with where the first window is; never 0.
    #[inline]
    fn tag(self) -> u8 {
        ((self.0 >> Self::BITS.trailing_zeros()) as u8).max(1)
    }
}

/// What a batch came to, and the TAT of the counter that said so (before a refusal, after an admission). Two words, which are handed over
/// in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// The wait of a batch that conforms; of one that does not, [`Charge::REFUSED`] and how long until it will; or [`Charge::NEVER`].
    said: u64,
    pub(crate) tat: u64,
}

impl Charge {
    /// Far above every wait.
    const REFUSED: u64 = 1 << 63;
    const NEVER: u64 = u64::MAX;

    #[inline]
    fn new(conformance: Conformance, tat: u64) -> Self {
        let said = match conformance {
            Conformance::Conforming { wait, .. } => wait,
            Conformance::NonConforming { retry_after } => {
                // As all TATs are below 2^63, and no wait is as long as that.
                debug_assert!(retry_after < Self::REFUSED - 1);
                retry_after | Self::REFUSED
            }
            Conformance::ExceedsBurst => Self::NEVER,
        };
        Self { said, tat }
    }

    /// What GCRA said. Of a peek, which charges nothing, the TAT is the counter's.
    #[inline]
    pub(crate) fn conformance(self) -> Conformance {
        match self.said {
            Self::NEVER => Conformance::ExceedsBurst,
            retry_after @ Self::REFUSED.. => Conformance::NonConforming {
                retry_after: retry_after & !Self::REFUSED,
            },
            wait => Conformance::Conforming {
                tat: self.tat,
                wait,
            },
        }
    }
}

/// A batch to charge.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) hash: KeyHash,
    /// Events; 0 is a peek, which charges nothing and takes over no counter.
    pub(crate) n: u64,
    /// Nanoseconds.
    pub(crate) now: u64,
    /// How long the caller would wait for room, in nanoseconds.
    pub(crate) max_wait: u64,
}

/// The table. See the module's documentation.
pub(crate) struct Table {
    /// `capacity` counters from `first` on.
    slots: Box<[Slot]>,
    first: usize,
    hints: Hints,
    capacity: usize,
    windows: u32,
    /// Takeovers of counters whose TAT still lay ahead.
    displaced: crossbeam_utils::CachePadded<Statistic>,
    /// Claims that the incarnation numbers have forgotten, since they have few bits.
    forgotten_claims: crossbeam_utils::CachePadded<Statistic>,
    /// The largest TAT of all counters that a smaller table dropped: where counters start that a larger one gets later.
    dropped: AtomicU64,
    /// The table that replaced this one. Set before any TAT is frozen.
    next: OnceLock<Arc<Table>>,
}

/// Where a key's counter may be: two windows, different ones unless there is only one.
#[derive(Clone, Copy)]
struct Candidates {
    windows: [usize; 2],
}

/// The counters of a window.
#[derive(Clone, Copy)]
struct Window<'a> {
    /// The index of the first one.
    start: usize,
    slots: &'a [Slot],
}

impl Window<'_> {
    /// Has all of them fetched into the cache.
    #[inline(always)]
    fn prefetch(self) {
        // Half of a window is a cache line.
        for slot in [self.slots.first(), self.slots.get(WINDOW / 2)] {
            slot.into_iter().for_each(prefetch);
        }
    }
}

impl Candidates {
    /// The windows, each once.
    #[inline]
    fn windows(self) -> impl Iterator<Item = usize> {
        let [first, second] = self.windows;
        std::iter::once(first).chain((second != first).then_some(second))
    }
}

impl Table {
    /// A table of exactly `capacity` counters (at least one), all unused. Memory is touched when it is first needed.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let slots = zeroed_slots(capacity + SKIPPED);
        let first = (0..SKIPPED)
            .find(|&skip| {
                std::ptr::from_ref(&slots[skip])
                    .addr()
                    .is_multiple_of(CACHE_LINE)
            })
            .unwrap_or(SKIPPED);
        Self {
            slots,
            first,
            hints: Hints::new(capacity.div_ceil(WINDOW)),
            capacity,
            windows: capacity.div_ceil(WINDOW) as u32,
            displaced: Statistic::new(0).into(),
            forgotten_claims: Statistic::new(0).into(),
            dropped: AtomicU64::new(0),
            next: OnceLock::new(),
        }
    }

    /// How many counters have a TAT ahead of `now`. Reads the whole table.
    pub(crate) fn live(&self, now: u64) -> usize {
        (0..self.capacity)
            .filter(|&i| self.slot(i).tat() & !FROZEN > now)
            .count()
    }

    /// How many claims displaced a key whose TAT still lay ahead.
    pub(crate) fn displaced(&self) -> u64 {
        // Relaxed: a statistic.
        self.displaced.load(Ordering::Relaxed)
    }

    /// How many times a counter got a new owner. Reads the whole table.
    pub(crate) fn claims(&self) -> u64 {
        let remembered: u64 = (0..self.capacity)
            .map(|i| self.slot(i).owner().incarnation())
            .sum();
        // Relaxed: a statistic.
        remembered + self.forgotten_claims.load(Ordering::Relaxed)
    }

    /// Charges a batch. `previous` is the table that this one replaces, while the handover lasts.
    #[inline(always)]
    pub(crate) fn charge(&self, batch: &Batch, gcra: &Gcra, previous: Option<&Table>) -> Charge {
        let hits = self.hints.look_up(self.candidates(batch.hash), batch.hash);
        self.charge_one_of(&hits, batch, gcra, previous)
    }

    /// Charges a batch to that one of these counters which the key owns; if it owns none of them, as [`Table::charge`].
    #[inline(always)]
    pub(crate) fn charge_one_of(
        &self,
        hits: &Hits,
        batch: &Batch,
        gcra: &Gcra,
        previous: Option<&Table>,
    ) -> Charge {
        match hits.first() {
            Some(index) if self.slot(index).owner().is_owned_by(batch.hash) => {
                self.charge_counter(index, batch, gcra, previous)
            }
            Some(_) => self.charge_one_of_the_rest(hits, batch, gcra, previous),
            None => self.charge_newcomer(batch, gcra, previous),
        }
    }

    /// As [`Table::charge_one_of`], where the first one is another key's.
    #[cold]
    #[inline(never)]
    fn charge_one_of_the_rest(
        &self,
        hits: &Hits,
        batch: &Batch,
        gcra: &Gcra,
        previous: Option<&Table>,
    ) -> Charge {
        let rest = hits.without_first();
        if rest.first().is_some() {
            self.charge_one_of(&rest, batch, gcra, previous)
        } else {
            // Or the hints are late.
            self.charge_newcomer(batch, gcra, previous)
        }
    }

    /// Has the key's hints fetched into the cache.
    #[inline(always)]
    pub(crate) fn prefetch_hints(&self, hash: KeyHash) {
        self.hints.prefetch(self.candidates(hash));
    }

    /// Looks the key's hints up, and has the counters that they tell of fetched into the cache.
    #[inline(always)]
    pub(crate) fn prefetch_counter(&self, hash: KeyHash) -> Hits {
        let hits = self.hints.look_up(self.candidates(hash), hash);
        match hits.first() {
            Some(index) => prefetch(self.slot(index)),
            // All candidates: it is a newcomer's.
            None => self.windows_of(hash).into_iter().for_each(Window::prefetch),
        }
        hits
    }

    /// The counter that this key owns. Reads all candidates.
    #[cold]
    fn find_exactly(&self, hash: KeyHash) -> Option<usize> {
        self.candidates_of(hash)
            .find(|&index| self.slot(index).owner().is_owned_by(hash))
    }

    /// The counter that this key owned last, if it has been nobody's since.
    #[cold]
    fn find_loose(&self, hash: KeyHash) -> Option<usize> {
        self.candidates_of(hash)
            .find(|&index| self.slot(index).owner_seqcst().is_remembered_by(hash))
    }

    /// GCRA's loop: reads the TAT, decides, and stores the new TAT if nobody was faster.
    #[inline(always)]
    fn charge_counter(
        &self,
        index: usize,
        batch: &Batch,
        gcra: &Gcra,
        previous: Option<&Table>,
    ) -> Charge {
        let slot = self.slot(index);
        let mut tat = slot.tat();
        loop {
            if tat & FROZEN != 0 {
                return self.charge_elsewhere(index, batch, gcra, previous);
            }
            let conformance = gcra.conform(tat, batch.now, batch.n, batch.max_wait);
            let Conformance::Conforming { tat: new, .. } = conformance else {
                return Charge::new(conformance, tat);
            };
            if batch.n == 0 {
                return Charge::new(conformance, tat);
            }
            let success = unless_mutant("charge_relaxed", Ordering::Release, Ordering::Relaxed);
            if mutant("charge_stores") {
                tat = slot.tat();
            }
            // Release on success: whoever freezes this TAT must see that the key owned the counter. Acquire on
            // failure: as `Slot::tat`. The order of charges among each other needs no more than this word's own.
            match slot
                .tat
                .compare_exchange_weak(tat, new, success, Ordering::Acquire)
            {
                Ok(_) => return Charge::new(conformance, new),
                // It failed for no reason, as it may.
                Err(seen) if seen == tat => {}
                Err(_) => {
                    // Somebody else charges this counter now.
                    contention::stand_back(slot, batch.now);
                    tat = slot.tat();
                }
            }
        }
    }

    /// The first window is one of the left half, the second one of the right half; where there is one window, it is both.
    #[inline(always)]
    fn candidates(&self, hash: KeyHash) -> Candidates {
        let right = self.windows / 2;
        let left = self.windows - right;
        let first = scale(hash.locator(), left);
        // Multiplying by an odd constant (2^64 divided by the golden ratio) mixes both halves of the hash into the upper one, so
        // that keys sharing a first window part ways.
        let mixed = hash
            .bits()
            .rotate_left(32)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let second = (left + scale((mixed >> 32) as u32, right)).min(self.windows - 1);
        Candidates {
            windows: [first as usize, second as usize],
        }
    }

    /// The counters that a key may own, window by window.
    fn candidates_of(&self, hash: KeyHash) -> impl Iterator<Item = usize> {
        self.candidates(hash)
            .windows()
            .flat_map(|window| self.window(window))
    }

    /// Whether the table has counters that are no candidates of a given key.
    #[inline(always)]
    fn has_others_than_candidates(&self) -> bool {
        self.capacity > 2 * WINDOW
    }

    /// The counters of a window: eight, or fewer in the last one.
    #[inline(always)]
    fn window(&self, window: usize) -> std::ops::Range<usize> {
        let start = window * WINDOW;
        start..(start + WINDOW).min(self.capacity)
    }

    /// The windows of a key; where both are one, the second is empty.
    #[inline(always)]
    fn windows_of(&self, hash: KeyHash) -> [Window<'_>; 2] {
        let [first, second] = self.candidates(hash).windows;
        let last = if second == first { 0 } else { WINDOW };
        [(first, WINDOW), (second, last)].map(|(window, at_most)| {
            let start = window * WINDOW;
            let length = at_most.min(self.capacity - start);
            Window {
                start,
                slots: &self.slots[self.first + start..][..length],
            }
        })
    }

    #[inline]
    fn slot(&self, index: usize) -> &Slot {
        &self.slots[self.first + index]
    }
}

/// Maps 32 random bits evenly to `0..n` (Lemire's multiply-shift).
#[inline]
fn scale(random: u32, n: u32) -> u32 {
    ((u64::from(random) * u64::from(n)) >> 32) as u32
}
