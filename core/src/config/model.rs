//! The validated configuration as plain data: what the engine's snapshot is built from.
//!
//! Invariant: a [`Config`] holds accepted values only. Files reach it through the parser, which
//! checks every value; programs through [`Config::validate`], which `Engine::new` and `reload` call.

use std::path::PathBuf;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::api_key::ApiKeyConfig;

/// What Tollbar is told to do. [`Config::default`] has the defaults of APM Server: no authentication, RUM off.
#[derive(Clone, Debug)]
pub struct Config {
    /// `apm-server.auth.secret_token` and `secret_token_file`: every token in the list is valid.
    pub secret_tokens: Vec<SecretToken>,
    /// `apm-server.auth.secret_token_file`, for display only: a loaded configuration holds the file's tokens among
    /// `secret_tokens` already, and nobody reads the file again on behalf of a program's own configuration.
    pub secret_token_file: Option<PathBuf>,
    /// `apm-server.auth.api_key.*`
    pub api_key: ApiKeyConfig,
    /// `apm-server.auth.anonymous.*`
    pub anonymous: AnonymousConfig,
    /// `apm-server.rum.enabled`: opens the RUM routes.
    pub rum_enabled: bool,
    /// `apm-server.rum.allow_origins`: from where pages may send to the RUM routes, `*` for any text; empty: none may.
    pub rum_allow_origins: Vec<String>,
    /// `apm-server.rum.allow_headers`: headers that pages may send besides those that agents do.
    pub rum_allow_headers: Vec<String>,
    /// `tollbar.trusted_proxies`: whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `tollbar.ipv6_prefix`: IPv6 clients are counted per prefix of this length, 1 to 128.
    pub ipv6_prefix: u8,
    /// `tollbar.burst_multiplier`: burst = `event_limit` x this, 1 to [`MAX_BURST_MULTIPLIER`].
    pub burst_multiplier: u32,
}

/// The largest `ip_limit` that is accepted.
pub const MAX_IP_LIMIT: u32 = 100_000_000;
/// The largest `event_limit` that is accepted, in events a second.
pub const MAX_EVENT_LIMIT: u32 = 1_000_000_000;
/// The largest `burst_multiplier` that is accepted.
pub const MAX_BURST_MULTIPLIER: u32 = 1_000_000;

/// The longest secret token that is accepted, in bytes.
pub const MAX_TOKEN_LEN: usize = 1024;
/// How many secret tokens are accepted: every wrong token is compared with all of them.
pub const MAX_SECRET_TOKENS: usize = 1000;

/// `apm-server.auth.anonymous.*`
#[derive(Clone, Debug)]
pub struct AnonymousConfig {
    /// `None`: enabled if RUM is enabled while some authentication is configured.
    pub enabled: Option<bool>,
    /// Agent names that are let in; empty: all.
    pub allow_agent: Vec<String>,
    /// Service names that are let in; empty: all.
    pub allow_service: Vec<String>,
    /// How many client IPs have a counter of their own, 1 to [`MAX_IP_LIMIT`].
    pub ip_limit: u32,
    /// Events a second per counter, 1 to [`MAX_EVENT_LIMIT`].
    pub event_limit: u32,
}

/// A secret token: overwritten when dropped, and never shown by `Debug`.
#[derive(Clone)]
pub struct SecretToken(Zeroizing<Vec<u8>>);

impl SecretToken {
    /// Wraps the token's bytes.
    #[must_use]
    pub fn new(token: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(token.into()))
    }

    /// The bytes, for comparison only.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretToken(***)")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            secret_tokens: Vec::new(),
            secret_token_file: None,
            api_key: ApiKeyConfig::default(),
            anonymous: AnonymousConfig {
                enabled: None,
                allow_agent: vec!["rum-js".into(), "js-base".into()],
                allow_service: Vec::new(),
                ip_limit: 1000,
                event_limit: 300,
            },
            rum_enabled: false,
            rum_allow_origins: vec!["*".into()],
            rum_allow_headers: Vec::new(),
            trusted_proxies: Vec::new(),
            ipv6_prefix: 64,
            burst_multiplier: 3,
        }
    }
}

impl Config {
    /// Whether clients can authenticate at all. If not, everybody gets in.
    #[must_use]
    pub fn auth_configured(&self) -> bool {
        !self.secret_tokens.is_empty() || self.api_key.enabled
    }

    /// Whether requests without a credential are allowed, as SPEC section 2 derives it.
    #[must_use]
    pub fn anonymous_enabled(&self) -> bool {
        self.anonymous
            .enabled
            .unwrap_or(self.rum_enabled && self.auth_configured())
    }
}
