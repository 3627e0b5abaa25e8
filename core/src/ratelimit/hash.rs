//! The keyed hash of client keys (P6): a random key per process, so that no client can aim at another's counter.

use ahash::RandomState;

use super::table::KeyHash;
use crate::client_ip::ClientKey;

/// Hashes client keys under a random key.
#[derive(Clone)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    /// A hasher with a fresh random key.
    pub(crate) fn new() -> Self {
        Self(RandomState::new())
    }

    /// A hasher whose key is known: for simulations that give the same figures in each run.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(RandomState::with_seeds(
            seed,
            !seed,
            seed.rotate_left(32),
            0,
        ))
    }

    #[inline]
    pub(crate) fn hash(&self, key: ClientKey) -> KeyHash {
        KeyHash::new(self.0.hash_one(key.bits()))
    }
}
