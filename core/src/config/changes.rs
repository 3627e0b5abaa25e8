//! Which keys two configurations differ in, for the history of reloads.
//!
//! Invariant: names leave here, values never do.

use super::api_key::LocalApiKey;
use super::keys::{Key, keys};
use super::model::Config;

/// The names of the keys whose value in force differs, in the order of the table. Of secrets it is compared what they are, not
/// how they are shown. Tokens of a token file count as `secret_token`: that is where they end up.
pub(crate) fn changed_keys(before: &Config, after: &Config) -> Vec<&'static str> {
    keys()
        .iter()
        .filter(|key| differs(key, before, after))
        .map(Key::name)
        .collect()
}

fn differs(key: &Key, before: &Config, after: &Config) -> bool {
    let (ssl, other) = (
        &before.api_key.elasticsearch.ssl,
        &after.api_key.elasticsearch.ssl,
    );
    match key.name() {
        "apm-server.auth.secret_token" => tokens(before) != tokens(after),
        "apm-server.auth.api_key.keys" => !same_keys(&before.api_key.keys, &after.api_key.keys),
        "apm-server.auth.api_key.elasticsearch.ssl.certificate_authorities" => {
            ssl.certificate_authorities != other.certificate_authorities
        }
        "apm-server.auth.api_key.elasticsearch.ssl.certificate" => {
            ssl.certificate != other.certificate
        }
        "apm-server.auth.api_key.elasticsearch.ssl.key" => ssl.key != other.key,
        _ => key.effective(before) != key.effective(after),
    }
}

/// Borrowed and sorted: their order does not matter.
fn tokens(config: &Config) -> Vec<&[u8]> {
    let mut tokens: Vec<&[u8]> = config.secret_tokens.iter().map(|t| t.expose()).collect();
    tokens.sort_unstable();
    tokens
}

fn same_keys(before: &[LocalApiKey], after: &[LocalApiKey]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(a, b)| {
            a.id == b.id && a.hash.expose() == b.hash.expose() && a.privileges == b.privileges
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyHash, Pem, Privilege, SecretToken};
    use std::path::PathBuf;
    use zeroize::Zeroizing;

    fn inline(text: &str) -> Pem {
        Pem::Inline(Zeroizing::new(text.into()))
    }

    /// A configuration in which every secret is set, and made from this text.
    fn secrets(text: &str) -> Config {
        let mut config = Config {
            secret_tokens: vec![SecretToken::new(text)],
            ..Config::default()
        };
        config.api_key.keys = vec![LocalApiKey {
            id: "id".into(),
            hash: KeyHash::new(text),
            privileges: vec![Privilege::EventWrite],
        }];
        let ssl = &mut config.api_key.elasticsearch.ssl;
        ssl.certificate_authorities = vec![inline(text)];
        ssl.certificate = Some(inline(text));
        ssl.key = Some(inline(text));
        config
    }

    #[test]
    fn nothing_changed_is_no_name() {
        assert!(changed_keys(&Config::default(), &Config::default()).is_empty());
        assert!(changed_keys(&secrets("a"), &secrets("a")).is_empty());
    }

    #[test]
    fn a_changed_secret_is_named_though_it_looks_the_same_masked() {
        let changed = changed_keys(&secrets("a"), &secrets("b"));
        for key in keys().iter().filter(|key| key.is_secret()) {
            assert!(changed.contains(&key.name()), "{}", key.name());
        }
        assert_eq!(changed.len(), 5, "{changed:?}");
    }

    #[test]
    fn a_plain_key_is_named_alone_and_the_order_of_tokens_is_no_change() {
        let mut other = Config::default();
        other.anonymous.event_limit += 1;
        other.secret_token_file = Some(PathBuf::from("tokens"));
        assert_eq!(
            changed_keys(&Config::default(), &other),
            [
                "apm-server.auth.secret_token_file",
                "apm-server.auth.anonymous.rate_limit.event_limit"
            ]
        );
        let tokens = |a: &str, b: &str| Config {
            secret_tokens: vec![SecretToken::new(a), SecretToken::new(b)],
            ..Config::default()
        };
        assert!(changed_keys(&tokens("a", "b"), &tokens("b", "a")).is_empty());
    }
}
