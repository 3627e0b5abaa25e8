//! A configuration that the program builds, and the ways in which one comes in.
//!
//! Invariant: zero stands for the default in every field.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tollbar::config::{
    AnonymousConfig, ApiKeyConfig, Config, ElasticsearchConfig, KeyHash, LocalApiKey, Pem,
    SecretToken, SslConfig, VerificationMode,
};
use zeroize::Zeroizing;

use crate::boundary::{self, Checked};
use crate::ip::tollbar_ip;
use crate::raw::{raw_bool, raw_switch, raw_tls_check};
use crate::sized::{self, Versioned};
use crate::status::tollbar_status;
use crate::text::tollbar_str;
use crate::verifier::privileges;

/// A setting that has a default of its own.
#[repr(u8)]
pub enum tollbar_switch {
    /// As documented for the setting.
    TOLLBAR_SWITCH_DEFAULT = 0,
    /// On.
    TOLLBAR_SWITCH_ON = 1,
    /// Off.
    TOLLBAR_SWITCH_OFF = 2,
}

/// What is checked of a server's certificate.
#[repr(u8)]
pub enum tollbar_tls_check {
    /// Chain and host name.
    TOLLBAR_TLS_CHECK_FULL = 0,
    /// Like full; a certificate without a subject alternative name is an error.
    TOLLBAR_TLS_CHECK_STRICT = 1,
    /// The chain, not the host name.
    TOLLBAR_TLS_CHECK_CERTIFICATE = 2,
    /// Nothing: for tests only.
    TOLLBAR_TLS_CHECK_NONE = 3,
}

/// An API key that is verified locally.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_local_key {
    /// What stands before the colon of the decoded credential.
    pub id: tollbar_str,
    /// What `tollbar keygen` printed for it.
    pub hash: tollbar_str,
    /// What the key may do: TOLLBAR_PRIVILEGE_... added up.
    pub privileges: u32,
}

/// A network: the addresses that have their first `prefix` bits in common with `ip`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_network {
    /// An address of the network.
    pub ip: tollbar_ip,
    /// How many bits, from the left.
    pub prefix: u8,
}

/// Certificates or a key in PEM: from a file, or as text. Both NULL: none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_pem {
    /// The file's path.
    pub file: tollbar_str,
    /// The text itself.
    pub text: tollbar_str,
}

