//! [`Config::validate`]: the ranges of every field, for configurations that programs build.
//!
//! Files are checked value by value while they are parsed, with the same functions and the same ranges of the table of keys.

use super::api_key::MAX_API_KEY_LIMIT;
use super::error::{ConfigError, Problem, quoted};
use super::keys::keys;
use super::model::{
    Config, MAX_BURST_MULTIPLIER, MAX_EVENT_LIMIT, MAX_IP_LIMIT, MAX_SECRET_TOKENS,
};
use super::{tokens, values};
use crate::credential::api_key::HashedKey;

impl Config {
    /// Checks the range of every field. `Engine::new` and `reload` call this.
    ///
    /// # Errors
    /// Every field that is out of its range, by the name of its key. The problems have no file, line and column.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, found: String| problems.push(problem(key, found));

        for token in &self.secret_tokens {
            if let Err(why) = tokens::check(token.expose()) {
                wrong("apm-server.auth.secret_token", why.found().into());
            }
        }
        let count = self.secret_tokens.len();
        if count > MAX_SECRET_TOKENS {
            wrong(
                "apm-server.auth.secret_token",
                format!("{count} tokens, more than {MAX_SECRET_TOKENS}"),
            );
        }
        for (key, value, max) in [
            (
                "apm-server.auth.api_key.limit",
                self.api_key.limit,
                MAX_API_KEY_LIMIT,
            ),
            (
                "apm-server.auth.anonymous.rate_limit.ip_limit",
                self.anonymous.ip_limit,
                MAX_IP_LIMIT,
            ),
            (
                "apm-server.auth.anonymous.rate_limit.event_limit",
                self.anonymous.event_limit,
                MAX_EVENT_LIMIT,
            ),
            ("tollbar.ipv6_prefix", self.ipv6_prefix.into(), 128),
            (
                "tollbar.burst_multiplier",
                self.burst_multiplier,
                MAX_BURST_MULTIPLIER,
            ),
        ] {
            if !(1..=max).contains(&value) {
                wrong(key, value.to_string());
            }
        }
        for (key, names) in [
            (
                "apm-server.auth.anonymous.allow_agent",
                &self.anonymous.allow_agent,
            ),
            (
                "apm-server.auth.anonymous.allow_service",
                &self.anonymous.allow_service,
            ),
        ] {
            if names.iter().any(String::is_empty) {
                wrong(key, "an empty string".into());
            }
        }
        for (key, texts, check) in [
            (
                "apm-server.rum.allow_origins",
                &self.rum_allow_origins,
                values::origin as fn(&str) -> _,
            ),
            (
                "apm-server.rum.allow_headers",
                &self.rum_allow_headers,
                values::header_name,
            ),
        ] {
            if let Some(bad) = texts.iter().find(|text| check(text).is_err()) {
                wrong(key, quoted(bad));
            }
        }
        for key in &self.api_key.keys {
            if key.privileges.is_empty() {
                wrong(
                    "apm-server.auth.api_key.keys",
                    format!("no privileges for the id {}", quoted(&key.id)),
                );
            }
            if key.id.is_empty()
                || key.id.contains(':')
                || HashedKey::parse(key.hash.expose()).is_none()
            {
                wrong(
                    "apm-server.auth.api_key.keys",
                    "an id that is empty or has a colon, or a hash that is none of `tollbar keygen`'s".into(),
                );
            }
        }
        for host in &self.api_key.elasticsearch.hosts {
            if let Err(why) = values::host(host, "", "") {
                wrong(
                    "apm-server.auth.api_key.elasticsearch.hosts",
                    why.found.unwrap_or_else(|| quoted(host)),
                );
            }
        }
        let timeout = self.api_key.elasticsearch.timeout;
        if timeout.is_zero() || timeout.as_secs_f64() > 3600.0 {
            wrong(
                "apm-server.auth.api_key.elasticsearch.timeout",
                format!("{timeout:?}"),
            );
        }
        match ConfigError::new(problems, None, Vec::new()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn problem(key: &str, found: String) -> Problem {
    let known = keys().iter().find(|k| k.name() == key);
    Problem {
        file: None,
        line: None,
        column: None,
        key: Some(key.to_owned()),
        found,
        accepted: known.map(super::Key::accepted).unwrap_or_default(),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretToken;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn every_field_out_of_range_is_named_at_once_and_no_token_is_shown() {
        let mut config = Config {
            secret_tokens: vec![
                SecretToken::new(*b"hunter2 hunter2"),
                SecretToken::new(*b""),
            ],
            ipv6_prefix: 129,
            burst_multiplier: 0,
            ..Config::default()
        };
        config.anonymous.ip_limit = 0;
        config.anonymous.event_limit = MAX_EVENT_LIMIT + 1;
        config.anonymous.allow_agent = vec![String::new()];
        config.api_key.limit = 0;
        config.rum_allow_origins = vec!["*".into(), "a b".into()];
        config.rum_allow_headers = vec!["X: y".into()];
        config.api_key.elasticsearch.hosts = vec!["es".into()];
        config.api_key.elasticsearch.timeout = std::time::Duration::ZERO;
        let error = config.validate().unwrap_err();
        assert_eq!(error.problems.len(), 12, "{error}");
        assert!(!error.to_string().contains("hunter2"));
        assert!(error.problems.iter().all(|p| !p.accepted.is_empty()));
    }
}
