//! What the rate limit counts by: an IPv4 address, or an IPv6 prefix.
//!
//! Invariants: one client has one key, however its address is written; no IPv6 client ever shares a key with an IPv4
//! client, whatever the prefix. IPv4 is held as `::ffff:a.b.c.d`. An IPv6 address outside `::ffff:0:0/96` can't be
//! masked into that range: a prefix of 96 or more keeps the bits that set it apart, a shorter one clears some of the
//! sixteen ones that the range requires.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bits above an IPv4 address in `::ffff:0:0/96`, RFC 4291's IPv4-mapped addresses.
const MAPPED: u128 = 0xffff;
/// The bits above an IPv4 address in `64:ff9b::/96`, RFC 6052's well-known prefix.
const NAT64: u128 = 0x0064_ff9b_0000_0000_0000_0000;

/// `ip` in the form in which it is matched and counted: an IPv4-mapped address (`::ffff:0:0/96`) and an address of
/// NAT64's well-known prefix (`64:ff9b::/96`) become the IPv4 address that they embed. Every other is left as it is,
/// the deprecated IPv4-compatible form (`::1.2.3.4`) and NAT64's local-use prefix (`64:ff9b:1::/48`) among them.
///
/// Decided on the bits: `::ffff:102:304` and `::ffff:1.2.3.4` are the same address.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    CanonicalIp::of(&ip).ip()
}

/// An address in [`canonical`] form as 128 bits, IPv4 as `::ffff:a.b.c.d`: what fits into registers, where an [`IpAddr`] goes by way of
/// memory. For bindings.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CanonicalIp(u128);

impl CanonicalIp {
    /// Of an IPv4 address.
    #[inline]
    #[must_use]
    pub fn v4(ip: Ipv4Addr) -> Self {
        Self(MAPPED << 32 | u128::from(ip.to_bits()))
    }

    /// Of an IPv6 address.
    #[inline]
    #[must_use]
    pub fn v6(ip: Ipv6Addr) -> Self {
        let bits = ip.to_bits();
        match bits >> 32 {
            NAT64 => Self::v4(embedded(bits)),
            _ => Self(bits),
        }
    }

    /// Of any address. By reference: only what the family has is read then, and nothing has to be waited for that was not written.
    #[inline]
    #[must_use]
    pub fn of(ip: &IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::v4(*v4),
            IpAddr::V6(v6) => Self::v6(*v6),
        }
    }

    /// The IPv4 address, if it is one.
    #[inline]
    pub(super) fn as_v4(self) -> Option<Ipv4Addr> {
        (self.0 >> 32 == MAPPED).then(|| embedded(self.0))
    }

    /// As an address of IPv6, whatever it is.
    #[inline]
    pub(super) fn as_v6(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.0)
    }

    /// The address.
    #[inline]
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.as_v4()
            .map_or_else(|| IpAddr::V6(self.as_v6()), IpAddr::V4)
    }
}

/// The lowest 32 bits as an IPv4 address.
#[inline]
fn embedded(bits: u128) -> Ipv4Addr {
    Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32)
}

/// Whom the rate limit counts: an IPv4 address or an IPv6 prefix, in canonical form.
///
/// IPv4 is held as `::ffff:a.b.c.d`; an IPv6 address has its host bits cleared. `Display` writes `203.0.113.9`,
/// `2001:db8::/64`, and a full-length IPv6 key without its `/128`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey {
    bits: u128,
    prefix: u8,
}

impl ClientKey {
    /// The key of `::`, the address of nobody.
    pub(crate) const UNSPECIFIED: Self = Self {
        bits: 0,
        prefix: 128,
    };

    /// The key of a client at `ip`, whatever its form. IPv6 is cut to `ipv6_prefix` bits, 0 to 128 (more is 128);
    /// IPv4 is always counted by the whole address.
    #[inline]
    #[must_use]
    pub fn new(ip: IpAddr, ipv6_prefix: u8) -> Self {
        Self::of(CanonicalIp::of(&ip), ipv6_prefix)
    }

    /// As [`ClientKey::new`].
    #[inline]
    pub(crate) fn of(ip: CanonicalIp, ipv6_prefix: u8) -> Self {
        if ip.as_v4().is_some() {
            return Self {
                bits: ip.0,
                prefix: 128,
            };
        }
        let prefix = ipv6_prefix.min(128);
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
        Self {
            bits: ip.0 & mask,
            prefix,
        }
    }

    /// The key of these bits and this prefix, as [`ClientKey::bits`] and [`ClientKey::prefix`] gave them.
    #[must_use]
    pub const fn from_parts(bits: u128, prefix: u8) -> Self {
        Self {
            bits,
            prefix: if prefix > 128 { 128 } else { prefix },
        }
    }

    /// How many of the bits, from the left, are counted by: 128 for IPv4.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The 128 bits that are counted by: the address as IPv6, host bits cleared.
    #[must_use]
    pub const fn bits(&self) -> u128 {
        self.bits
    }

