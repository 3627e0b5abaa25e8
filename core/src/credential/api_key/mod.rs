//! API keys: which are valid, and what they may do.
//!
//! | file | what it does |
//! |---|---|
//! | `presented.rs` | `base64(id:key)` -> id and key |
//! | `local.rs`, `hashed.rs`, `generate.rs` | keys of the configuration: their hashes, and making them |
//! | `verdicts/`, `fingerprint.rs` | verdicts of others, a minute each, under a keyed hash of the whole credential |
//! | `flight.rs` | one verification at a time for each key |
//! | `budget.rs` | how many unknown keys a client may have verified |
//! | `remote.rs` | the three above around a verifier |
//! | `verifier.rs`, `elasticsearch/` | who verifies |
//! | `pool.rs` | threads for callers who do not wait themselves |
//!
//! # Invariants
//!
//! - [`ApiKeys::lookup`] is a decision: it never blocks, allocates or calls the system.
//! - Good verdicts and bad ones are stored apart, so no flood of bad keys pushes out a good one.
//! - Nothing is cached but verdicts: that a key can't be verified now is no verdict.

mod budget;
#[cfg(feature = "elasticsearch")]
mod elasticsearch;
mod fingerprint;
mod flight;
mod generate;
mod hashed;
mod local;
mod pool;
mod presented;
mod privileges;
mod remote;
mod verdicts;
mod verifier;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use flight::Flight;
pub use generate::{GeneratedKey, KeygenError, generate, generate_with_id, hash_key};
pub(crate) use hashed::HashedKey;
pub(crate) use pool::Pool;
pub use presented::PresentedKey;
pub use privileges::Privileges;
pub use remote::VerificationStats;
pub use verifier::{Verifier, VerifyError};

use self::local::LocalKeys;
use self::presented::Encoded;
use self::remote::Remote;
use crate::client_ip::ClientKey;
use crate::config::{ApiKeyConfig, ConfigError};
use crate::reason::Reason;

/// What a key may do, never nothing; or why that is not known: invalid, not configured, pending, unavailable.
pub(crate) type Outcome = Result<Privileges, Reason>;

/// A verification that was asked for.
pub(crate) enum Started {
    /// There is nothing to wait for.
    Decided(Outcome),
    /// This flight will tell.
    Flying(Arc<Flight>),
}

/// Everything about API keys that one configuration asks for. It outlives a reload that leaves it as it is.
pub(crate) struct ApiKeys {
    enabled: bool,
    local: LocalKeys,
    remote: Option<Arc<Remote>>,
    /// What all this was made of, to see whether a reload changes it.
    source: Source,
}

#[derive(Clone)]
struct Source {
    config: ApiKeyConfig,
    /// What Elasticsearch is asked with, the files that the configuration names read.
    #[cfg(feature = "elasticsearch")]
    elasticsearch: Option<elasticsearch::Settings>,
    /// The embedder's own verifier goes before Elasticsearch, whatever the configuration says.
    custom: Option<Arc<dyn Verifier>>,
}

impl ApiKeys {
    /// The keys of a valid configuration.
    ///
    /// # Errors
    /// If a file that it names can't be used.
    pub(crate) fn new(config: &ApiKeyConfig) -> Result<Arc<Self>, ConfigError> {
        Ok(Arc::new(Self::build(Source::read(config, None)?, None)?))
    }

    /// As [`ApiKeys::new`], when this one is in force: the same one if nothing changed. Otherwise verdicts are dropped, since
    /// the new configuration may contradict them; budgets and statistics go on.
    pub(crate) fn reconfigured(
        self: &Arc<Self>,
        config: &ApiKeyConfig,
    ) -> Result<Arc<Self>, ConfigError> {
        let source = Source::read(config, self.source.custom.clone())?;
        if source.same_as(&self.source) {
            return Ok(Arc::clone(self));
        }
        Ok(Arc::new(Self::build(source, self.remote.as_deref())?))
    }

    /// The same keys with another verifier of the embedder's, or none. Verdicts are dropped.
    pub(crate) fn with_verifier(
        &self,
        custom: Option<Arc<dyn Verifier>>,
    ) -> Result<Arc<Self>, ConfigError> {
        let source = Source {
            custom,
            ..self.source.clone()
        };
        Ok(Arc::new(Self::build(source, self.remote.as_deref())?))
    }

    /// Whether a configuration could be taken, but for what its own checks find.
    ///
    /// # Errors
    /// If a file that it names can't be used.
    pub(crate) fn check(config: &ApiKeyConfig) -> Result<(), ConfigError> {
        let source = Source::read(config, None)?;
        match source.config.enabled {
            true => source.verifier().map(drop),
            false => Ok(()),
        }
    }

