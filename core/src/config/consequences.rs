//! What the values of several keys come to together, and no single one shows.
//!
//! Invariant: every finding stands at a key of the file that has a part in it, or at the file's beginning.

use super::error::quoted;
use super::flatten::{Assignment, Finding};
use super::model::MAX_SECRET_TOKENS;
use super::reader::Reader;
use super::yaml::Pos;

/// What is said of a configuration without authentication, wherever that is said.
const NOBODY_IS_ASKED: &str = "no authentication is configured: everybody gets in, without a rate limit; \
                               set `apm-server.auth.secret_token`, or `apm-server.auth.api_key.enabled: true`";

impl Reader<'_> {
    pub(super) fn too_many_tokens(&mut self, set: &[&Assignment]) {
        let count = self.draft.config.secret_tokens.len();
        let from = set
            .iter()
            .rev()
            .find(|a| a.key.name.starts_with("apm-server.auth.secret_token"));
        if let (true, Some(a)) = (count > MAX_SECRET_TOKENS, from) {
            self.finding(Finding {
                pos: a.pos,
                path: Some(a.path.clone()),
                found: format!("{count} tokens in all"),
                accepted: format!("at most {MAX_SECRET_TOKENS} tokens"),
                hint: None,
            });
        }
    }

    /// API keys are on, but nothing could ever verify one.
    pub(super) fn unverifiable(&mut self, set: &[&Assignment]) {
        let api_key = &self.draft.config.api_key;
        if !api_key.enabled || !api_key.keys.is_empty() || !api_key.elasticsearch.hosts.is_empty() {
            return;
        }
        let enabled = set
            .iter()
            .find(|a| a.key.name == "apm-server.auth.api_key.enabled");
        if let Some((pos, path)) = enabled.map(|a| (a.pos, a.path.clone())) {
            let message = "is true, but neither `apm-server.auth.api_key.keys` nor \
                           `apm-server.auth.api_key.elasticsearch.hosts` is set: no API key can be verified";
            self.warn(pos, &path, message.into());
        }
    }

    /// A browser sends no path: a pattern that has one matches nothing.
    pub(super) fn origins_with_a_path(&mut self, set: &[&Assignment]) {
        let place = |a: &&&Assignment| a.key.name == "apm-server.rum.allow_origins";
        let Some((pos, path)) = set.iter().find(place).map(|a| (a.pos, a.path.clone())) else {
            return;
        };
        for pattern in self.draft.config.rum_allow_origins.clone() {
            let after_scheme = pattern.split_once("://").map_or("", |(_, rest)| rest);
            if let Some((host, _)) = after_scheme.split_once('/') {
                let whole = &pattern[..pattern.len() - after_scheme.len() + host.len()];
                let message = format!(
                    "has {}, which no origin matches, as browsers send none with a path; write {}",
                    quoted(&pattern),
                    quoted(whole)
                );
                self.warn(pos, &path, message);
            }
        }
    }

    /// There is no authentication: valid, as in APM Server, but hardly meant where the file asks for anonymous access. It is said at
    /// the key that would have brought authentication, `secret_token:` without a value for instance; else at the beginning.
    pub(super) fn nobody_is_asked(&mut self, all: &[Assignment]) {
        let config = &self.draft.config;
        if config.auth_configured() {
            return;
        }
        let asks_for_anonymous = config.anonymous.enabled == Some(true);
        let place = |name: &str| all.iter().find(|a| a.key.name.starts_with(name));
        let (at, message) = if asks_for_anonymous {
            (
                place("apm-server.auth.anonymous.enabled"),
                format!("has no effect, as {NOBODY_IS_ASKED}"),
            )
        } else {
            let would_be = place("apm-server.auth.secret_token")
                .or_else(|| place("apm-server.auth.api_key.enabled"));
            (would_be, NOBODY_IS_ASKED.to_owned())
        };
        let start = Pos { line: 1, column: 1 };
        let (pos, path) = at.map_or((start, "apm-server.auth"), |a| (a.pos, a.path.as_str()));
        self.warn(pos, path, message);
    }
}
