//! The API keys that are verified without asking anybody: `apm-server.auth.api_key.keys`.
//!
//! They need no cached verdict: a look-up and one SHA-256 take well below a microsecond, whether the key is good or bad. An
//! id that is listed here is decided here, so a flood of bad keys for it never reaches Elasticsearch. The time tells whether
//! an id is listed (ids are no secrets), not how much of a key is right.

use std::collections::HashMap;

use super::hashed::HashedKey;
use super::presented::PresentedKey;
use super::privileges::Privileges;
use crate::config::LocalApiKey;

/// The local keys of a configuration. Immutable; any number of threads may ask it.
pub(crate) struct LocalKeys(HashMap<Box<str>, (HashedKey, Privileges), ahash::RandomState>);

impl LocalKeys {
    /// An entry whose hash is malformed (the configuration accepts none) is one that nothing matches.
    pub(crate) fn new(keys: &[LocalApiKey]) -> Self {
        let entry = |key: &LocalApiKey| {
            let privileges = key.privileges.iter().copied().collect();
            let hash = HashedKey::parse(key.hash.expose())?;
            Some((key.id.as_str().into(), (hash, privileges)))
        };
        Self(keys.iter().filter_map(entry).collect())
    }

    /// `None`: no such id. Otherwise what the key may do, which is nothing if the key is wrong.
    pub(crate) fn verify(&self, presented: PresentedKey<'_>) -> Option<Privileges> {
        let (hash, privileges) = self.0.get(presented.id())?;
        Some(if hash.matches(presented.key()) {
            *privileges
        } else {
            Privileges::NONE
        })
    }
}
