//! Properties of the search for the client's address, against a reference that knows the hops before they were written down.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::select;
use tollbar::client_ip::{TrustedProxies, canonical, client_ip, parse_peer};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn trusted() -> TrustedProxies {
    let nets: [IpNet; 2] = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    TrustedProxies::new(&nets)
}

/// What a proxy says of the one that it forwards for.
#[derive(Clone, Debug)]
enum Hop {
    Trusted(IpAddr),
    Stranger(IpAddr),
    Opaque(&'static str),
}

fn hop() -> impl Strategy<Value = Hop> {
    prop_oneof![
        3 => any::<[u8; 3]>().prop_map(|[a, b, c]| Hop::Trusted(Ipv4Addr::new(10, a, b, c).into())),
        2 => any::<u128>().prop_map(|bits| Hop::Trusted(Ipv6Addr::from_bits(0xfd << 120 | bits >> 8).into())),
        2 => any::<[u8; 3]>().prop_map(|[a, b, c]| Hop::Stranger(Ipv4Addr::new(203, a, b, c).into())),
        2 => any::<u128>().prop_map(|bits| Hop::Stranger(Ipv6Addr::from_bits(0x20 << 120 | bits >> 8).into())),
        1 => select(vec!["unknown", "Unknown", "_hidden", "_a.b-c", "1.2.3", "host.example", "1.2.3.256", "?"]).prop_map(Hop::Opaque),
    ]
}

/// The definition, on hops: `None` where the walk ends without an address.
fn reference(hops: &[Hop]) -> Option<IpAddr> {
    for hop in hops.iter().rev() {
        match hop {
            Hop::Trusted(_) => {}
            Hop::Stranger(ip) => return Some(*ip),
            Hop::Opaque(_) => return None,
        }
    }
    match hops.first() {
        Some(Hop::Trusted(ip)) => Some(*ip),
        _ => None,
    }
}

/// How an entry is dressed up, all of it without effect on its meaning.
#[derive(Clone, Debug)]
struct Style {
    brackets: bool,
    port: Option<u16>,
    mapped: bool,
    zone: bool,
    quoted: bool,
    escapes: bool,
    before: &'static str,
    after: &'static str,
    parameters_before: &'static str,
    parameters_after: &'static str,
    name: &'static str,
    new_line: bool,
    empty_entry: bool,
}

fn style() -> impl Strategy<Value = Style> {
    let space = || select(vec!["", " ", "  ", "\t", " \t "]);
    let flags = any::<(bool, bool, bool, bool, bool, bool, bool)>();
    let texts = (
        space(),
        space(),
        select(vec![
            "",
            "proto=https;",
            "by=\"a,b;for=1.1.1.1\";",
            "host=\"\\\",\" ; ",
            "secure;",
        ]),
        select(vec![
            "",
            ";proto=http",
            ";by=_x",
            ";host=\"a\\\\\"",
            " ; host=\"x, for=9.9.9.9\"",
            ";",
        ]),
        select(vec!["for", "For", "FOR", "fOr"]),
    );
    (flags, texts, any::<Option<u16>>()).prop_map(|(flags, texts, port)| Style {
        brackets: flags.0,
        mapped: flags.1,
        zone: flags.2,
        quoted: flags.3,
        escapes: flags.4,
        new_line: flags.5,
        empty_entry: flags.6,
        port,
        before: texts.0,
        after: texts.1,
        parameters_before: texts.2,
        parameters_after: texts.3,
        name: texts.4,
    })
}

/// The address as text, in one of its forms.
fn written(hop: &Hop, style: &Style) -> String {
    let ip = match hop {
        Hop::Opaque(text) => return (*text).to_owned(),
        Hop::Trusted(ip) | Hop::Stranger(ip) => *ip,
    };
    let v6 = match ip {
        IpAddr::V4(v4) if style.mapped => v4.to_ipv6_mapped(),
        IpAddr::V4(v4) => {
            return style
                .port
                .map_or(v4.to_string(), |port| format!("{v4}:{port}"));
        }
        IpAddr::V6(v6) => v6,
    };
    let zone = if style.zone { "%eth0" } else { "" };
    match style.port {
        Some(port) => format!("[{v6}{zone}]:{port}"),
        None if style.brackets => format!("[{v6}{zone}]"),
        None => format!("{v6}{zone}"),
    }
}

fn x_forwarded_for_entry(hop: &Hop, style: &Style) -> String {
    let address = written(hop, style);
    let address = if style.quoted {
        format!("\"{address}\"")
    } else {
        address
    };
    format!("{}{address}{}", style.before, style.after)
}

fn forwarded_entry(hop: &Hop, style: &Style) -> String {
    let mut node = written(hop, style);
    if style.quoted {
        if style.escapes {
            node = node.chars().flat_map(|c| ['\\', c]).collect();
        }
        node = format!("\"{node}\"");
    }
    let Style {
        before,
        after,
        parameters_before,
        parameters_after,
        name,
        ..
    } = style;
    format!("{before}{parameters_before}{name}={node}{parameters_after}{after}")
}

/// Lays the entries out over one line or several, with empty entries in between.
fn lines(entries: &[(Hop, Style)], entry: fn(&Hop, &Style) -> String) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (index, (hop, style)) in entries.iter().enumerate() {
        if index > 0 && style.new_line {
            lines.push(String::new());
        }
        let line = lines.last_mut().unwrap();
        if !line.is_empty() || style.empty_entry {
            line.push(',');
        }
        line.push_str(&entry(hop, style));
    }
    lines
}

