//! One address as proxies and servers write it: `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`, with or without a zone.
//!
//! Invariants: what is accepted names exactly one address. IPv4 with leading zeros, fewer than four octets or
//! a zone is refused rather than guessed at. A zone (`fe80::1%eth0`) names an interface of the machine that wrote
//! it and means nothing here: it is dropped, so that one client is not counted once per interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The text is not the address of a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a peer address: accepted are an IPv4 or IPv6 address, alone or with a port, \
     such as `203.0.113.9`, `203.0.113.9:8200`, `2001:db8::1` or `[2001:db8::1]:8200`"
)]
pub struct PeerError {
    found: String,
}

/// The address of a socket's peer from text, as servers hand it to an embedder: `1.2.3.4`, `1.2.3.4:80`, `::1`,
/// `[::1]:80`, `fe80::1%eth0`. Port and zone are dropped.
///
/// # Errors
/// [`PeerError`] if the text names no address, such as the path of a Unix socket or a host name.
pub fn parse_peer(text: &str) -> Result<IpAddr, PeerError> {
    parse(text.trim_ascii().as_bytes(), is_port).ok_or_else(|| PeerError {
        found: shortened(text),
    })
}

/// As [`parse_peer`], of what nearly all peers are: a bare IPv4 address. For bindings: this comes back in registers, an `IpAddr` by way
/// of memory.
#[doc(hidden)]
#[inline]
#[must_use]
pub fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    ipv4(text.as_bytes()).map(Ipv4Addr::from_bits)
}

/// An entry of `X-Forwarded-For` or `X-Real-IP`, which some proxies put in quotes.
pub(super) fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    parse(bare.unwrap_or(entry).trim_ascii(), is_port)
}

/// An address, alone or with a port that `port_accepted` accepts.
pub(super) fn parse(text: &[u8], port_accepted: fn(&[u8]) -> bool) -> Option<IpAddr> {
    // What nearly all are.
    if let Some(ip) = ipv4(text) {
        return Some(IpAddr::V4(Ipv4Addr::from_bits(ip)));
    }
    let (ip, port) = if let Some(rest) = text.strip_prefix(b"[") {
        let (inside, after) = split_at_first(rest, b']')?;
        let port = match after.split_first() {
            None => None,
            Some((b':', port)) => Some(port),
            Some(_) => return None,
        };
        (ipv6(inside)?, port)
    } else {
        match text.iter().filter(|byte| **byte == b':').count() {
            0 => return None,
            // IPv6 has two colons at least, so a single one is a port's.
            1 => {
                let (host, port) = split_at_first(text, b':')?;
                (IpAddr::V4(Ipv4Addr::from_bits(ipv4(host)?)), Some(port))
            }
            _ => (ipv6(text)?, None),
        }
    };
    port.is_none_or(port_accepted).then_some(ip)
}

/// A decimal port. Empty (`1.2.3.4:`) is one too: URLs and APM Server allow it, and the address is plain.
pub(super) fn is_port(text: &[u8]) -> bool {
    text.is_empty() || (text.iter().all(u8::is_ascii_digit) && from_ascii::<u16>(text).is_some())
}

/// As `Ipv4Addr`'s `FromStr`, in a sixth of the instructions: every request's peer comes here.
fn ipv4(text: &[u8]) -> Option<u32> {
    let (mut address, mut rest) = octet(text)?;
    for _ in 0..3 {
        let (next, after) = octet(rest.strip_prefix(b".")?)?;
        address = address << 8 | next;
        rest = after;
    }
    rest.is_empty().then_some(address)
}

/// A number up to 255, and what comes after it.
#[inline(always)]
fn octet(text: &[u8]) -> Option<(u32, &[u8])> {
    let (mut number, mut rest) = digit(text)?;
    // A number that begins with a zero is no longer than that; it may be octal elsewhere.
    if number != 0 {
        for _ in 0..2 {
            let Some((next, after)) = digit(rest) else {
                break;
            };
            number = number * 10 + next;
            rest = after;
        }
    }
    (number <= 255).then_some((number, rest))
}

#[inline(always)]
fn digit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (byte, rest) = text.split_first()?;
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some((u32::from(digit), rest))
}

fn ipv6(text: &[u8]) -> Option<IpAddr> {
    let bare = match split_at_first(text, b'%') {
        None => text,
        Some((bare, zone)) if is_zone(zone) => bare,
        Some(_) => return None,
    };
    from_ascii::<Ipv6Addr>(bare).map(IpAddr::V6)
}

fn is_zone(zone: &[u8]) -> bool {
    !zone.is_empty()
        && zone
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !br#"[]"\,;"#.contains(byte))
}

fn from_ascii<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn split_at_first(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The beginning of `text`, for a message: peers' names are short, what is not may be anything.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let mut found: String = text
        .chars()
        .take(MAX_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        found.push('…');
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_is_what_the_standard_library_takes_for_it() {
        let octets = [
            "0", "00", "01", "1", "9", "10", "099", "255", "256", "300", "1000", "", "a", " 1",
            "-1", "+1",
        ];
        let mut texts: Vec<String> = vec![
            "".into(),
            ".".into(),
            "1.2.3".into(),
            "1.2.3.4.5".into(),
            "1.2.3.4.".into(),
        ];
        for a in octets {
            for b in octets {
                texts.extend([
                    format!("{a}.{b}.3.4"),
                    format!("1.2.{a}.{b}"),
                    format!("{a}.0.0.{b}"),
                    format!("{a}{b}"),
                ]);
            }
        }
        for text in texts {
            assert_eq!(parse_ipv4(&text), text.parse().ok(), "{text:?}");
        }
        proptest::proptest!(|(bits: u32)| {
            let ip = Ipv4Addr::from_bits(bits);
            proptest::prop_assert_eq!(parse_ipv4(&ip.to_string()), Some(ip));
        });
    }

    #[test]
    fn peer_forms_that_servers_write_are_accepted() {
        for (text, ip) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:80", "203.0.113.9"),
            ("203.0.113.9:", "203.0.113.9"),
            (" 203.0.113.9 ", "203.0.113.9"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:80", "::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("fe80::1%25eth0", "fe80::1"),
            ("[fe80::1%eth0]:65535", "fe80::1"),
            ("::ffff:203.0.113.9", "::ffff:203.0.113.9"),
        ] {
            assert_eq!(parse_peer(text), Ok(ip.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn peers_that_are_no_address_are_refused() {
        for text in [
            "",
            " ",
            ":",
            "[",
            "[]",
            "[]:80",
            "localhost",
            "localhost:80",
            "/run/tollbar.sock",
            "@",
            "01.2.3.4",
            "1.2.3",
            "1",
            "0x7f.0.0.1",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.4:65536",
            "1.2.3.4:-1",
            "1.2.3.4:+80",
            "1.2.3.4%eth0",
            "[1.2.3.4]",
            "[1.2.3.4]:80",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:x",
            "fe80::1%",
            "fe80::1%a b",
            "1::2::3",
            "::ffff:1.2.3.04",
            "1.2.3.4/32",
            "１.2.3.4",
        ] {
            assert!(parse_peer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refused_peer_is_named_and_kept_short() {
        let error = parse_peer("not\nan address").unwrap_err().to_string();
        assert!(
            error.starts_with(r"`not\nan address` is not a peer address: accepted are"),
            "{error}"
        );
        let error = parse_peer(&"x".repeat(100_000)).unwrap_err().to_string();
        assert!(error.len() < 400, "{}", error.len());
    }
}
