//! Configurations of any bytes: they are answered, an accepted one survives being printed and read again, and no answer shows a
//! secret.
//!
//! An input is the text of the file.

use std::fmt::Write as _;
use std::path::Path;

use tollbar::RumCors;
use tollbar::config::{Config, ConfigError, Loaded, Pem, Privilege, SecretToken, keys};

/// Stands where a secret would.
const MARKER: &str = "M4RKER-0f-a-s3cret";
/// What `tollbar keygen` prints, of a key that is long forgotten.
const HASH: &str = "tollbar1:AAECAwQFBgcICQoLDA0ODw:p_M_4NPGOIxoTgWSp2Mn_bC0fVHLQX5iFLKSnCotTwo";

/// See the module's documentation.
pub fn config(data: &[u8]) {
    match read(data) {
        Ok(loaded) => {
            accepted(&loaded.config);
            origins(&loaded.config, data);
            let again = read(data).unwrap();
            assert_eq!(again.warnings, loaded.warnings);
            assert_eq!(again.origins, loaded.origins);
            assert_eq!(shown(&again.config), shown(&loaded.config));
            for warning in &loaded.warnings {
                assert!(warning.line >= 1 && warning.column >= 1);
            }
        }
        Err(error) => refused(&error),
    }
    no_secret_is_shown(data);
}

fn read(data: &[u8]) -> Result<Loaded, ConfigError> {
    let env = |name: &str| match name {
        "A" => Some("1".to_owned()),
        "LIST" => Some("a, b,c".to_owned()),
        _ => None,
    };
    Config::parse_bytes(data, "fuzz.yml", &env, Some(Path::new("/nonexistent")))
}

fn refused(error: &ConfigError) {
    assert!(!error.problems.is_empty());
    assert_eq!(error.to_string().lines().count(), error.problems.len());
    for problem in &error.problems {
        assert!(problem.line != Some(0) && problem.column != Some(0));
        assert!(!problem.accepted.is_empty());
    }
}

/// Printed and read again it is the same, but for secrets, which can't be printed.
fn accepted(config: &Config) {
    assert_eq!(config.validate(), Ok(()));
    if config.secret_token_file.is_some() {
        // A file of this machine, whose tokens can't be printed.
        return;
    }
    let mut before = config.clone();
    for key in &mut before.api_key.keys {
        key.hash = tollbar::config::KeyHash::new(HASH);
    }
    for (number, token) in before.secret_tokens.iter_mut().enumerate() {
        *token = SecretToken::new(format!("token-{number}"));
    }
    let text = printed(&before);
    let after = match read(text.as_bytes()) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("what was accepted is refused when printed:\n{text}\n{error}"),
    };
    assert_eq!(shown(&after), shown(&before), "{text}");
    assert_eq!(after.api_key, before.api_key, "{text}");
    assert_eq!(
        after.anonymous.allow_agent, before.anonymous.allow_agent,
        "{text}"
    );
    assert_eq!(
        after.anonymous.allow_service, before.anonymous.allow_service,
        "{text}"
    );
    assert_eq!(RumCors::new(&after), RumCors::new(&before), "{text}");
    assert_eq!(after.trusted_proxies, before.trusted_proxies, "{text}");
    assert_eq!(
        after.anonymous_enabled(),
        before.anonymous_enabled(),
        "{text}"
    );
    assert_eq!(after.auth_configured(), before.auth_configured(), "{text}");
}

/// Origins are allowed as the simplest matcher says.
fn origins(config: &Config, data: &[u8]) {
    let rules = RumCors::new(config);
    let patterns = config.rum_allow_origins.iter().take(8);
    let cut = |bytes: &[u8]| bytes[..bytes.len().min(64)].to_vec();
    let patterns: Vec<Vec<u8>> = patterns.map(|pattern| cut(pattern.as_bytes())).collect();
    if config.rum_allow_origins.len() > 8 || config.rum_allow_origins.iter().any(|p| p.len() > 64) {
        return;
    }
    let mut asked = vec![Vec::new(), cut(data), cut(&data[data.len() / 2..])];
    for pattern in &patterns {
        let text = String::from_utf8_lossy(pattern);
        asked.extend(["", "a", "a.b", "*"].map(|filling| text.replace('*', filling).into_bytes()));
        asked.push(text.to_uppercase().into_bytes());
    }
    for origin in asked {
        let expected = patterns.iter().any(|pattern| matches(pattern, &origin));
        assert_eq!(rules.allows(&origin), expected, "{origin:?}");
    }
}

