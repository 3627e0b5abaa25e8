//! Forwarding headers of any bytes: whom they name, against a second parser that reads well-formed headers only, and by
//! itself from the left; and what must hold however they look.
//!
//! An input is one byte that chooses peer and proxies, and the headers, `name: value` lines.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use ipnet::IpNet;
use tollbar::client_ip::{ClientKey, TrustedProxies, canonical, client_ip as engine, parse_peer};

use crate::bytes::Bytes;

/// Networks that are trusted, and a peer from within.
static PROXIES: LazyLock<Vec<(Vec<IpNet>, IpAddr)>> = LazyLock::new(|| {
    let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect();
    let ip = |text: &str| text.parse().unwrap();
    vec![
        (nets(&["10.0.0.0/8"]), ip("10.0.0.1")),
        (nets(&["10.0.0.0/8"]), ip("::ffff:10.0.0.1")),
        (nets(&["2001:db8::/32", "192.0.2.1/32"]), ip("2001:db8::9")),
        (nets(&["0.0.0.0/0"]), ip("127.0.0.1")),
        (nets(&["::/0"]), ip("fe80::1")),
        (
            nets(&["::ffff:10.0.0.0/104", "10.0.0.0/9", "64:ff9b::/96"]),
            ip("64:ff9b::10.0.0.1"),
        ),
        (nets(&["10.0.0.0/8"]), ip("203.0.113.9")),
        (nets(&[]), ip("10.0.0.1")),
    ]
});

/// See the module's documentation.
pub fn client_ip(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let (nets, peer) = &PROXIES[usize::from(bytes.u8() & 7)];
    let trusted = TrustedProxies::new(nets);
    let headers: Vec<(&[u8], &[u8])> = bytes
        .rest()
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((&line[..colon], &line[colon + 1..]))
        })
        .collect();

    let client = engine(*peer, &headers, &trusted);
    assert_eq!(client, canonical(client));
    if !is_trusted(nets, *peer) {
        assert_eq!(client, plain(*peer), "nobody believes a stranger");
        return;
    }
    if let Some(expected) = reference(nets, *peer, &headers) {
        assert_eq!(client, expected);
    }
    what_a_proxy_appends_decides(nets, *peer, &headers, &trusted);
    peers(&headers);
}

/// Whatever the client sent, the trusted proxy has the last word.
fn what_a_proxy_appends_decides(
    nets: &[IpNet],
    peer: IpAddr,
    headers: &[(&[u8], &[u8])],
    trusted: &TrustedProxies,
) {
    for text in ["203.0.113.77", "2a00::77"] {
        let client: IpAddr = text.parse().unwrap();
        if is_trusted(nets, client) {
            continue;
        }
        let node = if client.is_ipv6() {
            format!("\"[{text}]:80\"")
        } else {
            text.to_owned()
        };
        let values = headers.iter().map(|&(_, value)| value);
        for value in values.chain([b"".as_slice()]) {
            let forwarded = [value, b", for=", node.as_bytes()].concat();
            let list = [value, b",", text.as_bytes()].concat();
            let mut all = headers.to_vec();
            all.push((b"FORWARDED", &forwarded));
            assert_eq!(engine(peer, &all, trusted), client);
            // On a line of its own.
            let own_line = [b"for=", node.as_bytes()].concat();
            let last = all.len() - 1;
            all[last].1 = value;
            all.push((b"Forwarded", &own_line));
            assert_eq!(engine(peer, &all, trusted), client);

            all.retain(|(name, _)| !name.eq_ignore_ascii_case(b"forwarded"));
            all.push((b"x-real-ip", text.as_bytes()));
            assert_eq!(engine(peer, &all, trusted), client);
            all.retain(|(name, _)| !name.eq_ignore_ascii_case(b"x-real-ip"));
            all.push((b"x-forwarded-FOR", &list));
            assert_eq!(engine(peer, &all, trusted), client);
        }
    }
}

/// A peer's text and its key.
fn peers(headers: &[(&[u8], &[u8])]) {
    for (_, value) in headers {
        let Ok(text) = std::str::from_utf8(value) else {
            continue;
        };
        let found = parse_peer(text);
        if let Some(ip) = strict(text.trim_ascii()) {
            assert_eq!(found.as_ref().ok(), Some(&ip), "{text:?}");
        }
        if let Ok(ip) = found {
            assert_eq!(parse_peer(&ip.to_string()), Ok(ip));
            let prefix = value.len() as u8;
            let key = ClientKey::new(ip, prefix);
            assert_eq!(key, ClientKey::new(canonical(ip), prefix));
            assert_eq!(canonical(ip), plain(ip));
            if plain(ip).is_ipv4() {
                assert_eq!(key.ip(), plain(ip));
            } else {
                assert!(key.ip().is_ipv6());
            }
        }
    }
}

