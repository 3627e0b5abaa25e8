//! After a fork: what a child process has to begin anew.
//!
//! A fork copies the memory and one thread. So counters, statistics and the configuration are there, each process with a copy of its
//! own; but no thread that verifies, none that watches, and connections that are now shared with the parent.

use std::sync::Arc;

use crate::config::ConfigError;
use crate::engine::Engine;

impl Engine {
    /// Call this in a forked process before anything else is asked of the engine there, in every one of its engines. (The Python
    /// package does so by itself.) The configuration, the live counters and the statistics stay what they were at the fork, and
    /// go their own way from there: **each process limits by itself**, so `n` processes together admit up to `n` times as much.
    ///
    /// Begun anew: the threads that verify API keys, verdicts, verifications under way, and connections to Elasticsearch. A
    /// `Watcher` (feature `watch`) does not watch here: forget it ([`std::mem::forget`]; dropping it waits for its thread, which does
    /// not exist) and watch anew.
    ///
    /// Fork while no other thread reloads: a lock that such a thread held stays locked in the child.
    ///
    /// # Errors
    /// If the client for Elasticsearch can't be made anew. API keys can't be verified then.
    pub fn after_fork(&self) -> Result<(), ConfigError> {
        self.pool.after_fork();
        self.snapshot.after_fork();
        let _one_at_a_time = self.origin();
        let snapshot = self.snapshot.full();
        let api_keys = snapshot.api_keys.after_fork()?;
        // The parent's verifications hold locks and connections of these: they are left alone, not dropped.
        std::mem::forget(Arc::clone(&snapshot.api_keys));
        let next = snapshot.with_api_keys(api_keys);
        drop(snapshot);
        self.snapshot.store(next.into());
        Ok(())
    }
}
