//! What a key is, and how a dotted name finds its key.
//!
//! The keys themselves are in `table.rs`. The parser, the hints, the effective configuration and the reference in the documentation
//! are all made from that one table.

use std::time::Duration;

use super::model::Config;
use super::reader::Draft;
use super::table::{IGNORED, KEYS};
use super::values::Mismatch;
use crate::config::api_key::Pem;
use ipnet::IpNet;

/// One key of the configuration: its name, what it takes and what it is for.
pub struct Key {
    pub(super) name: &'static str,
    pub(super) alias: Option<&'static str>,
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
    pub(super) kind: Kind,
    pub(super) show: fn(&Config) -> String,
}

/// Every key, in the order of the reference.
#[must_use]
pub fn keys() -> &'static [Key] {
    &KEYS
}

impl Key {
    /// The full dotted name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The deprecated name that still works.
    #[must_use]
    pub fn deprecated_name(&self) -> Option<String> {
        match (self.alias, self.name.strip_prefix(API_KEY.1)) {
            (Some(alias), _) => Some(alias.to_owned()),
            (None, Some(rest)) => Some(format!("{}{rest}", API_KEY.0)),
            (None, None) => None,
        }
    }

    /// The default as it would stand in the file, or `none`.
    #[must_use]
    pub const fn default(&self) -> &'static str {
        self.default
    }

    /// What the key does, in one or two sentences.
    #[must_use]
    pub const fn doc(&self) -> &'static str {
        self.doc
    }

    /// The values that are accepted, in words.
    #[must_use]
    pub fn accepted(&self) -> String {
        self.kind.accepted()
    }

    /// Whether the value must never be shown.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Tokens | Kind::LocalKeys | Kind::Pem(_))
    }

    /// The value in force as it would stand in a file; secrets are masked.
    #[must_use]
    pub fn effective(&self, config: &Config) -> String {
        (self.show)(config)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

/// What a key takes, and where its value goes.
pub(super) enum Kind {
    Bool(fn(&mut Draft, bool)),
    Int {
        min: u64,
        max: u64,
        set: fn(&mut Draft, u64),
    },
    /// Names, as a list or separated by commas.
    Names(fn(&mut Draft, Vec<String>)),
    /// Texts of another kind, as a list or separated by commas.
    Texts {
        accepted: &'static str,
        parse: fn(&str) -> Result<String, Mismatch>,
        set: fn(&mut Draft, Vec<String>),
    },
    Choice(&'static [&'static str], fn(&mut Draft, &str)),
    Duration {
        max: Duration,
        set: fn(&mut Draft, Duration),
    },
    Networks(fn(&mut Draft, Vec<IpNet>)),
    UrlPath(fn(&mut Draft, String)),
    /// Must come after `protocol` and `path` in the table: they complete a host.
    Hosts,
    Pem(fn(&mut Draft, Pem)),
    PemList(fn(&mut Draft, Vec<Pem>)),
    Tokens,
    TokenFile,
    LocalKeys,
}

impl Kind {
    pub fn accepted(&self) -> String {
        match self {
            Self::Bool(_) => "true or false".into(),
            Self::Int { min, max, .. } => format!("a whole number from {min} to {max}"),
            Self::Names(_) => "names, as a list or separated by commas; [] for all".into(),
            Self::Texts { accepted, .. } => (*accepted).into(),
            Self::Choice(names, _) => format!("one of {}", names.join(", ")),
            Self::Duration { max, .. } => format!(
                "a duration such as 10s, 1m30s or 500ms, more than 0 and at most {}s",
                max.as_secs()
            ),
            Self::Networks(_) => {
                "networks or addresses such as 10.0.0.0/8 or 2001:db8::1, as a list or separated by commas"
                    .into()
            }
            Self::UrlPath(_) => "the path of a URL, such as /elasticsearch".into(),
            Self::Hosts => {
                "URLs of http or https without user and query, such as https://es.example:9200, as a list or \
                 separated by commas"
                    .into()
            }
            Self::Pem(_) => "the path of a PEM file, or its text".into(),
            Self::PemList(_) => "paths of PEM files, or their texts, as a list".into(),
            Self::Tokens => format!(
                "a token or a list of tokens, each 1 to {} bytes without spaces and control characters",
                super::model::MAX_TOKEN_LEN
            ),
            Self::TokenFile => format!(
                "the path of a file with one token a line, each 1 to {} bytes without spaces and control characters",
                super::model::MAX_TOKEN_LEN
            ),
            Self::LocalKeys => "a list of mappings with id, hash and privileges".into(),
        }
    }
}