/// Whom well-formed headers name. `None`: they are not well-formed where it matters, so there is more than one answer.
fn reference(nets: &[IpNet], peer: IpAddr, headers: &[(&[u8], &[u8])]) -> Option<IpAddr> {
    let lines = |wanted: &str| -> Vec<&[u8]> {
        let named = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase() == wanted;
        headers
            .iter()
            .filter(|(name, _)| name.is_ascii() && named(name))
            .map(|&(_, value)| value)
            .collect()
    };
    let mut elements = Vec::new();
    for line in lines("forwarded") {
        elements.extend(forwarded(line)?);
    }
    if let Some(client) = walk(nets, elements)? {
        return Some(client);
    }
    let list = |wanted| -> Vec<Hop> {
        let all = lines(wanted).join(b",".as_slice());
        let entries = all.split(|&byte| byte == b',');
        let entries = entries.map(<[u8]>::trim_ascii).filter(|e| !e.is_empty());
        entries.map(node).collect()
    };
    match list("x-real-ip").last() {
        Some(Hop::Malformed) => return None,
        Some(Hop::Ip(ip)) => return Some(*ip),
        Some(Hop::Nobody) | None => {}
    }
    match walk(nets, list("x-forwarded-for"))? {
        Some(client) => Some(client),
        None => Some(plain(peer)),
    }
}

#[derive(Clone, Copy)]
enum Hop {
    Ip(IpAddr),
    Nobody,
    Malformed,
}

/// `None`: something malformed is in the way. `Some(None)`: the header names nobody.
fn walk(nets: &[IpNet], mut hops: Vec<Hop>) -> Option<Option<IpAddr>> {
    let mut furthest = None;
    while let Some(hop) = hops.pop() {
        match hop {
            Hop::Malformed => return None,
            Hop::Nobody => return Some(None),
            Hop::Ip(ip) if is_trusted(nets, ip) => furthest = Some(ip),
            Hop::Ip(ip) => return Some(Some(ip)),
        }
    }
    Some(furthest)
}

/// An address as the standard library reads it, alone or with a port.
fn strict(text: &str) -> Option<IpAddr> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|inside| inside.parse::<std::net::Ipv6Addr>().ok());
    let socket = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    text.parse()
        .ok()
        .or_else(|| bracketed.map(IpAddr::V6))
        .or_else(socket)
}

fn node(text: &[u8]) -> Hop {
    match std::str::from_utf8(text) {
        Ok(text) => match strict(text) {
            Some(ip) => Hop::Ip(plain(ip)),
            None if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') => Hop::Nobody,
            None => Hop::Malformed,
        },
        Err(_) => Hop::Malformed,
    }
}

/// RFC 7239 by the letter, from the left. `None`: not well-formed.
fn forwarded(line: &[u8]) -> Option<Vec<Hop>> {
    let text = std::str::from_utf8(line).ok()?;
    let mut rest = text.trim_matches([' ', '\t']);
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let mut named = None;
        loop {
            let (name, after) = rest.split_once('=')?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return None;
            }
            let (value, after) = value(after)?;
            if name.eq_ignore_ascii_case("for") && named.replace(value).is_some() {
                return None;
            }
            rest = after;
            match rest.strip_prefix(';') {
                Some(next) => rest = next,
                None => break,
            }
        }
        // An element without `for` is allowed, and says nothing of who it was.
        elements.push(named.map_or(Hop::Nobody, |value| node(value.as_bytes())));
        rest = rest.trim_start_matches([' ', '\t']);
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start_matches([' ', '\t']);
        }
    }
    Some(elements)
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .bytes()
            .position(|byte| !is_token(byte))
            .unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next().filter(char::is_ascii)?),
            c if c == '\t' || c >= ' ' && c != '\x7f' => value.push(c),
            _ => return None,
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// SPEC 7: an address that embeds IPv4 is IPv4.
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    match v6.octets() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => IpAddr::from([a, b, c, d]),
        _ => ip,
    }
}

/// One network after another; those of IPv6 that embed IPv4 are asked with the address as it would stand in them.
fn is_trusted(nets: &[IpNet], ip: IpAddr) -> bool {
    let ip = plain(ip);
    let forms = match ip {
        IpAddr::V6(_) => vec![ip],
        IpAddr::V4(v4) => {
            let nat64 = u128::from(u32::from(v4)) | 0x0064_ff9b << 96;
            vec![
                ip,
                v4.to_ipv6_mapped().into(),
                std::net::Ipv6Addr::from_bits(nat64).into(),
            ]
        }
    };
    nets.iter().any(|net| {
        let embeds = |form: &&IpAddr| form.is_ipv4() == ip.is_ipv4() || net.prefix_len() >= 96;
        forms.iter().filter(embeds).any(|form| net.contains(form))
    })
}