    /// The IPv4 address, or the first address of the IPv6 prefix.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        // Not `canonical`: a prefix such as 64:ff9b::/64 starts where NAT64's addresses do and is IPv6 all the same.
        CanonicalIp(self.bits).ip()
    }
}

/// The key of `::`, the unspecified address.
impl Default for ClientKey {
    fn default() -> Self {
        Self::UNSPECIFIED
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            128 => write!(f, "{}", self.ip()),
            prefix => write!(f, "{}/{prefix}", self.ip()),
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(ip: &str, prefix: u8) -> ClientKey {
        ClientKey::new(ip.parse().unwrap(), prefix)
    }

    #[test]
    fn keys_are_shown_as_address_or_prefix() {
        for (ip, prefix, shown) in [
            ("203.0.113.9", 64, "203.0.113.9"),
            ("::ffff:203.0.113.9", 64, "203.0.113.9"),
            ("::ffff:cb00:7109", 0, "203.0.113.9"),
            ("64:ff9b::203.0.113.9", 64, "203.0.113.9"),
            ("2001:db8::1", 64, "2001:db8::/64"),
            ("2001:db8:0:1:ffff::", 64, "2001:db8:0:1::/64"),
            ("2001:db8::1", 128, "2001:db8::1"),
            ("2001:db8::1", 255, "2001:db8::1"),
            ("2001:db8::1", 127, "2001:db8::/127"),
            ("2001:db8::1", 1, "::/1"),
            ("2001:db8::1", 0, "::/0"),
            ("::1", 64, "::/64"),
            ("::1.2.3.4", 128, "::102:304"),
            ("64:ff9b:0:0:1:2:3:4", 64, "64:ff9b::/64"),
            ("64:ff9b:1::1.2.3.4", 48, "64:ff9b:1::/48"),
            ("::fffe:1.2.3.4", 96, "::fffe:0:0/96"),
        ] {
            let key = key(ip, prefix);
            assert_eq!(key.to_string(), shown, "{ip}/{prefix}");
            assert_eq!(format!("{key:?}"), format!("ClientKey({shown})"));
        }
    }

    #[test]
    fn a_key_is_made_of_its_parts() {
        for (ip, prefix) in [
            ("203.0.113.9", 64),
            ("2001:db8::1", 48),
            ("2001:db8::1", 128),
        ] {
            let key = key(ip, prefix);
            assert_eq!(ClientKey::from_parts(key.bits(), key.prefix()), key);
        }
        assert_eq!(ClientKey::from_parts(5, 127).prefix(), 127);
        assert_eq!(ClientKey::from_parts(5, 129).prefix(), 128);
        assert_eq!(ClientKey::from_parts(5, 255).prefix(), 128);
        assert_eq!(ClientKey::from_parts(5, 1).bits(), 5);
    }

    #[test]
    fn ipv6_at_the_edge_of_the_mapped_range_never_becomes_ipv4() {
        for prefix in 0..=128 {
            for ip in [
                "::",
                "::1",
                "::fffe:ffff:ffff",
                "::1:0:0:0",
                "64:ff9b::1:0:0",
                "::fffe:0:0",
            ] {
                let key = key(ip, prefix);
                assert!(key.ip().is_ipv6(), "{ip}/{prefix}");
                assert_ne!(key.bits() >> 32, MAPPED, "{ip}/{prefix}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_ipv6_client_has_the_bits_of_an_ipv4_client(high in prop_oneof![Just(0u128), Just(1), Just(0xfffe), Just(0xffff_ffff), any::<u128>()], low: u32, prefix in 0u8..=128) {
            let ip = IpAddr::V6(Ipv6Addr::from_bits((high << 32) | u128::from(low)));
            let key = ClientKey::new(ip, prefix);
            prop_assert_eq!(key.ip().is_ipv4(), canonical(ip).is_ipv4());
        }

        #[test]
        fn a_key_is_the_key_of_its_own_address(bits: u128, prefix in 0u8..=128) {
            let key = ClientKey::new(IpAddr::V6(Ipv6Addr::from_bits(bits)), prefix);
            // Where the prefix starts at an address that is counted as IPv4, the address alone is another client.
            prop_assume!(canonical(key.ip()) == key.ip());
            prop_assert_eq!(ClientKey::new(key.ip(), prefix), key);
        }

        #[test]
        fn every_way_to_write_ipv4_is_one_key(bits: u32, a in 0u8..=128, b in 0u8..=128) {
            let v4 = Ipv4Addr::from_bits(bits);
            let nat64 = Ipv6Addr::from_bits((NAT64 << 32) | u128::from(bits));
            let key = ClientKey::new(v4.into(), a);
            prop_assert_eq!(ClientKey::new(v4.to_ipv6_mapped().into(), b), key);
            prop_assert_eq!(ClientKey::new(nat64.into(), b), key);
            prop_assert_eq!(key.ip(), IpAddr::V4(v4));
        }
    }
}
