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

use crate::config::{self, Config, ConfigError, Loaded, Places, Warning};
use crate::credential::api_key::ApiKeys;
use crate::engine::Engine;
use crate::snapshot::Snapshot;

/// Where the configuration in force came from.
pub(crate) struct Origin {
    /// What is in force, to tell what the next one changes.
    pub(crate) config: Config,
    /// The file to read again, if it was a file.
    path: Option<PathBuf>,
    /// Where everything stood in which files.
    places: Places,
    warnings: Vec<Warning>,
}

impl Origin {
    fn program(config: Config) -> Self {
        Self {
            config,
            path: None,
            places: Places::default(),
            warnings: Vec::new(),
        }
    }

    fn loaded(loaded: Loaded, path: Option<&Path>) -> Self {
        Self {
            path: path.map(Path::to_owned),
            places: loaded.places(),
            config: loaded.config,
            warnings: loaded.warnings,
        }
    }
}

impl Engine {
    /// An engine with this configuration.
    ///
    /// # Errors
    /// If a value of the configuration is out of range: all such values are named.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Self::with_origin(Origin::program(config))
    }

    /// An engine with the configuration of this file.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let loaded = Config::load(path)?;
        Self::with_places(Origin::loaded(loaded, Some(path)))
    }

    /// An engine with this configuration, as YAML. Variables are taken from the process environment, relative paths
    /// begin at the working directory.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn from_yaml(yaml: &str) -> Result<Self, ConfigError> {
        Self::with_places(Origin::loaded(parse(yaml)?, None))
    }

    fn with_places(origin: Origin) -> Result<Self, ConfigError> {
        let places = origin.places.clone();
        Self::with_origin(origin).map_err(|error| places.give(error))
    }

    /// Replaces the configuration, whole or not at all, and returns its number ([`Stats::generation`](crate::Stats)).
    /// Live counters are kept: nobody is refilled, and changed limits hold at once. Decisions go on meanwhile.
    ///
    /// # Errors
    /// If a value is out of range. The configuration before stays in force, and the failure is counted.
    pub fn reload(&self, config: Config) -> Result<u64, ConfigError> {
        let current = self.origin();
        self.noted(config.validate())?;
        self.replace(Origin::program(config), current)
    }

    /// As [`Engine::reload`], with the configuration of this file; `None`: of the file that the one in force came from.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or that there is none to read again.
    pub fn reload_file(&self, path: Option<&Path>) -> Result<u64, ConfigError> {
        let current = self.origin();
        let Some(path) = path.map(Path::to_owned).or_else(|| current.path.clone()) else {
            return self.noted(Err(ConfigError::no_file_to_reload()));
        };
        let loaded = self.noted(Config::load(&path))?;
        self.replace(Origin::loaded(loaded, Some(&path)), current)
    }

    /// As [`Engine::reload`], with this configuration, as YAML.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn reload_yaml(&self, yaml: &str) -> Result<u64, ConfigError> {
        let current = self.origin();
        let loaded = self.noted(parse(yaml))?;
        self.replace(Origin::loaded(loaded, None), current)
    }

    /// As `reload_file(None)`, but only if the file says something else than what is in force, and a failure is counted and
    /// recorded only if it is not `last` again. Without a file to read there is nothing to do. A file without
    /// authentication is refused if there is one in force: it may be half written.
    #[cfg(feature = "watch")]
    pub(crate) fn reload_changed(
        &self,
        last: Option<&ConfigError>,
    ) -> Result<Option<u64>, ConfigError> {
        let mut current = self.origin();
        let Some(path) = current.path.clone() else {
            return Ok(None);
        };
        let again = |error: &ConfigError| Some(error) == last;
        let loaded = match Config::load(&path) {
            Err(error) if again(&error) => return Err(error),
            result => self.noted(result)?,
        };
        if current.config.auth_configured() && !loaded.config.auth_configured() {
            let error = ConfigError::authentication_gone(&path, loaded.files);
            return if again(&error) {
                Err(error)
            } else {
                self.noted(Err(error))
            };
        }
        let origin = Origin::loaded(loaded, Some(&path));
        let api_keys = match self.api_keys(&origin) {
            Err(error) if again(&error) => return Err(error),
            result => self.noted(result)?,
        };
        let same_keys = Arc::ptr_eq(&api_keys, &self.snapshot.full().api_keys);
        if same_keys && config::changed_keys(&current.config, &origin.config).is_empty() {
            // Lines may have moved.
            *current = origin;
            return Ok(None);
        }
        Ok(Some(self.put_in_force(origin, api_keys, current)))
    }

    /// What works in the configuration in force but deserves a word: deprecated keys, keys without effect, no authentication.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.origin().warnings.clone()
    }

    /// The files that the configuration in force was read from, certificates among them: when one changes, reload.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.origin().places.files.clone()
    }

    /// The last step that can fail: certificates that the configuration names are read.
    fn api_keys(&self, origin: &Origin) -> Result<Arc<ApiKeys>, ConfigError> {
        let before = &self.snapshot.full().api_keys;
        let next = before.reconfigured(&origin.config.api_key);
        next.map_err(|error| origin.places.give(error))
    }

    fn replace(&self, origin: Origin, current: MutexGuard<'_, Origin>) -> Result<u64, ConfigError> {
        let api_keys = self.noted(self.api_keys(&origin))?;
        Ok(self.put_in_force(origin, api_keys, current))
    }

    fn put_in_force(
        &self,
        origin: Origin,
        api_keys: Arc<ApiKeys>,
        mut current: MutexGuard<'_, Origin>,
    ) -> u64 {
        let config = &origin.config;
        let before = self.snapshot.full();
        let mut changed = config::changed_keys(&current.config, config);
        for key in api_keys.renewed(&before.api_keys) {
            if !changed.contains(&key) {
                changed.push(key);
            }
        }
        let limiter = before.limiter.reconfigured(Snapshot::limits(config));
        let handover = limiter.in_handover();
        let next = Snapshot::new(config, limiter, api_keys, Some(&before));
        let generation = next.generation;
        drop(before);
        self.snapshot.store(next.into());
        if handover {
            // Decisions take over what they touch; the rest is taken over here, and then the old table can go.
            let completed = self.snapshot.full().after_handover();
            self.snapshot.store(completed.into());
        }
        self.history.reloaded(generation, changed);
        *current = origin;
        generation
    }

    pub(crate) fn origin(&self) -> MutexGuard<'_, Origin> {
        // A panic can't leave this half done: it is replaced as a whole.
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts and records a failure.
    fn noted<T>(&self, result: Result<T, ConfigError>) -> Result<T, ConfigError> {
        if let Err(error) = &result {
            // Relaxed: a statistic.
            self.counters.reload_errors.fetch_add(1, Ordering::Relaxed);
            self.history.refused(self.snapshot.full().generation, error);
        }
        result
    }
}

fn parse(yaml: &str) -> Result<Loaded, ConfigError> {
    let env = |variable: &str| std::env::var(variable).ok();
    Config::parse(yaml, "configuration", &env, None)
}
