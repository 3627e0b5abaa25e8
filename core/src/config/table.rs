//! The one table of known keys.
//!
//! A row says everything about a key. The order is that of the reference; `protocol` and `path` stand before `hosts`, which they complete.

use std::time::Duration;

use super::api_key::{MAX_API_KEY_LIMIT, Pem, Privilege, VerificationMode};
use super::keys::{Key, Kind};
use super::model::{MAX_BURST_MULTIPLIER, MAX_EVENT_LIMIT, MAX_IP_LIMIT};
use super::values;

const fn small(n: u64) -> u32 {
    // Every range in the table ends far below 2^32.
    if n > u32::MAX as u64 {
        u32::MAX
    } else {
        n as u32
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    format!("[{}]", items.join(", "))
}

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".into(), |v| v.to_string())
}

fn pem(pem: &Pem) -> String {
    match pem {
        Pem::File(path) => path.display().to_string(),
        Pem::Inline(_) => "***".into(),
    }
}

pub(super) static KEYS: [Key; 25] = [
    Key {
        name: "apm-server.auth.secret_token",
        alias: Some("apm-server.secret_token"),
        default: "none",
        doc: "The secret token of `Authorization: Bearer`, or a list of tokens that are all valid, for rotation.",
        kind: Kind::Tokens,
        show: |c| match c.secret_tokens.len() {
            0 => "none".into(),
            1 => "***".into(),
            n => list(&vec!["***"; n]),
        },
    },
    Key {
        name: "apm-server.auth.secret_token_file",
        alias: None,
        default: "none",
        doc: "A file with more secret tokens, one a line; re-read when it changes. A relative path begins at the \
              configuration's folder.",
        kind: Kind::TokenFile,
        show: |c| {
            optional(
                c.secret_token_file
                    .as_ref()
                    .map(|p| p.display().to_string()),
            )
        },
    },
    Key {
        name: "apm-server.auth.api_key.enabled",
        alias: None,
        default: "false",
        doc: "Accept `Authorization: ApiKey base64(id:key)`.",
        kind: Kind::Bool(|d, v| d.config.api_key.enabled = v),
        show: |c| c.api_key.enabled.to_string(),
    },
    Key {
        name: "apm-server.auth.api_key.limit",
        alias: None,
        default: "100",
        doc: "How many distinct valid API keys are held in the verdict cache.",
        kind: Kind::Int {
            min: 1,
            max: MAX_API_KEY_LIMIT as u64,
            set: |d, v| d.config.api_key.limit = small(v),
        },
        show: |c| c.api_key.limit.to_string(),
    },
    Key {
        name: "apm-server.auth.api_key.keys",
        alias: None,
        default: "[]",
        doc: "API keys that are verified locally. `tollbar keygen` makes a key and its hash.",
        kind: Kind::LocalKeys,
        show: |c| {
            let keys = c.api_key.keys.iter().map(|k| {
                let privileges: Vec<&str> =
                    k.privileges.iter().map(|p| Privilege::as_str(*p)).collect();
                format!(
                    "{{id: {}, hash: ***, privileges: {}}}",
                    k.id,
                    list(&privileges)
                )
            });
            list(&keys.collect::<Vec<_>>())
        },
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.protocol",
        alias: None,
        default: "none",
        doc: "The protocol of hosts that name none; http if this is not set either. It shows in `hosts`.",
        kind: Kind::Choice(&["http", "https"], |d, v| d.protocol = v.to_owned()),
        show: |_| "none".into(),
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.path",
        alias: None,
        default: "none",
        doc: "The path of hosts that name none. It shows in `hosts`.",
        kind: Kind::UrlPath(|d, v| d.path = v),
        show: |_| "none".into(),
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.hosts",
        alias: None,
        default: "[]",
        doc: "The Elasticsearch that verifies API keys, tried in turn. Protocol and port may be left out: http and 9200.",
        kind: Kind::Hosts,
        show: |c| list(&c.api_key.elasticsearch.hosts),
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.timeout",
        alias: None,
        default: "5s",
        doc: "How long a verification may take in all.",
        kind: Kind::Duration {
            max: Duration::from_secs(3600),
            set: |d, v| d.config.api_key.elasticsearch.timeout = v,
        },
        show: |c| format!("{:?}", c.api_key.elasticsearch.timeout),
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.ssl.enabled",
        alias: None,
        default: "none",
        doc: "Whether the settings of `ssl` are used; if not set, they are for hosts of https.",
        kind: Kind::Bool(|d, v| d.config.api_key.elasticsearch.ssl.enabled = Some(v)),
        show: |c| optional(c.api_key.elasticsearch.ssl.enabled),
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.ssl.verification_mode",
        alias: None,
        default: "full",
        doc: "What is checked of Elasticsearch's certificate.",
        kind: Kind::Choice(&VerificationMode::NAMES, |d, v| {
            if let Some(mode) = VerificationMode::from_name(v) {
                d.config.api_key.elasticsearch.ssl.verification_mode = mode;
            }
        }),
        show: |c| {
            c.api_key
                .elasticsearch
                .ssl
                .verification_mode
                .as_str()
                .into()
        },
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.ssl.certificate_authorities",
        alias: None,
        default: "[]",
        doc: "Who may sign Elasticsearch's certificate; empty: the system's authorities.",
        kind: Kind::PemList(|d, v| d.config.api_key.elasticsearch.ssl.certificate_authorities = v),
        show: |c| {
            let all = c
                .api_key
                .elasticsearch
                .ssl
                .certificate_authorities
                .iter()
                .map(pem);
            list(&all.collect::<Vec<_>>())
        },
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.ssl.certificate",
        alias: None,
        default: "none",
        doc: "The certificate that Elasticsearch asks of its clients.",
        kind: Kind::Pem(|d, v| d.config.api_key.elasticsearch.ssl.certificate = Some(v)),
        show: |c| optional(c.api_key.elasticsearch.ssl.certificate.as_ref().map(pem)),
    },
    Key {
        name: "apm-server.auth.api_key.elasticsearch.ssl.key",
        alias: None,
        default: "none",
        doc: "The private key of `ssl.certificate`.",
        kind: Kind::Pem(|d, v| d.config.api_key.elasticsearch.ssl.key = Some(v)),
        show: |c| optional(c.api_key.elasticsearch.ssl.key.as_ref().map(pem)),
    },
    Key {
        name: "apm-server.auth.anonymous.enabled",
        alias: None,
        default: "none",
        doc: "Allow requests that carry no credential. If not set: where RUM is enabled and some authentication is configured.",
        kind: Kind::Bool(|d, v| d.config.anonymous.enabled = Some(v)),
        show: |c| optional(c.anonymous.enabled),
    },
    Key {
        name: "apm-server.auth.anonymous.allow_agent",
        alias: None,
        default: "[rum-js, js-base]",
        doc: "The agents that anonymous clients may name; an empty list: all.",
        kind: Kind::Names(|d, v| d.config.anonymous.allow_agent = v),
        show: |c| list(&c.anonymous.allow_agent),
    },
    Key {
        name: "apm-server.auth.anonymous.allow_service",
        alias: Some("apm-server.rum.allow_service_names"),
        default: "[]",
        doc: "The services that anonymous clients may name; an empty list: all.",
        kind: Kind::Names(|d, v| d.config.anonymous.allow_service = v),
        show: |c| list(&c.anonymous.allow_service),
    },
    Key {
        name: "apm-server.auth.anonymous.rate_limit.ip_limit",
        alias: Some("apm-server.rum.event_rate.lru_size"),
        default: "1000",
        doc: "How many client IPs have a counter of their own.",
        kind: Kind::Int {
            min: 1,
            max: MAX_IP_LIMIT as u64,
            set: |d, v| d.config.anonymous.ip_limit = small(v),
        },
        show: |c| c.anonymous.ip_limit.to_string(),
    },
    Key {
        name: "apm-server.auth.anonymous.rate_limit.event_limit",
        alias: Some("apm-server.rum.event_rate.limit"),
        default: "300",
        doc: "Events a second per counter; the burst is `tollbar.burst_multiplier` times this.",
        kind: Kind::Int {
            min: 1,
            max: MAX_EVENT_LIMIT as u64,
            set: |d, v| d.config.anonymous.event_limit = small(v),
        },
        show: |c| c.anonymous.event_limit.to_string(),
    },
    Key {
        name: "apm-server.rum.enabled",
        alias: None,
        default: "false",
        doc: "Opens the RUM routes.",
        kind: Kind::Bool(|d, v| d.config.rum_enabled = v),
        show: |c| c.rum_enabled.to_string(),
    },
    Key {
        name: "apm-server.rum.allow_origins",
        alias: None,
        default: "[*]",
        doc: "The origins whose pages may send to the RUM routes; `*` stands for any text. An empty list: none.",
        kind: Kind::Texts {
            accepted: "origins such as https://shop.example or https://*.shop.example, as a list or separated by commas",
            parse: values::origin,
            set: |d, v| d.config.rum_allow_origins = v,
        },
        show: |c| list(&c.rum_allow_origins),
    },
    Key {
        name: "apm-server.rum.allow_headers",
        alias: None,
        default: "[]",
        doc: "Headers that pages may send to the RUM routes, besides those that RUM agents send.",
        kind: Kind::Texts {
            accepted: "names of headers, as a list or separated by commas",
            parse: values::header_name,
            set: |d, v| d.config.rum_allow_headers = v,
        },
        show: |c| list(&c.rum_allow_headers),
    },
    Key {
        name: "tollbar.trusted_proxies",
        alias: None,
        default: "[]",
        doc: "Whose forwarding headers are believed; none: the socket's peer is the client.",
        kind: Kind::Networks(|d, v| d.config.trusted_proxies = v),
        show: |c| list(&c.trusted_proxies),
    },
    Key {
        name: "tollbar.ipv6_prefix",
        alias: None,
        default: "64",
        doc: "IPv6 clients are counted per prefix of this length; IPv4-mapped addresses count as IPv4.",
        kind: Kind::Int {
            min: 1,
            max: 128,
            set: |d, v| d.config.ipv6_prefix = u8::try_from(v).unwrap_or(u8::MAX),
        },
        show: |c| c.ipv6_prefix.to_string(),
    },
    Key {
        name: "tollbar.burst_multiplier",
        alias: None,
        default: "3",
        doc: "The burst is event_limit times this.",
        kind: Kind::Int {
            min: 1,
            max: MAX_BURST_MULTIPLIER as u64,
            set: |d, v| d.config.burst_multiplier = small(v),
        },
        show: |c| c.burst_multiplier.to_string(),
    },
];

