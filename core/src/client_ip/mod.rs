//! Who the client is: the socket's peer, or the address that trusted proxies say they forward for.
//!
//! Headers are believed only if the peer lies in the trusted networks. Then `Forwarded`, `X-Real-IP` and
//! `X-Forwarded-For` are asked in this order, and the first that yields an address decides:
//!
//! - `Forwarded` (RFC 7239) and `X-Forwarded-For` are lists, the concatenation of all their lines in order of
//!   arrival. Each proxy appends on the right, so the walk starts there, drops hops that lie in the trusted
//!   networks and takes the first that does not. Whatever stands left of it was written by the client itself
//!   and is never looked at. If every hop is trusted, the leftmost is the client: a request from within.
//! - An entry that names no address (`unknown`, `_hidden`, a parameter list without `for=`, garbage) ends the walk,
//!   for nobody knows who stood behind it: the next header is asked. Empty entries are no entries.
//! - `X-Real-IP` is one address. If it was sent several times, or as a list, the last counts: the one that was
//!   written nearest to us.
//! - If no header yields an address, the peer is the client.
//!
//! A trusted proxy must therefore set or remove all three headers: one that it passes on untouched is the
//! client's own word.
//!
//! Invariants: nothing here allocates or panics, whatever the bytes; the work is linear in the headers' length;
//! every address that comes out is [`canonical`].

mod address;
mod forwarded;
mod key;
mod trusted;

use std::net::IpAddr;

pub use address::{PeerError, parse_ipv4, parse_peer};
pub use key::{CanonicalIp, ClientKey, canonical};
pub use trusted::TrustedProxies;

/// A request's headers: names in any case, values as they came, in order of arrival.
pub type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

/// The client's address, in [`canonical`] form.
///
/// `peer` is the socket's address. `headers` are read only if it lies in `trusted`.
/// The module's documentation says how.
///
/// ```
/// use tollbar::client_ip::{TrustedProxies, client_ip};
///
/// let trusted = TrustedProxies::new(&["10.0.0.0/8".parse()?]);
/// let headers: &[(&[u8], &[u8])] = &[(b"X-Forwarded-For", b"192.0.2.66, 203.0.113.9, 10.0.0.2")];
/// assert_eq!(client_ip("10.0.0.1".parse()?, headers, &trusted), "203.0.113.9".parse::<std::net::IpAddr>()?);
/// // The same headers from a stranger prove nothing.
/// assert_eq!(client_ip("198.51.100.7".parse()?, headers, &trusted), "198.51.100.7".parse::<std::net::IpAddr>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
#[must_use]
pub fn client_ip(peer: IpAddr, headers: Headers<'_>, trusted: &TrustedProxies) -> IpAddr {
    client_ip_among(CanonicalIp::of(&peer), || headers.iter().copied(), trusted).ip()
}

/// As [`client_ip`], from headers in any form. They are asked for only if they count.
#[inline]
pub(crate) fn client_ip_among<'a, H: Lines<'a>>(
    peer: CanonicalIp,
    headers: impl FnOnce() -> H,
    trusted: &TrustedProxies,
) -> CanonicalIp {
    if trusted.is_empty() || !trusted.holds(peer) {
        return peer;
    }
    named_by_proxy(headers(), trusted).unwrap_or(peer)
}

/// Headers that can be walked from both ends, as often as it takes.
pub(crate) trait Lines<'a>:
    DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + Clone
{
}
impl<'a, T: DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + Clone> Lines<'a> for T {}

fn named_by_proxy<'a>(headers: impl Lines<'a>, trusted: &TrustedProxies) -> Option<CanonicalIp> {
    forwarded(headers.clone(), trusted)
        .or_else(|| x_real_ip(headers.clone()))
        .or_else(|| x_forwarded_for(headers, trusted))
}

fn forwarded<'a>(headers: impl Lines<'a>, trusted: &TrustedProxies) -> Option<CanonicalIp> {
    let hops = lines_from_last(headers, b"forwarded")
        .flat_map(forwarded::elements_from_right)
        .map(forwarded::address_of);
    walk(hops, trusted)
}

fn x_real_ip<'a>(headers: impl Lines<'a>) -> Option<CanonicalIp> {
    entries_from_right(headers, b"x-real-ip")
        .next()
        .and_then(address::parse_entry)
        .map(|ip| CanonicalIp::of(&ip))
}

fn x_forwarded_for<'a>(headers: impl Lines<'a>, trusted: &TrustedProxies) -> Option<CanonicalIp> {
    let hops = entries_from_right(headers, b"x-forwarded-for").map(address::parse_entry);
    walk(hops, trusted)
}

/// Goes through `hops`, the nearest first. `None` among them is a hop without an address.
fn walk(
    hops: impl Iterator<Item = Option<IpAddr>>,
    trusted: &TrustedProxies,
) -> Option<CanonicalIp> {
    let mut furthest = None;
    for hop in hops {
        let ip = CanonicalIp::of(&hop?);
        if !trusted.holds(ip) {
            return Some(ip);
        }
        furthest = Some(ip);
    }
    furthest
}

/// The comma-separated entries of every line of `name`, from the right, trimmed, without the empty ones.
fn entries_from_right<'a>(
    headers: impl Lines<'a>,
    name: &'static [u8],
) -> impl Iterator<Item = &'a [u8]> {
    lines_from_last(headers, name)
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
}

/// The values of every line of `name`, which is in lower case, the last line first.
fn lines_from_last<'a>(
    headers: impl Lines<'a>,
    name: &'static [u8],
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .rev()
        .filter(move |(candidate, _)| candidate.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
