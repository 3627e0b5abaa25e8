//! A byte for each counter that says whose it probably is: eight of them, a window, are looked through at once.
//!
//! Invariant: hints are only hints. Whoever follows one checks the owner; whoever finds none looks at the
//! owners themselves before claiming a counter. So no ordering is needed, and a byte that is late or wrong costs time only.

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
    /// The next counter.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<usize> {
        let here = usize::from(self.bits[0] == 0);
        let bits = self.bits[here];
        self.bits[here] = bits & bits.wrapping_sub(1);
        (bits != 0).then(|| self.windows[here] * WINDOW + bits.trailing_zeros() as usize / 8)
    }
}

/// The highest bit of each byte that is equal in both words. Above the first such byte there may be false ones.
#[inline]
fn equal_bytes(a: u64, b: u64) -> u64 {
    let zero_if_equal = a ^ b;
    zero_if_equal.wrapping_sub(LOWEST) & !zero_if_equal & HIGHEST
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn the_first_equal_byte_is_found() {
        for tag in [1u8, 0x7f, 0x80, 0xff] {
            for place in 0..8 {
                for other in [0u8, 0x81, tag ^ 1, tag ^ 0x80] {
                    let mut bytes = [other; 8];
                    bytes[place] = tag;
                    let found = equal_bytes(u64::from_le_bytes(bytes), LOWEST * u64::from(tag));
                    assert_eq!(found.trailing_zeros() as usize / 8, place);
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
        let first = |hash| hints.look_up(candidates, hash).next();
        assert_eq!(first(one), None);
        hints.note(11, one);
        assert_eq!(first(one), Some(11));
        hints.note(2, one);
        let mut hits = hints.look_up(candidates, one);
        assert_eq!(
            [hits.next(), hits.next(), hits.next()],
            [Some(2), Some(11), None]
        );
        hints.note(2, other);
        hints.note(11, other);
        assert_eq!(first(one), None);
        assert_eq!(first(other), Some(2));
    }
}