/// Keys of APM Server inside our sections that have no effect here: files that hold them load, with a warning each.
pub(super) const IGNORED: [&str; 16] = [
    "apm-server.auth.api_key.elasticsearch.username",
    "apm-server.auth.api_key.elasticsearch.password",
    "apm-server.auth.api_key.elasticsearch.api_key",
    "apm-server.auth.api_key.elasticsearch.headers",
    "apm-server.auth.api_key.elasticsearch.proxy_url",
    "apm-server.auth.api_key.elasticsearch.proxy_disable",
    "apm-server.auth.api_key.elasticsearch.max_retries",
    "apm-server.auth.api_key.elasticsearch.backoff",
    "apm-server.auth.api_key.elasticsearch.compression_level",
    "apm-server.auth.api_key.elasticsearch.ssl.supported_protocols",
    "apm-server.auth.api_key.elasticsearch.ssl.cipher_suites",
    "apm-server.auth.api_key.elasticsearch.ssl.curve_types",
    "apm-server.auth.api_key.elasticsearch.ssl.renegotiation",
    "apm-server.auth.api_key.elasticsearch.ssl.key_passphrase",
    "apm-server.auth.api_key.elasticsearch.ssl.ca_sha256",
    "apm-server.auth.api_key.elasticsearch.ssl.ca_trusted_fingerprint",
];
