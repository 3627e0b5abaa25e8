//! Secret tokens: what may be one, and the file that holds one a line.
//!
//! Invariant: nothing that leaves here, except the token itself, shows a token or its exact length.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::model::{MAX_TOKEN_LEN, SecretToken};

/// Why these bytes can never be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadToken {
    Empty,
    TooLong,
    /// A space or a control character, and at which byte: no header could carry it.
    Unprintable(usize),
}

impl BadToken {
    pub fn found(self) -> &'static str {
        match self {
            Self::Empty => "an empty string",
            Self::TooLong => "a token that is too long",
            Self::Unprintable(_) => "a token with a space or a control character in it",
        }
    }
}

/// Whether a client can send these bytes as the credential of `Authorization: Bearer`.
pub(super) fn check(token: &[u8]) -> Result<(), BadToken> {
    if token.is_empty() {
        return Err(BadToken::Empty);
    }
    if token.len() > MAX_TOKEN_LEN {
        return Err(BadToken::TooLong);
    }
    match token.iter().position(|b| *b <= b' ' || *b == 0x7f) {
        Some(at) => Err(BadToken::Unprintable(at)),
        None => Ok(()),
    }
}

/// A line of a token file that holds no valid token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    pub why: BadToken,
}

/// The tokens of a file, one a line. Blank lines, white space around tokens and a byte order mark are left out.
pub(super) fn lines(content: &[u8]) -> Vec<Result<SecretToken, BadLine>> {
    let content = content
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(content);
    let mut tokens = Vec::new();
    for (line, bytes) in (1_u32..).zip(content.split(|b| *b == b'\n')) {
        let token = bytes.trim_ascii();
        if token.is_empty() {
            continue;
        }
        tokens.push(match check(token) {
            Ok(()) => Ok(SecretToken::new(token)),
            Err(why) => {
                let indent = bytes.len() - bytes.trim_ascii_start().len();
                let at = match why {
                    BadToken::Unprintable(at) => indent + at,
                    _ => indent,
                };
                let before = Zeroizing::new(String::from_utf8_lossy(&bytes[..at]).into_owned());
                Err(BadLine {
                    line,
                    column: u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX),
                    why,
                })
            }
        });
    }
    tokens
}

/// Adds what is not there yet: a token may stand in the file and in its own key.
pub(super) fn add(all: &mut Vec<SecretToken>, more: Vec<SecretToken>) {
    all.extend(more);
    let first: Vec<bool> = {
        let mut seen: HashSet<&[u8]> = HashSet::with_capacity(all.len());
        all.iter().map(|t| seen.insert(t.expose())).collect()
    };
    let mut first = first.into_iter();
    all.retain(|_| first.next().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_a_header_can_carry() {
        for good in [
            &b"x"[..],
            b"a,b:c",
            "gehe\u{ef}m".as_bytes(),
            &[b'x'; MAX_TOKEN_LEN],
        ] {
            assert_eq!(check(good), Ok(()));
        }
        assert_eq!(check(b""), Err(BadToken::Empty));
        assert_eq!(check(&[b'x'; MAX_TOKEN_LEN + 1]), Err(BadToken::TooLong));
        for (bad, at) in [(&b"a b"[..], 1), (b"\ta", 0), (b"ab\x7f", 2), (b"a\0", 1)] {
            assert_eq!(check(bad), Err(BadToken::Unprintable(at)));
        }
    }

    #[test]
    fn a_file_holds_one_token_a_line() {
        let tokens = lines("\u{feff}one\r\n\n  two \n\t\nthree".as_bytes());
        let tokens: Vec<Vec<u8>> = tokens
            .into_iter()
            .map(|t| t.unwrap().expose().to_vec())
            .collect();
        assert_eq!(
            tokens,
            [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]
        );
        assert!(lines(b" \n\n").is_empty());
    }

    #[test]
    fn a_bad_line_is_named_by_its_place_and_the_others_are_read() {
        let found = lines("ok\n  \u{fc}x y\n".as_bytes());
        assert!(found[0].is_ok());
        assert_eq!(
            found[1].as_ref().unwrap_err(),
            &BadLine {
                line: 2,
                column: 5,
                why: BadToken::Unprintable(3)
            }
        );
    }

    #[test]
    fn a_token_counts_once() {
        let mut all = vec![SecretToken::new(*b"a")];
        add(
            &mut all,
            vec![SecretToken::new(*b"b"), SecretToken::new(*b"a")],
        );
        assert_eq!(all.len(), 2);
    }
}
