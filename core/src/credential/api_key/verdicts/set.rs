//! Eight verdicts that one thread may write while any number of others read.
//!
//! A verdict is three words (the fingerprint's two, and [`Word`]) that must be read as one. Each way has a version: odd while its
//! words are being replaced, and another one afterwards. A reader takes the words only if the version was even and the same
//! before and after: a sequence lock, of which readers never wait for the writer. If the version moved, another
//! verdict was taking the place, so the one that was looked for is gone.
//!
//! # Invariants
//!
//! - Words that a reader returns were written together, or by a renewal, which changes one word alone.
//! - One writer at a time: the store's lock sees to it.

use super::super::fingerprint::Fingerprint;
use super::super::privileges::Privileges;
use super::{Held, LIFETIME};
use crate::sync::{AtomicU64, Ordering, fence};

pub(super) const WAYS: usize = 8;

/// When a verdict ends, and what it says: nanoseconds, the lowest three bits being those of the privileges. 0 is no verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word(u64);

const PRIVILEGES: u64 = 0b111;
/// How far ahead an expiry can lie, with threads whose times differ a little and some to spare.
const LONGEST: u64 = 2 * LIFETIME;

impl Word {
    const EMPTY: Self = Self(0);

    /// A verdict that was asked for at `now`.
    pub(super) fn new(privileges: Privileges, now: u64) -> Self {
        Self(now.saturating_add(LIFETIME) & !PRIVILEGES | privileges.bits())
    }

    pub(super) fn expiry(self) -> u64 {
        self.0 & !PRIVILEGES
    }

    /// What it says at `now`. One that would hold for more than two minutes was stored under another clock, or time ran
    /// backwards: it counts for nothing.
    #[inline]
    pub(super) fn at(self, now: u64) -> Held {
        match self.expiry().checked_sub(now) {
            Some(1..=LONGEST) => Held::Live(Privileges::from_bits(self.0)),
            _ => Held::Stale,
        }
    }
}

/// The halves of fingerprints that are looked at first share a cache line.
#[repr(align(64))]
pub(super) struct Set {
    highs: [AtomicU64; WAYS],
    ways: [Way; WAYS],
}

struct Way {
    version: AtomicU64,
    low: AtomicU64,
    word: AtomicU64,
}

impl Set {
    pub(super) fn new() -> Self {
        Self {
            highs: std::array::from_fn(|_| AtomicU64::new(0)),
            ways: std::array::from_fn(|_| Way {
                version: AtomicU64::new(0),
                low: AtomicU64::new(0),
                word: AtomicU64::new(0),
            }),
        }
    }

    /// The verdict on this fingerprint, by any thread.
    #[inline]
    pub(super) fn read(&self, fingerprint: Fingerprint) -> Option<Word> {
        self.highs
            .iter()
            .zip(&self.ways)
            // Relaxed: a hint. It is read again where it counts.
            .filter(|(high, _)| high.load(Ordering::Relaxed) == fingerprint.high)
            .find_map(|(high, way)| way.read(high, fingerprint))
    }

    /// Where this fingerprint lies, for the writer.
    pub(super) fn way_of(&self, fingerprint: Fingerprint) -> Option<usize> {
        // Relaxed, here and in all that only the writer calls: the store's lock orders writers.
        (0..WAYS).find(|&way| {
            self.highs[way].load(Ordering::Relaxed) == fingerprint.high
                && self.ways[way].low.load(Ordering::Relaxed) == fingerprint.low
                && self.word(way) != Word::EMPTY
        })
    }

    pub(super) fn empty(&self) -> usize {
        (0..WAYS)
            .filter(|way| self.word(*way) == Word::EMPTY)
            .count()
    }

    pub(super) fn empty_way(&self) -> Option<usize> {
        (0..WAYS).find(|way| self.word(*way) == Word::EMPTY)
    }

    /// The way that ends first, and its word.
    pub(super) fn oldest(&self) -> (usize, Word) {
        (1..WAYS).fold((0, self.word(0)), |oldest, way| {
            let word = self.word(way);
            if word.expiry() < oldest.1.expiry() {
                (way, word)
            } else {
                oldest
            }
        })
    }

