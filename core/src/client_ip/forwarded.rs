//! RFC 7239's `Forwarded`: elements between commas, in each of them parameters between semicolons, of which only
//! `for=` matters here.
//!
//! Invariant: a line is read from its right end. A proxy appends `, for=…` to whatever the client sent, and a quote that
//! the client left open on the left would swallow that if the line were read from the left. Read from the right, a
//! well-formed element means the same whatever stands to its left.

use std::net::IpAddr;

use super::address;

/// Longer than any address with zone and port. What is longer after unescaping names no address.
const MAX_NODE_LEN: usize = 96;

/// The elements of one line, the last first, without the empty ones.
pub(super) fn elements_from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    SplitFromRight::new(line, b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The address of the element's `for=`. `None` if it is missing, stands there twice, or is none: `unknown`, `_hidden`, garbage.
pub(super) fn address_of(element: &[u8]) -> Option<IpAddr> {
    let mut node = None;
    for parameter in SplitFromRight::new(element, b';') {
        let Some(equals) = parameter.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = parameter.split_at(equals);
        if name.trim_ascii().eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            // RFC 7239 forbids it, and to choose one of the two would be to guess.
            return None;
        }
    }
    let value = node?.strip_prefix(b"=")?.trim_ascii();
    let mut buffer = [0; MAX_NODE_LEN];
    let node = match value.strip_prefix(b"\"") {
        Some(rest) => unquote(rest, &mut buffer)?,
        None => value,
    };
    address::parse(node, |port| {
        address::is_port(port) || is_obfuscated_port(port)
    })
}

/// `_` and at least one of the characters that RFC 7239 allows after it.
fn is_obfuscated_port(port: &[u8]) -> bool {
    matches!(port, [b'_', rest @ ..] if !rest.is_empty()
        && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)))
}

/// What a quoted string says, given what follows its opening quote. `None` if it is not closed at the very end, or too long.
fn unquote<'b>(rest: &'b [u8], buffer: &'b mut [u8; MAX_NODE_LEN]) -> Option<&'b [u8]> {
    let (last, inside) = rest.split_last()?;
    if *last != b'"' {
        return None;
    }
    if !inside.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Some(inside);
    }
    let mut len = 0;
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        let unescaped = match byte {
            b'"' => return None,
            b'\\' => bytes.next()?,
            plain => plain,
        };
        *buffer.get_mut(len)? = *unescaped;
        len += 1;
    }
    buffer.get(..len)
}

/// Pieces between separators that stand outside quotes, the last first.
struct SplitFromRight<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> SplitFromRight<'a> {
    fn new(text: &'a [u8], separator: u8) -> Self {
        Self {
            rest: Some(text),
            separator,
        }
    }
}

impl<'a> Iterator for SplitFromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut quoted = false;
        let split = rest.iter().enumerate().rposition(|(at, byte)| {
            if *byte == b'"' && !is_escaped(rest, at) {
                quoted = !quoted;
            }
            *byte == self.separator && !quoted
        });
        match split.and_then(|at| rest.split_at_checked(at)) {
            Some((left, piece)) => {
                self.rest = Some(left);
                piece.get(1..)
            }
            None => self.rest.take(),
        }
    }
}

/// Whether an odd number of backslashes stands before `at`. Runs before two quotes never overlap: linear in all.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let backslashes = text
        .iter()
        .take(at)
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count();
    backslashes % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(line: &str) -> Vec<&str> {
        elements_from_right(line.as_bytes())
            .map(|element| std::str::from_utf8(element).unwrap())
            .collect()
    }

    #[test]
    fn commas_inside_quotes_do_not_separate() {
        assert_eq!(
            elements(r#"for=a, for="b,c";by="d,\",e" , ,for="\\""#),
            [r#"for="\\""#, r#"for="b,c";by="d,\",e""#, "for=a"]
        );
    }

    #[test]
    fn an_open_quote_on_the_left_hides_nothing_on_the_right() {
        assert_eq!(
            elements(r#"for="x, for=1.2.3.4"#),
            ["for=1.2.3.4", r#"for="x"#]
        );
        assert_eq!(elements(r#"for="\, for="[::1]""#)[0], r#"for="[::1]""#);
        assert_eq!(
            elements(r#"for="a";x=", for="1.2.3.4";by="b""#)[0],
            r#"for="1.2.3.4";by="b""#
        );
    }

    #[test]
    fn escapes_are_undone_and_bounded() {
        let address = |element: &str| address_of(element.as_bytes());
        assert_eq!(
            address(r#"for="\1.2.3.\4""#),
            Some("1.2.3.4".parse().unwrap())
        );
        let padded = |zeros| format!("for=\"\\[fe80::1%{}]\"", "x".repeat(zeros));
        assert_eq!(address(&padded(60)), Some("fe80::1".parse().unwrap()));
        assert_eq!(address(&padded(600)), None);
    }
}
