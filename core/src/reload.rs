//! Where the engine's configuration comes from, and how it is replaced while decisions go on.
//!
//! # Invariants
//!
//! - A configuration is taken whole or not at all: it is read and validated before anything is changed.
//! - Reloads are made one after another, and block no decision.
//! - Live counters are kept (P7).

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::config::{Config, ConfigError, Loaded, Warning};
use crate::engine::Engine;
use crate::snapshot::Snapshot;

/// Where the configuration in force came from.
pub(crate) struct Origin {
    /// The file to read again, if it was a file.
    path: Option<PathBuf>,
    /// The files that were read.
    files: Vec<PathBuf>,
    warnings: Vec<Warning>,
}

impl Origin {
    fn program() -> Self {
        Self {
            path: None,
            files: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn loaded(loaded: Loaded, path: Option<&Path>) -> (Config, Self) {
        let origin = Self {
            path: path.map(Path::to_owned),
            files: loaded.files,
            warnings: loaded.warnings,
        };
        (loaded.config, origin)
    }
}

impl Engine {
    /// An engine with this configuration.
    ///
    /// # Errors
    /// If a value of the configuration is out of range: all such values are named.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Self::with_config(&config, Origin::program())
    }

    /// An engine with the configuration of this file.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let (config, origin) = Origin::loaded(Config::load(path)?, Some(path));
        Self::with_config(&config, origin)
    }

    /// An engine with this configuration, as YAML. Variables are taken from the process environment, relative paths
    /// begin at the working directory.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn from_yaml(yaml: &str) -> Result<Self, ConfigError> {
        let (config, origin) = Origin::loaded(parse(yaml)?, None);
        Self::with_config(&config, origin)
    }

    /// Replaces the configuration, whole or not at all, and returns its number ([`Stats::generation`](crate::Stats)).
    /// Live counters are kept: nobody is refilled, and changed limits hold at once. Decisions go on meanwhile.
    ///
    /// # Errors
    /// If a value is out of range. The configuration before stays in force, and the failure is counted.
    pub fn reload(&self, config: Config) -> Result<u64, ConfigError> {
        let origin = self.origin();
        self.counted(config.validate())?;
        self.replace(&config, Origin::program(), origin)
    }

    /// As [`Engine::reload`], with the configuration of this file; `None`: of the file that the one in force came from.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or that there is none to read again.
    pub fn reload_file(&self, path: Option<&Path>) -> Result<u64, ConfigError> {
        let current = self.origin();
        let Some(path) = path.map(Path::to_owned).or_else(|| current.path.clone()) else {
            return self.counted(Err(ConfigError::no_file_to_reload()));
        };
        let loaded = self.counted(Config::load(&path))?;
        let (config, origin) = Origin::loaded(loaded, Some(&path));
        self.replace(&config, origin, current)
    }

    /// As [`Engine::reload`], with this configuration, as YAML.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn reload_yaml(&self, yaml: &str) -> Result<u64, ConfigError> {
        let current = self.origin();
        let loaded = self.counted(parse(yaml))?;
        let (config, origin) = Origin::loaded(loaded, None);
        self.replace(&config, origin, current)
    }

    /// What works in the configuration in force but deserves a word: deprecated keys, keys without effect.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.origin().warnings.clone()
    }

    /// The files that the configuration in force was read from: when one changes, reload.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.origin().files.clone()
    }

    fn replace(
        &self,
        config: &Config,
        origin: Origin,
        mut current: MutexGuard<'_, Origin>,
    ) -> Result<u64, ConfigError> {
        let before = self.snapshot.load();
        // The last step that can fail: what it reads is not in the configuration itself.
        let api_keys = self.counted(before.api_keys.reconfigured(&config.api_key))?;
        let generation = before.generation + 1;
        let limiter = before.limiter.reconfigured(Snapshot::limits(config));
        let handover = limiter.in_handover();
        self.snapshot
            .store(Snapshot::new(config, limiter, Arc::clone(&api_keys), generation).into());
        if handover {
            // Decisions take over what they touch; the rest is taken over here, and then the old table can go.
            let limiter = self.snapshot.load().limiter.complete_handover();
            self.snapshot
                .store(Snapshot::new(config, limiter, api_keys, generation).into());
        }
        *current = origin;
        Ok(generation)
    }

    pub(crate) fn origin(&self) -> MutexGuard<'_, Origin> {
        // A panic can't leave this half done: it is replaced as a whole.
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted<T>(&self, result: Result<T, ConfigError>) -> Result<T, ConfigError> {
        if result.is_err() {
            // Relaxed: a statistic.
            self.counters.reload_errors.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

fn parse(yaml: &str) -> Result<Loaded, ConfigError> {
    let env = |variable: &str| std::env::var(variable).ok();
    Config::parse(yaml, "configuration", &env, None)
}
