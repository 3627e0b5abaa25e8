//! Whatever text comes: the parser answers, never panics, and what it accepts is valid.

use proptest::prelude::*;
use tollbar::config::Config;

const GOOD: &str = include_str!("data/apm-server-8.yml");

/// Pieces that mean something to the parser, so that random texts get past its first line.
const PIECES: &[&str] = &[
    "apm-server",
    "auth",
    "secret_token",
    "secret_token_file",
    "anonymous",
    "rate_limit",
    "ip_limit",
    "api_key",
    "keys",
    "elasticsearch",
    "hosts",
    "tollbar",
    "trusted_proxies",
    "rum",
    "enabled",
    ".",
    ":",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    ", ",
    "&a",
    "*a",
    " *a ",
    "<<",
    "<<: *a",
    "!x",
    "!!str ",
    "'",
    "\"",
    "|\n",
    ">\n",
    "#",
    " #",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "? ",
    "\t",
    "\r\n",
    "true",
    "0",
    "10.0.0.0/8",
    "::/0",
    "${A}",
    "${B:x}",
    "${",
    "$${",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "é",
    "id",
    "hash",
    "privileges",
    "event:write",
    "1m30s",
    "https://es",
    "~",
];

fn answers(yaml: &str) {
    let env = |name: &str| (name == "A").then(|| "1".to_owned());
    match Config::parse(yaml, "x", &env, Some(std::path::Path::new("/nonexistent"))) {
        Ok(loaded) => assert_eq!(loaded.config.validate(), Ok(())),
        Err(error) => {
            assert!(!error.problems.is_empty());
            assert_eq!(error.to_string().lines().count(), error.problems.len());
            for problem in &error.problems {
                assert!(
                    problem.line.is_none_or(|l| l >= 1) && problem.column.is_none_or(|c| c >= 1)
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answers(&text);
    }

    #[test]
    fn any_sequence_of_meaningful_pieces_is_answered(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        answers(&pieces.concat());
        answers(&format!("apm-server.auth: {}", pieces.concat()));
    }

    #[test]
    fn any_value_of_any_key_is_answered(key in 0..tollbar::config::keys().len(), value in any::<String>()) {
        let name = tollbar::config::keys()[key].name();
        answers(&format!("{name}: {value}"));
        answers(&format!("{name}: {value:?}"));
        answers(&format!("{name}: [{value:?}, {value:?}]"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mutation_of_a_good_file_is_answered(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, prop::sample::select(PIECES), 0..30_usize), 1..8),
    ) {
        let mut chars: Vec<char> = GOOD.chars().collect();
        for (at, what, piece, len) in edits {
            let at = at.index(chars.len().max(1)).min(chars.len());
            let end = (at + len).min(chars.len());
            match what {
                0 => { chars.drain(at..end); }
                1 => { chars.splice(at..at, piece.chars()); }
                2 => { chars.splice(at..end, piece.chars()); }
                _ => { let copy = chars[at..end].to_vec(); chars.splice(at..at, copy); }
            }
        }
        answers(&chars.into_iter().collect::<String>());
    }
}
