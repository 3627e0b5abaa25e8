//! P6: addresses that somebody chose do not cluster, whatever regularity they have.
//!
//! The real hash under real random keys, compared with the ideal, a random function. Bounds are six standard deviations or more: one
//! of these tests fails without cause about once in 10^4 runs of all of them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Batch, Table, WINDOW};
use crate::client_ip::ClientKey;
use crate::ratelimit::gcra::{Conformance, Gcra, SECOND};
use crate::ratelimit::hash::KeyHasher;

const KEYS: u32 = 40_000;

fn v4(address: u32) -> ClientKey {
    ClientKey::new(Ipv4Addr::from(address).into(), 64)
}

/// The n-th /64 from 2001:db8:: on.
fn v6(n: u64) -> ClientKey {
    let network = 0x2001_0db8_0000_0000_u64.wrapping_add(n);
    ClientKey::new(Ipv6Addr::from(u128::from(network) << 64).into(), 64)
}

fn v6_whole(address: u128) -> ClientKey {
    ClientKey::new(Ipv6Addr::from(address).into(), 128)
}

/// Distinct keys that a client could choose, each set with a regularity of its own.
fn crafted() -> Vec<(&'static str, Vec<ClientKey>)> {
    const BASE: u128 = 0x2001_0db8_0123_4567_89ab_cdef_0011_2233;
    let numbers = || 0..KEYS;
    let wide = || 0..u64::from(KEYS);
    vec![
        (
            "IPv4 in sequence",
            numbers().map(|i| v4(0x0b00_0000 + i)).collect(),
        ),
        ("IPv4, every 256th", numbers().map(|i| v4(i << 8)).collect()),
        (
            "IPv4, every 65,536th",
            numbers().map(|i| v4(i << 16 | 1)).collect(),
        ),
        (
            "IPv4, every 65,537th",
            numbers().map(|i| v4(i.wrapping_mul(65_537))).collect(),
        ),
        ("/64s in sequence", wide().map(v6).collect()),
        ("/48s in sequence", wide().map(|i| v6(i << 16)).collect()),
        (
            "/64s, every 2^40th",
            wide().map(|i| v6(i.wrapping_mul(1 << 40))).collect(),
        ),
        (
            "/64s, multiples of the table's own multiplier",
            wide()
                .map(|i| v6(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
                .collect(),
        ),
        (
            "IPv6 in sequence",
            wide().map(|i| v6_whole(BASE + u128::from(i))).collect(),
        ),
        ("IPv6, at most three bits apart", few_bits_apart(BASE)),
        (
            "IPv6 and its complement",
            (0..u128::from(KEYS / 2))
                .flat_map(|i| [v6_whole(BASE + i), v6_whole(!(BASE + i))])
                .collect(),
        ),
    ]
}

/// An address, and those that differ from it in one, two or three of the upper 64 bits.
fn few_bits_apart(base: u128) -> Vec<ClientKey> {
    let bits = || (64..128).map(|bit| 1_u128 << bit);
    let mut masks = vec![0];
    masks.extend(bits());
    for _ in 0..2 {
        let more: Vec<u128> = masks
            .iter()
            .flat_map(|&mask| bits().map(move |bit| mask | bit))
            .collect();
        masks.extend(more);
        masks.sort_unstable();
        masks.dedup();
    }
    masks
        .into_iter()
        .map(|mask| v6_whole(base ^ mask))
        .collect()
}

/// How many standard deviations chi-square lies above what a random function gives. (With this many windows and keys it is
/// close to normal.)
fn deviation(occupancy: &[u32]) -> f64 {
    let keys: u32 = occupancy.iter().sum();
    let expected = f64::from(keys) / occupancy.len() as f64;
    let square = |&count: &u32| (f64::from(count) - expected).powi(2) / expected;
    let chi_square: f64 = occupancy.iter().map(square).sum();
    let freedom = (occupancy.len() - 1) as f64;
    (chi_square - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn p6_crafted_addresses_spread_like_random_ones() {
    const WINDOWS: usize = 1_021;
    const ROUNDS: u32 = 8;
    let table = Table::new(WINDOWS * WINDOW);
    let (mut sum, mut count) = (0.0, 0.0);
    for (name, keys) in crafted() {
        for _ in 0..ROUNDS {
            let hasher = KeyHasher::new();
            let mut occupancy = [vec![0; WINDOWS], vec![0; WINDOWS]];
            for &key in &keys {
                let candidates = table.candidates(hasher.hash(key));
                for (occupancy, window) in occupancy.iter_mut().zip(candidates.windows) {
                    occupancy[window] += 1;
                }
            }
            // The first choice is in the left half, the second in the right one.
            let (left, right) = (..WINDOWS.div_ceil(2), WINDOWS.div_ceil(2)..);
            let halves = [&occupancy[0][left], &occupancy[1][right]];
            for (choice, occupancy) in halves.into_iter().enumerate() {
                let deviation = deviation(occupancy);
                assert!(
                    deviation.abs() < 6.5,
                    "{name}, choice {choice}: {deviation} standard deviations"
                );
                sum += deviation;
                count += 1.0;
            }
        }
    }
    let all = f64::sqrt(count).recip() * sum;
    assert!(all.abs() < 6.0, "all together: {all} standard deviations");
}

/// What a client would look for who aims: a difference between addresses that brings them together more often than chance.
#[test]
fn p6_no_difference_brings_two_addresses_together() {
    const WINDOWS: usize = 64;
    const ROUNDS: u32 = 6_000;
    let table = Table::new(WINDOWS * WINDOW);
    let mut differences: Vec<u128> = (0..128).map(|bit| 1 << bit).collect();
    let (low, high) = (u128::from(u64::MAX), u128::MAX << 64);
    differences.extend([
        u128::MAX,
        low,
        high,
        u128::from(u32::MAX),
        3,
        3 << 64,
        3 << 126,
    ]);
    let mut meetings = vec![[0_u32; 2]; differences.len()];
    for round in 0..ROUNDS {
        let hasher = KeyHasher::new();
        let base = 0x2001_0db8_0000_0000_0000_0000_0000_0001 + (u128::from(round) << 70);
        let place = |address| {
            let hash = hasher.hash(v6_whole(address));
            (table.candidates(hash).windows, hash.tag())
        };
        let (windows, tag) = place(base);
        for (difference, meetings) in differences.iter().zip(&mut meetings) {
            let (other_windows, other_tag) = place(base ^ difference);
            meetings[0] += u32::from(other_windows[0] == windows[0]);
            meetings[1] += u32::from(other_tag == tag);
        }
    }
    for (difference, meetings) in differences.iter().zip(meetings) {
        for (what, met, alike) in [
            ("first windows", meetings[0], WINDOWS as f64 / 2.0),
            ("tags", meetings[1], 256.0),
        ] {
            let expected = f64::from(ROUNDS) / alike;
            // Seven standard deviations, since the smaller of both is Poisson's with a mean of 23 and skewed.
            let most = expected + 7.0 * expected.sqrt();
            assert!(
                f64::from(met) < most,
                "{what} of addresses {difference:#x} apart: {met} times, {expected} expected"
            );
        }
    }
}

/// As rarely as random keys are (P3): one in some millions at this load, with two choices among windows of eight. One in
/// 200,000 would be a sign that they cluster; that chance alone brings so many is less than one in a million.
#[test]
fn p6_crafted_addresses_are_displaced_as_rarely_as_random_ones() {
    let gcra = Gcra::new(1, 1_000_000);
    let (mut displaced, mut all) = (0, 0);
    for (name, keys) in crafted() {
        for _ in 0..3 {
            let hasher = KeyHasher::new();
            let table = Table::new(keys.len() * 10 / 7);
            for &key in &keys {
                let batch = Batch {
                    hash: hasher.hash(key),
                    n: 1,
                    now: SECOND,
                    max_wait: 0,
                };
                let charge = table.charge(&batch, &gcra, None);
                assert!(matches!(
                    charge.conformance(),
                    Conformance::Conforming { .. }
                ));
            }
            assert!(table.displaced() <= 2, "{name}: {}", table.displaced());
            displaced += table.displaced();
            all += keys.len() as u64;
            assert_eq!(
                table.live(SECOND) as u64 + table.displaced(),
                keys.len() as u64,
                "{name}: a counter each, but for who was displaced"
            );
        }
    }
    assert!(displaced <= all / 200_000, "{displaced} of {all}");
}