fn headers<'a>(name: &'a str, lines: &'a [String]) -> Vec<(&'a [u8], &'a [u8])> {
    lines
        .iter()
        .map(|line| (name.as_bytes(), line.as_bytes()))
        .collect()
}

fn entries() -> impl Strategy<Value = Vec<(Hop, Style)>> {
    prop::collection::vec((hop(), style()), 0..8)
}

fn hops(entries: &[(Hop, Style)]) -> Vec<Hop> {
    entries.iter().map(|(hop, _)| hop.clone()).collect()
}

/// Header names and values full of the characters that mean something.
fn wild_headers() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let name = prop_oneof![
        6 => select(vec!["Forwarded", "x-real-ip", "X-FORWARDED-FOR", "host"]).prop_map(|name| name.as_bytes().to_vec()),
        1 => any::<Vec<u8>>(),
    ];
    let piece = prop_oneof![
        select(vec![
            "for=", "\"", "\\", ",", ";", "[", "]", ":", "%", "=", " ", "_", "unknown", "1.2.3.4",
            "10.0.0.2", "::1", "::ffff:"
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    let value = prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat());
    prop::collection::vec((name, value), 0..6)
}

fn borrowed(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_give_an_address_in_canonical_form(headers in wild_headers()) {
        let ip = client_ip(PEER, &borrowed(&headers), &trusted());
        prop_assert_eq!(canonical(ip), ip);
    }

    #[test]
    fn any_text_is_a_peer_or_an_error(text in "[0-9a-f:.%\\[\\] ]{0,24}|\\PC{0,80}") {
        if let Err(error) = parse_peer(&text) {
            prop_assert!(error.to_string().contains("is not a peer address: accepted are"));
        }
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_sends(peer: u128, headers in wild_headers()) {
        let peer = IpAddr::V6(Ipv6Addr::from_bits(peer));
        prop_assume!(!trusted().contains(peer));
        prop_assert_eq!(client_ip(peer, &borrowed(&headers), &trusted()), canonical(peer));
        prop_assert_eq!(client_ip(PEER, &borrowed(&headers), &TrustedProxies::default()), PEER);
    }

    #[test]
    fn x_forwarded_for_is_walked_as_defined(entries in entries()) {
        let lines = lines(&entries, x_forwarded_for_entry);
        let expected = reference(&hops(&entries)).unwrap_or(PEER);
        prop_assert_eq!(client_ip(PEER, &headers("X-Forwarded-For", &lines), &trusted()), expected, "{:?}", lines);
    }

    #[test]
    fn forwarded_is_walked_as_defined(entries in entries()) {
        let lines = lines(&entries, forwarded_entry);
        let expected = reference(&hops(&entries)).unwrap_or(PEER);
        prop_assert_eq!(client_ip(PEER, &headers("Forwarded", &lines), &trusted()), expected, "{:?}", lines);
    }

    #[test]
    fn a_header_without_an_address_passes_to_the_next(forwarded in entries(), real in prop::option::of((hop(), style())), list in entries()) {
        let forwarded_lines = lines(&forwarded, forwarded_entry);
        let real_line: Vec<String> = real.iter().map(|(hop, style)| x_forwarded_for_entry(hop, style)).collect();
        let list_lines = lines(&list, x_forwarded_for_entry);
        // The order of different headers means nothing.
        let all = [headers("x-forwarded-for", &list_lines), headers("x-real-ip", &real_line), headers("forwarded", &forwarded_lines)].concat();
        let real = real.and_then(|(hop, _)| match hop {
            Hop::Trusted(ip) | Hop::Stranger(ip) => Some(ip),
            Hop::Opaque(_) => None,
        });
        let expected = reference(&hops(&forwarded)).or(real).or(reference(&hops(&list))).unwrap_or(PEER);
        prop_assert_eq!(client_ip(PEER, &all, &trusted()), expected);
    }

    #[test]
    fn what_the_client_sends_never_changes_what_the_proxy_appends(junk: Vec<u8>, wild in wild_headers(), stranger: [u8; 3], style in style()) {
        let ip = IpAddr::V4(Ipv4Addr::new(203, stranger[0], stranger[1], stranger[2]));
        let hop = Hop::Stranger(ip);
        let left = wild.iter().map(|(_, value)| value.as_slice()).chain([junk.as_slice()]).collect::<Vec<_>>().concat();
        for (name, entry) in [("Forwarded", forwarded_entry(&hop, &style)), ("X-Forwarded-For", x_forwarded_for_entry(&hop, &style))] {
            let line = [&left[..], b",", entry.as_bytes()].concat();
            prop_assert_eq!(client_ip(PEER, &[(name.as_bytes(), &line)], &trusted()), ip, "{}", name);
        }
    }
}
