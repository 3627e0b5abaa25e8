//! The networks whose forwarding headers are believed.
//!
//! Invariants: networks and addresses are compared in canonical form, each in its own family, so that `10.0.0.0/8` holds
//! `::ffff:10.0.0.1`, `::ffff:10.0.0.0/104` is `10.0.0.0/8`, and `::/0` holds every IPv6 address and no IPv4 address. The
//! ranges of a family are sorted and disjoint: looking one up is a binary search, whatever the number of networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::key::{CanonicalIp, canonical};

/// The networks of `tollbar.trusted_proxies`. Immutable; any number of threads may ask it.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    v4: Ranges<Ipv4Addr>,
    v6: Ranges<Ipv6Addr>,
}

impl TrustedProxies {
    /// Takes the networks in any order; they may overlap. Host bits are ignored (`10.1.2.3/8` is `10.0.0.0/8`).
    #[must_use]
    pub fn new(nets: &[IpNet]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for net in nets {
            match canonical_net(*net) {
                IpNet::V4(net) => v4.push((net.network(), net.broadcast())),
                IpNet::V6(net) => v6.push((net.network(), net.broadcast())),
            }
        }
        Self {
            v4: Ranges::new(v4),
            v6: Ranges::new(v6),
        }
    }

    /// Whether `ip`, in whatever form, lies in one of the networks.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.holds(CanonicalIp::of(&ip))
    }

    /// As [`TrustedProxies::contains`].
    pub(super) fn holds(&self, ip: CanonicalIp) -> bool {
        match ip.as_v4() {
            Some(v4) => self.v4.contains(v4),
            None => self.v6.contains(ip.as_v6()),
        }
    }

    /// Whether nobody is trusted: every peer is the client.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }
}

/// A network whose addresses are all counted as IPv4 is a network of IPv4.
fn canonical_net(net: IpNet) -> IpNet {
    let v4 = match canonical(net.network()) {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(_) => return net,
    };
    let prefix = match net {
        IpNet::V4(_) => return net,
        IpNet::V6(net) => net.prefix_len().checked_sub(96),
    };
    prefix
        .and_then(|prefix| Ipv4Net::new(v4, prefix).ok())
        .map_or(net, IpNet::V4)
}

/// Sorted, disjoint, inclusive ranges.
#[derive(Clone, Debug)]
struct Ranges<T>(Box<[(T, T)]>);

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T: Copy + Ord> Ranges<T> {
    fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let overlaps = next.0 <= kept.1;
            if overlaps {
                kept.1 = kept.1.max(next.1);
            }
            overlaps
        });
        Self(ranges.into_boxed_slice())
    }

    fn contains(&self, ip: T) -> bool {
        let begun = self.0.partition_point(|(first, _)| *first <= ip);
        self.0[..begun].last().is_some_and(|(_, last)| ip <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusted(nets: &[&str]) -> TrustedProxies {
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        TrustedProxies::new(&nets)
    }

    fn holds(nets: &[&str], ip: &str) -> bool {
        trusted(nets).contains(ip.parse().unwrap())
    }

    #[test]
    fn networks_and_addresses_are_compared_in_canonical_form() {
        assert!(holds(&["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(holds(&["10.0.0.0/8"], "64:ff9b::10.1.2.3"));
        assert!(holds(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(holds(&["64:ff9b::10.0.0.0/104"], "10.1.2.3"));
        assert!(holds(&["::ffff:0:0/96"], "203.0.113.9"));
        assert!(holds(&["::ffff:10.0.0.1/128"], "10.0.0.1"));
        assert!(!holds(&["::ffff:10.0.0.1/128"], "10.0.0.2"));
        assert!(!holds(&["::ffff:10.0.0.0/104"], "11.0.0.0"));
    }

    #[test]
    fn a_family_never_answers_for_the_other() {
        assert!(!holds(&["::/0"], "10.0.0.1"));
        assert!(!holds(&["::/0"], "::ffff:10.0.0.1"));
        assert!(!holds(&["64:ff9b::/64"], "10.0.0.1"));
        assert!(!holds(&["0.0.0.0/0"], "::1"));
        assert!(!holds(&["10.0.0.0/8"], "::10.0.0.1"));
        assert!(holds(&["::/0", "0.0.0.0/0"], "10.0.0.1"));
    }

    #[test]
    fn host_bits_and_overlaps_are_harmless() {
        let nets = [
            "10.1.2.3/8",
            "10.9.0.0/16",
            "192.168.1.1/32",
            "10.0.0.0/9",
            "2001:db8::1/32",
        ];
        for ip in [
            "10.0.0.0",
            "10.200.0.1",
            "10.255.255.255",
            "192.168.1.1",
            "2001:db8:ffff::",
        ] {
            assert!(holds(&nets, ip), "{ip}");
        }
        for ip in [
            "9.255.255.255",
            "11.0.0.0",
            "192.168.1.0",
            "192.168.1.2",
            "2001:db9::",
        ] {
            assert!(!holds(&nets, ip), "{ip}");
        }
    }

    #[test]
    fn no_networks_trust_nobody() {
        assert!(trusted(&[]).is_empty());
        assert!(!trusted(&[]).contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(!trusted(&["::1/128"]).is_empty());
    }

    fn net() -> impl Strategy<Value = IpNet> {
        // Few distinct high bits, so that networks and addresses meet.
        prop_oneof![
            (0u32..8, 0u8..=32).prop_map(|(ip, len)| IpNet::new(
                Ipv4Addr::from_bits(ip << 29).into(),
                len
            )
            .unwrap()),
            (0u128..8, 0u8..=128).prop_map(|(ip, len)| IpNet::new(
                Ipv6Addr::from_bits(ip << 125).into(),
                len
            )
            .unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn the_search_agrees_with_asking_each_network(nets in prop::collection::vec(net(), 0..12), v4: u32, v6: u128) {
            let trusted = TrustedProxies::new(&nets);
            for ip in [IpAddr::V4(Ipv4Addr::from_bits(v4)), IpAddr::V6(Ipv6Addr::from_bits(v6 | 1 << 64))] {
                prop_assert_eq!(trusted.contains(ip), nets.iter().any(|net| net.contains(&ip)));
            }
        }
    }
}