    /// Changes what is said of the fingerprint that lies here.
    pub(super) fn renew(&self, way: usize, word: Word) {
        // Relaxed: one word, and the others stay; a reader gets the verdict before or this one, and both are true.
        self.ways[way].word.store(word.0, Ordering::Relaxed);
    }

    /// Replaces what lies here.
    pub(super) fn write(&self, at: usize, fingerprint: Fingerprint, word: Word) {
        let way = &self.ways[at];
        let version = way.version.load(Ordering::Relaxed);
        // Relaxed, made effective by the fence: whoever reads one of the words that are stored below, and then fences with
        // Acquire, sees this odd version (or a later one) when it looks again, and drops what it read.
        way.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.highs[at].store(fingerprint.high, Ordering::Relaxed);
        way.low.store(fingerprint.low, Ordering::Relaxed);
        way.word.store(word.0, Ordering::Relaxed);
        // Release: whoever sees the even version sees all three words, or later ones.
        way.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    pub(super) fn clear(&self, way: usize) {
        self.write(way, Fingerprint { high: 0, low: 0 }, Word::EMPTY);
    }

    fn word(&self, way: usize) -> Word {
        Word(self.ways[way].word.load(Ordering::Relaxed))
    }
}

impl Way {
    #[inline]
    fn read(&self, high: &AtomicU64, fingerprint: Fingerprint) -> Option<Word> {
        // Acquire: pairs with the Release store that ended the last replacement.
        let before = self.version.load(Ordering::Acquire);
        let high = high.load(Ordering::Relaxed);
        let low = self.low.load(Ordering::Relaxed);
        let word = Word(self.word.load(Ordering::Relaxed));
        // Acquire: if one of the words came from a replacement that is going on, the version that it set first is seen below.
        fence(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        let settled = before == after && before.is_multiple_of(2);
        let found = high == fingerprint.high && low == fingerprint.low && word != Word::EMPTY;
        (settled && found).then_some(word)
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;

    const A: Fingerprint = Fingerprint { high: 1, low: 10 };
    /// Shares its first word with `A`, so that readers look at it closely.
    const B: Fingerprint = Fingerprint { high: 1, low: 20 };

    fn word(bits: u64) -> Word {
        Word::new(Privileges::from_bits(bits), 0)
    }

    /// One way changes from A to B and back to A, with other privileges; nobody sees what was never written.
    #[test]
    fn a_reader_sees_a_verdict_whole_or_not_at_all() {
        loom::model(|| {
            let set = Arc::new(Set::new());
            set.write(0, A, word(1));
            let writer = {
                let set = Arc::clone(&set);
                loom::thread::spawn(move || {
                    set.write(0, B, word(2));
                    set.write(0, A, word(4));
                })
            };
            let a = set.read(A);
            assert!(a.is_none() || a == Some(word(1)) || a == Some(word(4)));
            let b = set.read(B);
            assert!(b.is_none() || b == Some(word(2)));
            writer.join().unwrap();
            assert_eq!(set.read(A), Some(word(4)));
            assert_eq!(set.read(B), None);
        });
    }

    #[test]
    fn a_renewal_is_never_out_of_sight() {
        loom::model(|| {
            let set = Arc::new(Set::new());
            set.write(0, A, word(1));
            let writer = {
                let set = Arc::clone(&set);
                loom::thread::spawn(move || set.renew(0, word(3)))
            };
            let a = set.read(A);
            assert!(a == Some(word(1)) || a == Some(word(3)));
            writer.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_replaced_is_not_there() {
        let (set, fingerprint) = (Set::new(), Fingerprint { high: 1, low: 2 });
        let word = Word::new(Privileges::ALL, 0);
        set.write(3, fingerprint, word);
        assert_eq!(set.read(fingerprint), Some(word));
        // As in the middle of `write`.
        let version = &set.ways[3].version;
        version.fetch_add(1, Ordering::Relaxed);
        assert_eq!(set.read(fingerprint), None);
        version.fetch_add(1, Ordering::Relaxed);
        assert_eq!(set.read(fingerprint), Some(word));
    }
}