/// Row by row, whether each prefix of the text is matched by the pattern so far.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for p in pattern {
        let mut next = vec![false; row.len()];
        for t in 0..row.len() {
            next[t] = match p {
                b'*' => row[t] || (t > 0 && next[t - 1]),
                p => t > 0 && row[t - 1] && p.eq_ignore_ascii_case(&text[t - 1]),
            };
        }
        row = next;
    }
    row[text.len()]
}

/// The effective value of every key.
fn shown(config: &Config) -> Vec<String> {
    keys().iter().map(|key| key.effective(config)).collect()
}

/// The configuration as a file. Values of one word as `check-config` shows them, all others quoted.
fn printed(config: &Config) -> String {
    let mut text = String::new();
    for key in keys() {
        let api_key = &config.api_key;
        let ssl = &api_key.elasticsearch.ssl;
        let (section, name) = key.name().rsplit_once('.').unwrap();
        let value = match (section, name) {
            (_, "secret_token") if config.secret_tokens.is_empty() => continue,
            (_, "secret_token") => {
                list((0..config.secret_tokens.len()).map(|number| format!("token-{number}")))
            }
            (_, "keys") => {
                let entries = api_key.keys.iter().map(|key| {
                    let privileges = key.privileges.iter().map(|p| Privilege::as_str(*p));
                    format!(
                        "{{id: {}, hash: {HASH:?}, privileges: {}}}",
                        quoted(&key.id),
                        list(privileges)
                    )
                });
                format!("[{}]", entries.collect::<Vec<_>>().join(", "))
            }
            (_, "hosts") => list(&api_key.elasticsearch.hosts),
            (_, "certificate_authorities") => list(ssl.certificate_authorities.iter().map(pem)),
            (_, "certificate") => match &ssl.certificate {
                Some(certificate) => quoted(pem(certificate)),
                None => continue,
            },
            ("apm-server.auth.api_key.elasticsearch.ssl", "key") => match &ssl.key {
                Some(key) => quoted(pem(key)),
                None => continue,
            },
            (_, "allow_agent") => list(&config.anonymous.allow_agent),
            (_, "allow_service") => list(&config.anonymous.allow_service),
            (_, "allow_origins") => list(&config.rum_allow_origins),
            (_, "allow_headers") => list(&config.rum_allow_headers),
            (_, "trusted_proxies") => list(config.trusted_proxies.iter().map(ToString::to_string)),
            _ => match key.effective(config) {
                none if none == "none" && key.default() == "none" => continue,
                value => value,
            },
        };
        writeln!(text, "{}: {value}", key.name()).unwrap();
    }
    text
}

fn pem(pem: &Pem) -> &str {
    match pem {
        Pem::File(path) => path.to_str().unwrap(),
        Pem::Inline(text) => text,
    }
}

fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items
        .into_iter()
        .map(|item| quoted(item.as_ref()))
        .collect();
    format!("[{}]", items.join(", "))
}

/// In YAML's double quotes, and safe from expansion.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.replace("${", "$${").chars() {
        match c {
            ' '..='~' if c != '"' && c != '\\' => quoted.push(c),
            _ => write!(quoted, "\\U{:08x}", u32::from(c)).unwrap(),
        }
    }
    quoted + "\""
}

/// Whatever else stands in the file: neither problem nor warning nor `Debug` shows the token.
fn no_secret_is_shown(data: &[u8]) {
    if data
        .windows(4)
        .any(|window| MARKER.as_bytes().starts_with(window))
    {
        return;
    }
    for key in ["apm-server.auth.secret_token", "apm-server.secret_token"] {
        let shown = match read(&[key.as_bytes(), b": ", MARKER.as_bytes(), b"\n", data].concat()) {
            Ok(loaded) => format!("{loaded:?}"),
            Err(error) => format!("{error}{error:?}"),
        };
        assert!(!shown.contains(MARKER), "{shown}");
    }
}
