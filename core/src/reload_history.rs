//! The history of reloads: when, what changed, or why it was refused.
//!
//! Invariants: it keeps the last [`KEPT`] reloads, and of each no more than [`MOST_PROBLEMS`] problems. It names keys, never values
//! of secrets. Decisions never come here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::config::{ConfigError, Problem};

/// How many reloads are kept.
const KEPT: usize = 32;
/// How many problems are kept of a refused reload.
const MOST_PROBLEMS: usize = 20;

/// An attempt to replace the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reload {
    /// When, by the system's clock.
    pub time: SystemTime,
    /// The number of the configuration that was in force afterwards.
    pub generation: u64,
    /// What came of it.
    pub outcome: ReloadOutcome,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReloadOutcome {
    /// The new configuration is in force.
    #[non_exhaustive]
    Taken {
        /// The full names of the keys whose value changed; of a secret, that it changed. Tokens of a token file count as
        /// `apm-server.auth.secret_token`; certificates that were renewed in place are named by their keys. Empty: the new one says the same.
        changed: Vec<&'static str>,
    },
    /// The new configuration is wrong; the one before stayed in force.
    #[non_exhaustive]
    Refused {
        /// What is wrong: the first 20 problems.
        problems: Vec<Problem>,
        /// How many problems there are in all.
        count: usize,
    },
}

pub(crate) struct ReloadHistory(Mutex<VecDeque<Reload>>);

impl ReloadHistory {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    pub(crate) fn reloaded(&self, generation: u64, changed: Vec<&'static str>) {
        self.add(generation, ReloadOutcome::Taken { changed });
    }

    pub(crate) fn refused(&self, generation: u64, error: &ConfigError) {
        let problems = error.problems.iter().take(MOST_PROBLEMS).cloned().collect();
        let count = error.problems.len();
        self.add(generation, ReloadOutcome::Refused { problems, count });
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> Vec<Reload> {
        self.lock().iter().cloned().collect()
    }

    fn add(&self, generation: u64, outcome: ReloadOutcome) {
        let mut reloads = self.lock();
        if reloads.len() == KEPT {
            reloads.pop_front();
        }
        reloads.push_back(Reload {
            time: SystemTime::now(),
            generation,
            outcome,
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Reload>> {
        // A panic can't leave this half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, config::Config};

    #[test]
    fn a_reload_says_which_keys_changed() {
        let engine = Engine::from_yaml("apm-server.auth.secret_token: hunter2").unwrap();
        assert!(engine.stats().reloads.is_empty());
        engine
            .reload_yaml("{apm-server.auth.secret_token: hunter3, apm-server.rum.enabled: true}")
            .unwrap();
        let [reload] = &engine.stats().reloads[..] else {
            panic!();
        };
        assert_eq!(reload.generation, 2);
        let changed = vec!["apm-server.auth.secret_token", "apm-server.rum.enabled"];
        assert_eq!(reload.outcome, ReloadOutcome::Taken { changed });
        assert!(!format!("{reload:?}").contains("hunter"));
    }

    #[test]
    fn a_refused_reload_says_why_and_that_the_old_one_is_in_force() {
        let engine = Engine::new(Config::default()).unwrap();
        let error = engine
            .reload_yaml("apm-server.auth.secret_tokn: hunter2")
            .unwrap_err();
        assert!(engine.reload_file(None).is_err());
        let reloads = engine.stats().reloads;
        assert_eq!(reloads.len(), 2);
        assert!(reloads.iter().all(|reload| reload.generation == 1));
        let ReloadOutcome::Refused { problems, count } = &reloads[0].outcome else {
            panic!();
        };
        assert_eq!((problems, *count), (&error.problems, 1));
        assert!(!format!("{reloads:?}").contains("hunter2"));
    }

    #[test]
    fn the_history_is_bounded() {
        let engine = Engine::new(Config::default()).unwrap();
        let many = "apm-server.auth: {".to_owned()
            + &(0..25).map(|i| format!("k{i}: 1, ")).collect::<String>()
            + "}";
        for _ in 0..KEPT {
            engine.reload(Config::default()).unwrap();
            engine.reload_yaml(&many).unwrap_err();
        }
        let reloads = engine.stats().reloads;
        assert_eq!(reloads.len(), KEPT);
        let ReloadOutcome::Refused { problems, count } = &reloads[KEPT - 1].outcome else {
            panic!();
        };
        assert_eq!((problems.len(), *count), (MOST_PROBLEMS, 25));
        assert_eq!(reloads[KEPT - 2].generation, 1 + KEPT as u64);
    }
}
