//! What Elasticsearch is asked with: the configuration, and the files that it names, read once.
//!
//! Invariants: settings are equal if and only if they lead to the same requests over the same connections, so that a reload
//! notices a certificate that was renewed in its place; private keys are overwritten when dropped.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::{
    ConfigError, ElasticsearchConfig, Pem, SslConfig, VerificationMode, read_file,
};

pub(super) const SSL: &str = "apm-server.auth.api_key.elasticsearch.ssl.";

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(super) hosts: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) tls: TlsSettings,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct TlsSettings {
    pub(super) mode: VerificationMode,
    /// In PEM; empty: the system's.
    pub(super) authorities: Vec<PemText>,
    /// The client's certificate and private key, in PEM.
    pub(super) certificate: Option<PemText>,
    pub(super) key: Option<PemText>,
}

pub(super) type PemText = Zeroizing<Vec<u8>>;

impl Settings {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// Every file that can't be read.
    pub(crate) fn read(config: &ElasticsearchConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            hosts: config.hosts.clone(),
            timeout: config.timeout,
            tls: if config.uses_ssl() {
                TlsSettings::read(&config.ssl)?
            } else {
                TlsSettings::default()
            },
        })
    }

    /// The keys of `ssl` whose text is another one here, be it that their files were renewed in place.
    pub(crate) fn renewed(&self, before: &Self) -> impl Iterator<Item = &'static str> {
        let (now, then) = (&self.tls, &before.tls);
        [
            (
                "apm-server.auth.api_key.elasticsearch.ssl.certificate_authorities",
                now.authorities != then.authorities,
            ),
            (
                "apm-server.auth.api_key.elasticsearch.ssl.certificate",
                now.certificate != then.certificate,
            ),
            (
                "apm-server.auth.api_key.elasticsearch.ssl.key",
                now.key != then.key,
            ),
        ]
        .into_iter()
        .filter_map(|(key, renewed)| renewed.then_some(key))
    }

    /// Whether a connection needs TLS.
    pub(super) fn https(&self) -> bool {
        self.hosts.iter().any(|host| host.starts_with("https:"))
    }
}

impl TlsSettings {
    fn read(ssl: &SslConfig) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let mut read = |key: &str, pem: &Pem| problems.take(read_pem(key, pem));
        let authorities = ssl.certificate_authorities.iter();
        let settings = Self {
            mode: ssl.verification_mode,
            authorities: authorities
                .filter_map(|pem| read("certificate_authorities", pem))
                .collect(),
            certificate: ssl
                .certificate
                .as_ref()
                .and_then(|pem| read("certificate", pem)),
            key: ssl.key.as_ref().and_then(|pem| read("key", pem)),
        };
        problems.none(settings)
    }
}

fn read_pem(key: &str, pem: &Pem) -> Result<PemText, ConfigError> {
    match pem {
        Pem::Inline(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        Pem::File(path) => read_file(path).map_err(|why| {
            let found = format!("the file {path:?}, {why}");
            ConfigError::of_key(
                &format!("{SSL}{key}"),
                found,
                "a file in PEM that can be read, or its text",
            )
        }),
    }
}

/// Gathers what is wrong, so that all of it is told at once.
#[derive(Default)]
struct Problems(Option<ConfigError>);

impl Problems {
    fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        match (result, &mut self.0) {
            (Ok(value), _) => return Some(value),
            (Err(error), None) => self.0 = Some(error),
            (Err(error), Some(before)) => before.problems.extend(error.problems),
        }
        None
    }

    fn none<T>(self, value: T) -> Result<T, ConfigError> {
        self.0.map_or(Ok(value), Err)
    }
}
