//! A byte for each counter that says whose it probably is: eight of them, a window, are looked through at once.
//!
//! Invariant: hints are only hints. Whoever follows one checks the owner; whoever finds none looks at the
//! owners themselves before claiming a counter. So no ordering is needed, and a byte that is late or wrong costs time only.

use std::hint::select_unpredictable;

use super::{Candidates, KeyHash, WINDOW, memory};
use crate::sync::{AtomicU64, Ordering};

/// One word for each window, one byte for each counter; 0: nobody's yet.
pub(super) struct Hints(Box<[AtomicU64]>);

const LOWEST: u64 = 0x0101_0101_0101_0101;
const HIGHEST: u64 = 0x8080_8080_8080_8080;

impl Hints {
    pub(super) fn new(windows: usize) -> Self {
        Self(memory::zeroed_words(windows))
    }

    /// The counters that are probably this key's: nearly always one, or none.
    #[inline(always)]
    pub(super) fn look_up(&self, candidates: Candidates, hash: KeyHash) -> Hits {
        let wanted = LOWEST * u64::from(hash.tag());
        let [first, second] = candidates.windows;
        // Both are read before either is looked at, so that the processor waits for memory once.
        let words = [self.word(first), self.word(second)];
        Hits {
            windows: candidates.windows,
            bits: words.map(|word| equal_bytes(word, wanted)),
        }
    }

    /// Has both words fetched into the cache.
    #[inline(always)]
    pub(super) fn prefetch(&self, candidates: Candidates) {
        let words = candidates.windows.map(|window| &self.0[window]);
        words.into_iter().for_each(memory::prefetch);
    }

    /// Notes whose counter this is.
    #[inline]
    pub(super) fn note(&self, index: usize, hash: KeyHash) {
        let word = &self.0[index / WINDOW];
        let shift = index % WINDOW * 8;
        // Relaxed, and no compare-and-swap: see the invariant. If two threads note hints of one window at once, one of them is lost,
        // and whoever misses it notes it again.
        let others = word.load(Ordering::Relaxed) & !(0xff << shift);
        word.store(others | u64::from(hash.tag()) << shift, Ordering::Relaxed);
    }

    #[inline]
    fn word(&self, window: usize) -> u64 {
        // Relaxed: see the invariant.
        self.0[window].load(Ordering::Relaxed)
    }
}

/// What a look-up found, to be gone through.
#[derive(Clone, Default)]
pub(crate) struct Hits {
    windows: [usize; 2],
    /// The highest bit of each byte that says so, for either window.
    bits: [u64; 2],
}

impl Hits {
    /// The first counter.
    #[inline(always)]
    pub(super) fn first(&self) -> Option<usize> {
        let [here, there] = self.bits;
        // In which of both windows a key's counter is can't be predicted; to compute both costs less than to guess.
        let window = select_unpredictable(here != 0, self.windows[0], self.windows[1]);
        let bits = select_unpredictable(here != 0, here, there);
        (here | there != 0).then(|| window * WINDOW + bits.trailing_zeros() as usize / 8)
    }

    /// All others.
    pub(super) fn without_first(&self) -> Self {
        let mut rest = self.clone();
        let bits = usize::from(rest.bits[0] == 0);
        rest.bits[bits] &= rest.bits[bits].wrapping_sub(1);
        rest
    }
}

/// The highest bit of each byte that is equal in both words.
#[inline]
fn equal_bytes(a: u64, b: u64) -> u64 {
    let zero_if_equal = a ^ b;
    // Adding to seven bits of each byte carries into the eighth, and no further, unless all seven are 0.
    !(((zero_if_equal & !HIGHEST) + !HIGHEST) | zero_if_equal | !HIGHEST)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_found_and_no_others() {
        for tag in [1u8, 2, 0x7f, 0x80, 0xff] {
            for place in 0..8 {
                for other in [0u8, 0x81, tag ^ 1, tag ^ 0x80] {
                    let mut bytes = [other; 8];
                    bytes[place] = tag;
                    let found = equal_bytes(u64::from_le_bytes(bytes), LOWEST * u64::from(tag));
                    assert_eq!(found, 0x80 << (place * 8), "{tag} {place} {other}");
                }
            }
            assert_eq!(equal_bytes(0, LOWEST * u64::from(tag)), 0);
        }
    }

    #[test]
    fn a_note_is_found_and_replaced() {
        let hints = Hints::new(2);
        let candidates = Candidates { windows: [0, 1] };
        let (one, other) = (KeyHash::new(0x34 << 18), KeyHash::new(0x78 << 18));
        let first = |hash| hints.look_up(candidates, hash).first();
        assert_eq!(first(one), None);
        hints.note(11, one);
        assert_eq!(first(one), Some(11));
        hints.note(2, one);
        let hits = hints.look_up(candidates, one);
        assert_eq!(hits.first(), Some(2));
        assert_eq!(hits.without_first().first(), Some(11));
        assert_eq!(hits.without_first().without_first().first(), None);
        hints.note(2, other);
        hints.note(11, other);
        assert_eq!(first(one), None);
        assert_eq!(first(other), Some(2));
    }

    #[test]
    fn all_counters_that_may_be_the_keys_are_gone_through() {
        let candidates = Candidates { windows: [1, 3] };
        let (one, other) = (KeyHash::new(0x34 << 18), KeyHash::new(0x78 << 18));
        for noted in [
            &[11, 27][..], // The same place in both windows.
            &[8, 15],
            &[24, 31],
            &[8, 9, 10, 14, 15, 25, 26, 31],
        ] {
            let hints = Hints::new(4);
            (0..32).for_each(|index| hints.note(index, other));
            noted.iter().for_each(|&index| hints.note(index, one));
            let mut hits = hints.look_up(candidates, one);
            for &index in noted {
                assert_eq!(hits.first(), Some(index));
                hits = hits.without_first();
            }
            assert_eq!(hits.first(), None);
        }
    }
}
