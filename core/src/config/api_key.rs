//! The part of the model that says how API keys are verified: `apm-server.auth.api_key.*`.
//!
//! Invariant: `Debug` of no type here shows a hash or a private key.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// `apm-server.auth.api_key.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyConfig {
    /// Accept `Authorization: ApiKey base64(id:key)`.
    pub enabled: bool,
    /// How many distinct valid keys the verdict cache holds, 1 to 1,000,000.
    pub limit: u32,
    /// Keys that are verified locally.
    pub keys: Vec<LocalApiKey>,
    /// The Elasticsearch that verifies all other keys; no hosts: none.
    pub elasticsearch: ElasticsearchConfig,
}

/// The largest `api_key.limit` that is accepted.
pub(super) const MAX_API_KEY_LIMIT: u32 = 1_000_000;

impl Default for ApiKeyConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            limit: 100,
            keys: Vec::new(),
            elasticsearch: ElasticsearchConfig::default(),
        }
    }
}

impl ApiKeyConfig {
    /// The files that are read when this configuration is taken: certificates and keys of the connection to Elasticsearch.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        if !self.enabled || !self.elasticsearch.uses_ssl() {
            return Vec::new();
        }
        let ssl = &self.elasticsearch.ssl;
        let pems = ssl
            .certificate_authorities
            .iter()
            .chain(&ssl.certificate)
            .chain(&ssl.key);
        pems.filter_map(|pem| match pem {
            Pem::File(path) => Some(path.clone()),
            Pem::Inline(_) => None,
        })
        .collect()
    }
}

/// One entry of `apm-server.auth.api_key.keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalApiKey {
    /// What stands before the colon of the decoded credential.
    pub id: String,
    /// What the secret after the colon must hash to.
    pub hash: KeyHash,
    /// What the key may do; never empty.
    pub privileges: Vec<Privilege>,
}

/// The hash of an API key's secret: overwritten when dropped, and never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash(Zeroizing<String>);

impl KeyHash {
    /// Wraps the text that `tollbar keygen` prints.
    #[must_use]
    pub fn new(hash: impl Into<String>) -> Self {
        Self(Zeroizing::new(hash.into()))
    }

    /// The text, for verification only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(***)")
    }
}

/// What an API key may be allowed to do, in Elasticsearch's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// `config_agent:read`
    ConfigAgentRead,
    /// `event:write`
    EventWrite,
    /// `sourcemap:write`
    SourcemapWrite,
}

impl Privilege {
    /// Every privilege there is.
    pub const ALL: [Self; 3] = [
        Self::ConfigAgentRead,
        Self::EventWrite,
        Self::SourcemapWrite,
    ];

    /// The name in the file and in Elasticsearch.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigAgentRead => "config_agent:read",
            Self::EventWrite => "event:write",
            Self::SourcemapWrite => "sourcemap:write",
        }
    }

    /// The privilege of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == name)
    }
}

/// `apm-server.auth.api_key.elasticsearch.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchConfig {
    /// Full URLs, `http` or `https`, tried in turn. `protocol`, `path` and the port 9200 are filled in already.
    pub hosts: Vec<String>,
    /// How long a verification may take in all, more than zero and at most an hour.
    pub timeout: Duration,
    /// How the connection is secured.
    pub ssl: SslConfig,
}

impl Default for ElasticsearchConfig {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            timeout: Duration::from_secs(5),
            ssl: SslConfig::default(),
        }
    }
}

impl ElasticsearchConfig {
    /// Whether the settings of `ssl` are used for any host.
    pub(crate) fn uses_ssl(&self) -> bool {
        self.ssl.enabled != Some(false) && self.hosts.iter().any(|host| host.starts_with("https:"))
    }
}

/// `apm-server.auth.api_key.elasticsearch.ssl.*`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SslConfig {
    /// `Some(false)`: none of the settings here are used. `None`: they are where a host's URL is `https`.
    pub enabled: Option<bool>,
    /// What is checked of the server's certificate.
    pub verification_mode: VerificationMode,
    /// Who may sign the server's certificate; empty: the system's authorities.
    pub certificate_authorities: Vec<Pem>,
    /// The client's certificate.
    pub certificate: Option<Pem>,
    /// The client's private key.
    pub key: Option<Pem>,
}

/// What is checked of a server's certificate, in APM Server's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerificationMode {
    /// Chain and host name.
    #[default]
    Full,
    /// Like `full`; a certificate without a subject alternative name is an error.
    Strict,
    /// The chain, not the host name.
    Certificate,
    /// Nothing: for tests only.
    None,
}

impl VerificationMode {
    pub(super) const NAMES: [&'static str; 4] = ["full", "strict", "certificate", "none"];

    /// The name in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Strict => "strict",
            Self::Certificate => "certificate",
            Self::None => "none",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Full, Self::Strict, Self::Certificate, Self::None]
            .into_iter()
            .find(|m| m.as_str() == name)
    }
}

/// Certificates or a key in PEM: a file's path, or the text itself as APM Server allows it.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The file's path; a relative one has been joined to the configuration's folder.
    File(PathBuf),
    /// The text itself, from `-----BEGIN` on.
    Inline(Zeroizing<String>),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline(***)"),
        }
    }
}
