//! The keyed hash under which a verdict is cached: SipHash-2-4 with 128 bits of output, over the whole credential.
//!
//! # Why this hash
//!
//! A collision would lend one key's verdict to another, so it must be out of reach of a client that chooses its credentials
//! and watches the answers. SipHash-2-4 is a pseudo-random function: without its key (128 random bits, per cache, never
//! shown) nothing is better than guessing, and 128 bits of output make a guess against a full cache of a million keys succeed
//! once in 2^108 tries, each a request. ahash and the like promise no such thing: they withstand floods of collisions in a
//! table, not forgery. HMAC-SHA256 or BLAKE3 would do too and take five to ten times as long on 60 bytes.
//!
//! Invariant: the cache holds fingerprints only. Without the key they tell nothing of a credential.

use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip128::SipHasher24;

/// 128 bits that stand for one credential, within one cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    pub(crate) high: u64,
    pub(crate) low: u64,
}

/// Makes fingerprints under a random key of its own.
pub(crate) struct Fingerprinter(SipHasher24);

impl Fingerprinter {
    pub(crate) fn new() -> Self {
        let mut key = [0; 16];
        if getrandom::fill(&mut key).is_err() {
            // The standard library has random keys of its own, which it got before or stops the process over.
            for half in key.as_chunks_mut::<8>().0 {
                *half = RandomState::new().build_hasher().finish().to_ne_bytes();
            }
        }
        Self(SipHasher24::new_with_key(&key))
    }

    #[inline]
    pub(crate) fn of(&self, credential: &[u8]) -> Fingerprint {
        let hash = self.0.hash(credential);
        Fingerprint {
            high: hash.h1,
            low: hash.h2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts_and_every_key_differs() {
        let (a, b) = (Fingerprinter::new(), Fingerprinter::new());
        let credential = *b"VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==";
        assert_eq!(a.of(&credential), a.of(&credential));
        assert_ne!(a.of(&credential), b.of(&credential));
        for at in 0..credential.len() {
            let mut other = credential;
            other[at] ^= 1;
            assert_ne!(a.of(&credential), a.of(&other));
            assert_ne!(a.of(&credential), a.of(&credential[..at]));
        }
    }
}