    /// The keys of the configuration whose files say something else than before, though they may have the same names.
    pub(crate) fn renewed(&self, before: &Self) -> Vec<&'static str> {
        #[cfg(feature = "elasticsearch")]
        if let (Some(now), Some(then)) = (&self.source.elasticsearch, &before.source.elasticsearch)
        {
            return now.renewed(then).collect();
        }
        #[cfg(not(feature = "elasticsearch"))]
        let _ = before;
        Vec::new()
    }

    /// The same keys with nothing that threads of another process were in the middle of: no verdict, no flight, no connection.
    ///
    /// # Errors
    /// If Elasticsearch's certificates are of no use any more.
    pub(crate) fn after_fork(&self) -> Result<Arc<Self>, ConfigError> {
        Ok(Arc::new(Self::build(self.source.clone(), None)?))
    }

    fn build(source: Source, before: Option<&Remote>) -> Result<Self, ConfigError> {
        let verifier = if source.config.enabled {
            source.verifier()?
        } else {
            None
        };
        let remote = |verifier| Arc::new(Remote::new(verifier, source.config.limit, before));
        Ok(Self {
            enabled: source.config.enabled,
            local: LocalKeys::new(&source.config.keys),
            remote: verifier.map(remote),
            source,
        })
    }

    #[inline]
    pub(crate) fn enabled(&self) -> bool {
        self.enabled
    }

    /// What is known of this credential, without asking anybody: [`Reason::Pending`] if somebody must be asked.
    pub(crate) fn lookup(&self, presented: &[u8], now: impl FnOnce() -> u64) -> Outcome {
        if !self.enabled {
            return Err(Reason::ApiKeyNotConfigured);
        }
        let credential = Encoded::new(presented).ok_or(Reason::InvalidApiKey)?;
        if let Some(remote) = &self.remote
            && let Some(outcome) = remote.known(remote.fingerprint(credential), now())
        {
            return outcome;
        }
        let local = credential.decode(|key| self.local.verify(key));
        match (local, &self.remote) {
            (None, _) | (Some(None), None) => Err(Reason::InvalidApiKey),
            (Some(Some(privileges)), _) if privileges.is_empty() => Err(Reason::InvalidApiKey),
            (Some(Some(privileges)), _) => Ok(privileges),
            (Some(None), Some(_)) => Err(Reason::Pending),
        }
    }

    /// What this credential comes to, for a client that may have to wait: verifies it in this thread, or waits for the
    /// thread that does.
    pub(crate) fn verify(&self, presented: &[u8], client: ClientKey, now: u64) -> Outcome {
        match (
            self.lookup(presented, || now),
            &self.remote,
            Encoded::new(presented),
        ) {
            (Err(Reason::Pending), Some(remote), Some(credential)) => {
                remote.verify(credential, client, now)
            }
            (outcome, ..) => outcome,
        }
    }

    /// As [`ApiKeys::verify`], in a thread of the pool.
    pub(crate) fn start(
        &self,
        presented: &[u8],
        client: ClientKey,
        now: u64,
        pool: &Pool,
    ) -> Started {
        match (
            self.lookup(presented, || now),
            &self.remote,
            Encoded::new(presented),
        ) {
            (Err(Reason::Pending), Some(remote), Some(credential)) => {
                remote.start(credential, client, now, pool)
            }
            (outcome, ..) => Started::Decided(outcome),
        }
    }

    /// How long a verification may take by the configuration.
    pub(crate) fn timeout(&self) -> Duration {
        self.source.config.elasticsearch.timeout
    }

    /// How verification has gone so far; all zero while nobody is asked.
    pub(crate) fn stats(&self) -> VerificationStats {
        self.remote
            .as_ref()
            .map(|remote| remote.stats())
            .unwrap_or_default()
    }
}

impl Source {
    fn read(config: &ApiKeyConfig, custom: Option<Arc<dyn Verifier>>) -> Result<Self, ConfigError> {
        let hosts = config.enabled && !config.elasticsearch.hosts.is_empty();
        #[cfg(not(feature = "elasticsearch"))]
        if hosts && custom.is_none() {
            return Err(ConfigError::of_key(
                "apm-server.auth.api_key.elasticsearch.hosts",
                "hosts".into(),
                "none: this build has no Elasticsearch client (cargo feature `elasticsearch`)",
            ));
        }
        Ok(Self {
            #[cfg(feature = "elasticsearch")]
            elasticsearch: if hosts {
                Some(elasticsearch::Settings::read(&config.elasticsearch)?)
            } else {
                None
            },
            config: config.clone(),
            custom,
        })
    }

    fn same_as(&self, other: &Self) -> bool {
        #[cfg(feature = "elasticsearch")]
        if self.elasticsearch != other.elasticsearch {
            return false;
        }
        self.config == other.config
    }

    fn verifier(&self) -> Result<Option<Arc<dyn Verifier>>, ConfigError> {
        if let Some(custom) = &self.custom {
            return Ok(Some(Arc::clone(custom)));
        }
        #[cfg(feature = "elasticsearch")]
        if let Some(settings) = &self.elasticsearch {
            let elasticsearch = elasticsearch::Elasticsearch::new(settings)?;
            return Ok(Some(Arc::new(elasticsearch)));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_in_force_as_it_says() {
        for enabled in [true, false] {
            let mut config = ApiKeyConfig {
                enabled,
                ..ApiKeyConfig::default()
            };
            config.elasticsearch.timeout = Duration::from_secs(7);
            let keys = ApiKeys::new(&config).unwrap();
            assert_eq!(keys.enabled(), enabled);
            assert_eq!(keys.timeout(), Duration::from_secs(7));
        }
    }

    #[cfg(feature = "elasticsearch")]
    #[test]
    fn files_that_are_missing_are_found_when_a_configuration_is_checked() {
        use crate::config::Pem;

        let mut config = ApiKeyConfig {
            enabled: true,
            ..ApiKeyConfig::default()
        };
        config.elasticsearch.hosts = vec!["https://localhost:9200".into()];
        config.elasticsearch.ssl.certificate_authorities =
            vec![Pem::File("/no/such/file.pem".into())];
        assert!(ApiKeys::check(&config).is_err());
        config.enabled = false;
        assert!(ApiKeys::check(&config).is_ok(), "nothing is asked for");
    }
}
