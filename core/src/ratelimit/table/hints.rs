//! A byte for each counter that says whose it probably is: eight of them, a window, are looked through at once.
//!
//! Invariant: hints are only hints. Whoever follows one checks the owner; whoever finds none looks at the
//! owners themselves before claiming a counter. So no ordering is needed, and a byte that is late or wrong costs time only.

use super::{Candidates, KeyHash, WINDOW};
use crate::sync::{AtomicU64, Ordering};

/// One word for each window, one byte for each counter; 0: nobody's yet.
pub(super) struct Hints(Box<[AtomicU64]>);

const LOWEST: u64 = 0x0101_0101_0101_0101;
const HIGHEST: u64 = 0x8080_8080_8080_8080;

impl Hints {
    pub(super) fn new(windows: usize) -> Self {
        Self(super::zeroed_words(windows))
    }

    /// The counter that is probably this key's.
    #[inline]
    pub(super) fn look_up(&self, candidates: Candidates, hash: KeyHash) -> Option<usize> {
        let wanted = LOWEST * u64::from(tag(hash));
        let [first, second] = candidates.windows;
        // Both are read before either is looked at, so that the processor waits for memory once.
        let (here, there) = (self.word(first), self.word(second));
        let (here, there) = (equal_bytes(here, wanted), equal_bytes(there, wanted));
        let (window, found) = if here != 0 {
            (first, here)
        } else {
            (second, there)
        };
        (found != 0).then(|| window * WINDOW + found.trailing_zeros() as usize / 8)
    }

    /// Notes whose counter this is.
    pub(super) fn note(&self, index: usize, hash: KeyHash) {
        let word = &self.0[index / WINDOW];
        let shift = index % WINDOW * 8;
        let noted = u64::from(tag(hash)) << shift;
        // Relaxed: see the invariant.
        let mut current = word.load(Ordering::Relaxed);
        while current & (0xff << shift) != noted {
            let new = current & !(0xff << shift) | noted;
            match word.compare_exchange_weak(current, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => current = newer,
            }
        }
    }

    #[inline]
    fn word(&self, window: usize) -> u64 {
        // Relaxed: see the invariant.
        self.0[window].load(Ordering::Relaxed)
    }
}

/// The byte that stands for a key; never 0.
#[inline]
fn tag(hash: KeyHash) -> u8 {
    (hash.fingerprint() as u8).max(1)
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
        let (one, other) = (KeyHash(0x1200_0000_0034), KeyHash(0x5600_0000_0078));
        assert_eq!(hints.look_up(candidates, one), None);
        hints.note(11, one);
        assert_eq!(hints.look_up(candidates, one), Some(11));
        hints.note(11, other);
        assert_eq!(hints.look_up(candidates, one), None);
        assert_eq!(hints.look_up(candidates, other), Some(11));
    }
}