/// The section that was renamed as a whole: (deprecated, successor).
const API_KEY: (&str, &str) = ("apm-server.api_key.", "apm-server.auth.api_key.");

/// Sections in which nothing but known keys may stand.
const GUARDED: [&str; 4] = [
    "apm-server.auth.",
    API_KEY.0,
    "apm-server.rum.event_rate.",
    "tollbar.",
];

/// What a dotted name is.
pub(super) enum Found {
    /// A key with a value, and whether this is its deprecated name.
    Key { key: &'static Key, deprecated: bool },
    /// A key of APM Server inside our sections that has no effect here.
    Ignored,
    /// A mapping that leads to keys.
    Section,
    /// Unknown, in a section that is all ours.
    Unknown,
    /// None of our business.
    Foreign,
}

pub(super) fn find(path: &str) -> Found {
    // Most of a real file is foreign: leave at once.
    if !path.starts_with("apm-server") && !path.starts_with("tollbar") {
        return Found::Foreign;
    }
    if let Some(key) = KEYS.iter().find(|k| k.alias == Some(path)) {
        return Found::Key {
            key,
            deprecated: true,
        };
    }
    let renamed = path.strip_prefix(API_KEY.0);
    let name = match renamed {
        Some(rest) => &format!("{}{rest}", API_KEY.1),
        None => path,
    };
    if let Some(key) = KEYS.iter().find(|k| k.name == name) {
        return Found::Key {
            key,
            deprecated: renamed.is_some(),
        };
    }
    if IGNORED.iter().any(|i| is_or_within(name, i)) {
        return Found::Ignored;
    }
    let leads_to = |full: &str| is_or_within(full, name) && full != name;
    if path == API_KEY.0.trim_end_matches('.')
        || KEYS
            .iter()
            .any(|k| leads_to(k.name) || k.alias.is_some_and(leads_to))
        || IGNORED.iter().any(|i| leads_to(i))
    {
        return Found::Section;
    }
    if GUARDED.iter().any(|g| path.starts_with(g)) {
        Found::Unknown
    } else {
        Found::Foreign
    }
}

fn is_or_within(path: &str, section: &str) -> bool {
    path.strip_prefix(section)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The names one level below `section` (`""`: the top), without duplicates, deprecated ones last.
pub(super) fn children(section: &str) -> Vec<&'static str> {
    let renamed = section
        .strip_prefix(API_KEY.0.trim_end_matches('.'))
        .filter(|rest| rest.is_empty() || rest.starts_with('.'))
        .map(|rest| format!("{}{rest}", API_KEY.1.trim_end_matches('.')));
    let section = renamed.as_deref().unwrap_or(section);
    let mut names: Vec<&'static str> = Vec::new();
    let current = KEYS.iter().map(|k| k.name);
    for name in current.chain(KEYS.iter().filter_map(|k| k.alias)) {
        let rest = match section {
            "" => Some(name),
            _ => name.strip_prefix(section).and_then(|r| r.strip_prefix('.')),
        };
        if let Some(child) = rest.and_then(|r| r.split('.').next())
            && !names.contains(&child)
        {
            names.push(child);
        }
    }
    names
}

/// The full name of the known key or section that `path` was probably meant to be.
pub(super) fn nearest(path: &str) -> Option<String> {
    const LONGEST: usize = 200;
    if path.len() > LONGEST {
        return None;
    }
    let renamed = path
        .strip_prefix(API_KEY.0)
        .map(|rest| format!("{}{rest}", API_KEY.1));
    let path = renamed.as_deref().unwrap_or(path);
    let last = path.rsplit('.').next().unwrap_or(path);
    let close = |distance: usize, len: usize| distance <= (len / 3).clamp(1, 3);

    // A slip in any part of the name, or one part's name given in full at the wrong level.
    let mut best: Option<(usize, String)> = None;
    for key in &KEYS {
        if let Some(alias) = key.alias {
            let score = strsim::osa_distance(path, alias) * 2;
            if close(score / 2, last.chars().count().max(3))
                && best.as_ref().is_none_or(|(least, _)| score < *least)
            {
                best = Some((score, key.name.to_owned()));
            }
        }
        let mut end = 0;
        for part in key.name.split('.') {
            end += part.len();
            let candidate = &key.name[..end];
            end += 1;
            if !is_or_within(candidate, "apm-server.auth") && !is_or_within(candidate, "tollbar") {
                continue;
            }
            // Counted twice, so that a whole name's slip beats the same name at another level (+1).
            let whole = strsim::osa_distance(path, candidate) * 2;
            let by_last = strsim::osa_distance(last, part) * 2 + 1;
            let score = whole.min(by_last);
            if close(score / 2, last.chars().count().max(3))
                && best.as_ref().is_none_or(|(least, _)| score < *least)
            {
                best = Some((score, candidate.to_owned()));
            }
        }
    }
    best.map(|(_, name)| name).or_else(|| by_word(last))
}

/// The key whose last part has what was typed in it, or the other way round: `token`, `secret_token_list`.
fn by_word(typed: &str) -> Option<String> {
    let related = |part: &str| typed.len() >= 4 && (part.contains(typed) || typed.contains(part));
    KEYS.iter()
        .filter(|k| !k.name.starts_with("apm-server.rum"))
        .find(|k| k.name.rsplit('.').next().is_some_and(related))
        .map(|k| k.name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_in_the_table_is_the_default_of_the_model() {
        for key in keys() {
            assert_eq!((key.show)(&Config::default()), key.default, "{}", key.name);
        }
    }

    #[test]
    fn every_key_of_the_table_is_found_by_both_of_its_names() {
        for key in keys() {
            assert!(
                matches!(find(key.name), Found::Key { key: k, deprecated: false } if k.name == key.name)
            );
            if let Some(old) = key.deprecated_name() {
                assert!(
                    matches!(find(&old), Found::Key { key: k, deprecated: true } if k.name == key.name),
                    "{old}"
                );
            }
        }
    }

    #[test]
    fn sections_lead_to_keys_and_foreign_keys_are_passed_over() {
        for section in [
            "apm-server",
            "apm-server.auth",
            "apm-server.auth.api_key",
            "apm-server.api_key",
            "tollbar",
            "apm-server.rum",
            "apm-server.rum.event_rate",
            "apm-server.auth.anonymous.rate_limit",
            "apm-server.auth.api_key.elasticsearch.ssl",
        ] {
            assert!(matches!(find(section), Found::Section), "{section}");
        }
        for foreign in [
            "output",
            "output.elasticsearch.hosts",
            "apm-server.host",
            "apm-server.rum.response_headers",
            "apm-server.secret",
            "apm-server.authx",
            "tollbars",
        ] {
            assert!(matches!(find(foreign), Found::Foreign), "{foreign}");
        }
        for unknown in [
            "apm-server.auth.x",
            "tollbar.x.y",
            "apm-server.api_key.x",
            "apm-server.rum.event_rate.x",
            "apm-server.auth.anonymous.rate_limit.burst",
            "apm-server.auth.",
        ] {
            assert!(matches!(find(unknown), Found::Unknown), "{unknown}");
        }
        assert!(matches!(
            find("apm-server.auth.api_key.elasticsearch.backoff.init"),
            Found::Ignored
        ));
    }

    #[test]
    fn the_hint_is_the_nearest_key() {
        for (typed, meant) in [
            (
                "apm-server.auth.secret_tokn",
                "apm-server.auth.secret_token",
            ),
            (
                "apm-server.auth.secret_tokens",
                "apm-server.auth.secret_token",
            ),
            ("apm-server.auth.token", "apm-server.auth.secret_token"),
            ("apm-server.auth.apikey", "apm-server.auth.api_key"),
            ("apm-server.auth.anonymus", "apm-server.auth.anonymous"),
            (
                "apm-server.auth.anonymous.allow_agents",
                "apm-server.auth.anonymous.allow_agent",
            ),
            (
                "apm-server.auth.anonymous.ip_limit",
                "apm-server.auth.anonymous.rate_limit.ip_limit",
            ),
            (
                "apm-server.auth.anonymous.rate_limit.events_limit",
                "apm-server.auth.anonymous.rate_limit.event_limit",
            ),
            (
                "apm-server.api_key.enable",
                "apm-server.auth.api_key.enabled",
            ),
            ("tollbar.trusted_proxy", "tollbar.trusted_proxies"),
            ("tollbar.burst", "tollbar.burst_multiplier"),
            (
                "apm-server.rum.event_rate.limits",
                "apm-server.auth.anonymous.rate_limit.event_limit",
            ),
        ] {
            assert_eq!(nearest(typed).as_deref(), Some(meant), "{typed}");
        }
        assert_eq!(nearest("tollbar.zzzzzzzzzz"), None);
    }
}