/// A configuration that the program builds. Begin with TOLLBAR_CONFIG_INIT: no authentication, RUM off. Zero stands for the default in
/// every field. Everything is copied, so nothing needs to live on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_config {
    /// sizeof(tollbar_config)
    pub size: usize,
    /// `apm-server.auth.secret_token`: every one is valid.
    pub secret_tokens: *const tollbar_str,
    /// How many.
    pub secret_tokens_len: usize,
    /// `apm-server.auth.anonymous.allow_agent`: agents that are let in. None: `rum-js` and `js-base`; see `any_agent`.
    pub allow_agent: *const tollbar_str,
    /// How many.
    pub allow_agent_len: usize,
    /// `apm-server.auth.anonymous.allow_service`: services that are let in. None: all.
    pub allow_service: *const tollbar_str,
    /// How many.
    pub allow_service_len: usize,
    /// `apm-server.rum.allow_origins`: origins whose pages may send to the RUM routes. None: `*`, which is all; that no page may send, only YAML can say.
    pub rum_allow_origins: *const tollbar_str,
    /// How many.
    pub rum_allow_origins_len: usize,
    /// `apm-server.rum.allow_headers`: headers that pages may send besides those that agents do.
    pub rum_allow_headers: *const tollbar_str,
    /// How many.
    pub rum_allow_headers_len: usize,
    /// `tollbar.trusted_proxies`: whose forwarding headers are believed.
    pub trusted_proxies: *const tollbar_network,
    /// How many.
    pub trusted_proxies_len: usize,
    /// `apm-server.auth.api_key.keys`: keys that are verified locally.
    pub api_keys: *const tollbar_local_key,
    /// How many.
    pub api_keys_len: usize,
    /// `apm-server.auth.api_key.elasticsearch.hosts`: full URLs with port.
    pub elasticsearch_hosts: *const tollbar_str,
    /// How many.
    pub elasticsearch_hosts_len: usize,
    /// `...elasticsearch.ssl.certificate_authorities`. None: the system's.
    pub elasticsearch_authorities: *const tollbar_pem,
    /// How many.
    pub elasticsearch_authorities_len: usize,
    /// `...elasticsearch.ssl.certificate`: the client's certificate.
    pub elasticsearch_certificate: tollbar_pem,
    /// `...elasticsearch.ssl.key`: the client's private key.
    pub elasticsearch_key: tollbar_pem,
    /// `...elasticsearch.timeout` in nanoseconds: how long a verification may take. Default 5 s.
    pub elasticsearch_timeout_ns: u64,
    /// `apm-server.auth.anonymous.rate_limit.ip_limit`: how many clients have a counter of their own. Default 1000.
    pub ip_limit: u32,
    /// `apm-server.auth.anonymous.rate_limit.event_limit`: events a second for each. Default 300.
    pub event_limit: u32,
    /// `tollbar.burst_multiplier`: burst = `event_limit` times this. Default 3.
    pub burst_multiplier: u32,
    /// `apm-server.auth.api_key.limit`: how many valid keys the cache of verdicts holds. Default 100.
    pub api_key_limit: u32,
    /// `tollbar.ipv6_prefix`: IPv6 clients are counted per prefix of this length. Default 64.
    pub ipv6_prefix: u8,
    /// `apm-server.auth.anonymous.enabled`. Default: on if RUM is on and some authentication is configured.
    pub anonymous: raw_switch,
    /// Let in all agents, whatever `allow_agent` says.
    pub any_agent: raw_bool,
    /// `apm-server.rum.enabled`: opens the RUM routes.
    pub rum_enabled: raw_bool,
    /// `apm-server.auth.api_key.enabled`: accept API keys.
    pub api_key_enabled: raw_bool,
    /// `...elasticsearch.ssl.enabled`. Default: on for hosts whose URL is https.
    pub elasticsearch_ssl: raw_switch,
    /// `...elasticsearch.ssl.verification_mode`.
    pub elasticsearch_tls_check: raw_tls_check,
}

// SAFETY: `repr(C)`, the size first, and nothing but numbers and pointers.
unsafe impl Versioned for tollbar_config {}

/// The core's configuration; NULL: the default. It is not validated yet.
///
/// # Safety
/// NULL, or a configuration as the header asks.
pub(crate) unsafe fn config(pointer: *const tollbar_config) -> Checked<Config> {
    // SAFETY: the caller's promise.
    let Some(given) = unsafe { sized::optional_input(pointer) }? else {
        return Ok(Config::default());
    };
    let default = Config::default();
    let number = |given, default| if given == 0 { default } else { given };
    // SAFETY: the caller's promise, for each of the lists.
    unsafe {
        let allow_agent = texts(given.allow_agent, given.allow_agent_len)?;
        Ok(Config {
            secret_tokens: list(given.secret_tokens, given.secret_tokens_len, |token| {
                Ok(SecretToken::new(token.bytes()?.unwrap_or_default()))
            })?,
            secret_token_file: None,
            api_key: api_keys(given)?,
            anonymous: AnonymousConfig {
                enabled: switch(given.anonymous)?,
                allow_agent: match allow_agent {
                    _ if given.any_agent != 0 => Vec::new(),
                    none if none.is_empty() => default.anonymous.allow_agent,
                    some => some,
                },
                allow_service: texts(given.allow_service, given.allow_service_len)?,
                ip_limit: number(given.ip_limit, default.anonymous.ip_limit),
                event_limit: number(given.event_limit, default.anonymous.event_limit),
            },
            rum_enabled: given.rum_enabled != 0,
            rum_allow_origins: match texts(given.rum_allow_origins, given.rum_allow_origins_len)? {
                none if none.is_empty() => default.rum_allow_origins,
                some => some,
            },
            rum_allow_headers: texts(given.rum_allow_headers, given.rum_allow_headers_len)?,
            trusted_proxies: list(given.trusted_proxies, given.trusted_proxies_len, network)?,
            ipv6_prefix: match given.ipv6_prefix {
                0 => default.ipv6_prefix,
                prefix => prefix,
            },
            burst_multiplier: number(given.burst_multiplier, default.burst_multiplier),
        })
    }
}

/// # Safety
/// As [`config`].
unsafe fn api_keys(given: &tollbar_config) -> Checked<ApiKeyConfig> {
    let default = ApiKeyConfig::default();
    // SAFETY: the caller's promise, for each of the lists and texts.
    unsafe {
        Ok(ApiKeyConfig {
            enabled: given.api_key_enabled != 0,
            limit: match given.api_key_limit {
                0 => default.limit,
                limit => limit,
            },
            keys: list(given.api_keys, given.api_keys_len, |key| {
                Ok(LocalApiKey {
                    id: key.id.required()?.to_owned(),
                    hash: KeyHash::new(key.hash.required()?),
                    privileges: privileges(key.privileges)
                        .ok_or(tollbar_status::TOLLBAR_STATUS_INVALID_VALUE)?
                        .iter()
                        .collect(),
                })
            })?,
            elasticsearch: ElasticsearchConfig {
                hosts: texts(given.elasticsearch_hosts, given.elasticsearch_hosts_len)?,
                timeout: match given.elasticsearch_timeout_ns {
                    0 => default.elasticsearch.timeout,
                    ns => Duration::from_nanos(ns),
                },
                ssl: SslConfig {
                    enabled: switch(given.elasticsearch_ssl)?,
                    verification_mode: match given.elasticsearch_tls_check {
                        0 => VerificationMode::Full,
                        1 => VerificationMode::Strict,
                        2 => VerificationMode::Certificate,
                        3 => VerificationMode::None,
                        _ => return Err(tollbar_status::TOLLBAR_STATUS_INVALID_VALUE),
                    },
                    certificate_authorities: list(
                        given.elasticsearch_authorities,
                        given.elasticsearch_authorities_len,
                        |authority| {
                            pem(authority)?.ok_or(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT)
                        },
                    )?,
                    certificate: pem(&given.elasticsearch_certificate)?,
                    key: pem(&given.elasticsearch_key)?,
                },
            },
        })
    }
}

/// # Safety
/// As [`boundary::slice`].
unsafe fn list<T, R>(
    pointer: *const T,
    len: usize,
    make: impl Fn(&T) -> Checked<R>,
) -> Checked<Vec<R>> {
    // SAFETY: the caller's promise.
    let given = unsafe { boundary::slice(pointer, len) }?;
    given.iter().map(make).collect()
}

/// # Safety
/// As [`list`], and the texts are there.
unsafe fn texts(pointer: *const tollbar_str, len: usize) -> Checked<Vec<String>> {
    // SAFETY: the caller's promise.
    unsafe { list(pointer, len, |text| Ok(text.required()?.to_owned())) }
}

fn switch(raw: raw_switch) -> Checked<Option<bool>> {
    match raw {
        0 => Ok(None),
        1 => Ok(Some(true)),
        2 => Ok(Some(false)),
        _ => Err(tollbar_status::TOLLBAR_STATUS_INVALID_VALUE),
    }
}

fn network(given: &tollbar_network) -> Checked<IpNet> {
    IpNet::new(given.ip.get()?, given.prefix)
        .map_err(|_| tollbar_status::TOLLBAR_STATUS_INVALID_ADDRESS)
}

/// # Safety
/// The texts are there.
unsafe fn pem(given: &tollbar_pem) -> Checked<Option<Pem>> {
    // SAFETY: the caller's promise.
    let (file, text) = unsafe { (given.file.bytes()?, given.text.utf8()?) };
    match (file, text) {
        (None, None) => Ok(None),
        // SAFETY: the caller's promise.
        (Some(_), None) => Ok(Some(Pem::File(unsafe { path(given.file) }?))),
        (None, Some(text)) => Ok(Some(Pem::Inline(Zeroizing::new(text.to_owned())))),
        (Some(_), Some(_)) => Err(tollbar_status::TOLLBAR_STATUS_INVALID_VALUE),
    }
}

/// A path, in the bytes of the system.
///
/// # Safety
/// The text is there.
pub(crate) unsafe fn path(text: tollbar_str) -> Checked<PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        // SAFETY: the caller's promise.
        let bytes = unsafe { text.bytes() }?;
        let bytes = bytes.ok_or(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT)?;
        Ok(std::ffi::OsStr::from_bytes(bytes).into())
    }
    #[cfg(not(unix))]
    {
        // SAFETY: the caller's promise.
        Ok(unsafe { text.required() }?.into())
    }
}
