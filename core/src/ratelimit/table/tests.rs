//! The table against a sequential reference, and the figures that SPEC promises of displacement.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Batch, KeyHash, Table};
use crate::ratelimit::gcra::{Conformance, Gcra, SECOND};

/// A well mixed hash of a number, the same in each run (SplitMix64).
fn hash(key: u64) -> KeyHash {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    KeyHash::new(z ^ (z >> 31))
}

fn charge(table: &Table, gcra: &Gcra, key: u64, n: u64, now: u64) -> bool {
    let batch = Batch {
        hash: hash(key),
        n,
        now,
        max_wait: 0,
    };
    matches!(
        table.charge(&batch, gcra, None).conformance(),
        Conformance::Conforming { .. }
    )
}

/// The rule of SPEC P4 where every counter is a candidate: the newcomer takes the smallest TAT.
struct Reference {
    counters: Vec<(Option<u64>, u64)>,
}

impl Reference {
    fn charge(&mut self, gcra: &Gcra, key: u64, n: u64, now: u64) -> bool {
        let own = self
            .counters
            .iter()
            .position(|&(owner, _)| owner == Some(key));
        let smallest = self.counters.iter().map(|&(_, tat)| tat).min();
        let index = own.or_else(|| {
            self.counters
                .iter()
                .position(|&(_, tat)| Some(tat) == smallest)
        });
        let counter = &mut self.counters[index.unwrap()];
        match gcra.conform(counter.1, now, n, 0) {
            Conformance::Conforming { tat, .. } => {
                *counter = (Some(key), tat);
                true
            }
            _ => false,
        }
    }
}

#[test]
fn p4_the_example_of_the_specification() {
    let (table, gcra) = (Table::new(2), Gcra::new(1, 3));
    let now = 1_000 * SECOND;
    assert!((0..3).all(|_| charge(&table, &gcra, 1, 1, now)));
    assert!((0..2).all(|_| charge(&table, &gcra, 2, 1, now)));
    assert!(
        charge(&table, &gcra, 3, 1, now),
        "C takes over B's counter, which has room for one"
    );
    assert!(
        (1..=3).all(|key| !charge(&table, &gcra, key, 1, now)),
        "6 = ip_limit x burst in all"
    );
}

proptest! {
    #[test]
    fn p4_small_tables_behave_as_the_sequential_reference(
        capacity in 1..=16usize, limit in 1..5u32, multiplier in 1..4u32,
        steps in prop::collection::vec((0..30u64, 1..4u64, 0..1_000_000_000u64), 1..300),
    ) {
        let (table, gcra) = (Table::new(capacity), Gcra::new(limit, multiplier));
        let mut reference = Reference { counters: vec![(None, 0); capacity] };
        let mut now = 5 * SECOND;
        for (key, n, gap) in steps {
            now += gap / 8;
            prop_assert_eq!(charge(&table, &gcra, key, n, now), reference.charge(&gcra, key, n, now));
        }
    }

    /// P2's second half: where all counters are candidates, a key that returns never finds a smaller TAT.
    #[test]
    fn p2_a_displaced_key_gains_nothing_in_small_tables(
        capacity in 1..=16usize, steps in prop::collection::vec((0..40u64, 1..4u64, 0..500_000_000u64), 1..300),
    ) {
        let (table, gcra) = (Table::new(capacity), Gcra::new(2, 3));
        let mut last: HashMap<u64, u64> = HashMap::new();
        let mut now = SECOND;
        for (key, n, gap) in steps {
            now += gap;
            let batch = Batch { hash: hash(key), n, now, max_wait: 0 };
            let tat = table.charge(&batch, &gcra, None).tat;
            prop_assert!(tat >= last.get(&key).copied().unwrap_or(0));
            last.insert(key, tat);
        }
    }

    /// P2 in sequence: never two counters of one key, in tables of any size and through replacements.
    #[test]
    fn p2_one_counter_a_key(
        capacity in 1..60usize, others in prop::collection::vec(1..60usize, 0..4),
        steps in prop::collection::vec((0..80u64, 1..4u64, 0..500_000_000u64), 1..200),
    ) {
        let gcra = Gcra::new(2, 3);
        let mut table = Arc::new(Table::new(capacity));
        let mut now = SECOND;
        for capacity in std::iter::once(capacity).chain(others) {
            let next = Table::replacing(&table, capacity);
            // Half of the steps while the handover is under way.
            for &(key, n, gap) in &steps[..steps.len() / 2] {
                now += gap;
                let batch = Batch { hash: hash(key), n, now, max_wait: 0 };
                let _ = next.charge(&batch, &gcra, Some(&table));
            }
            next.complete_handover(&table);
            table = next;
            for &(key, n, gap) in &steps {
                now += gap;
                charge(&table, &gcra, key, n, now);
                let owners = (0..table.capacity).filter(|&i| table.slot(i).owner().is_owned_by(hash(key))).count();
                prop_assert!(owners <= 1);
            }
        }
    }
}

#[test]
fn every_counter_of_any_capacity_is_used() {
    for capacity in (1..70).chain([100, 999, 1000, 1001, 4097]) {
        let (table, gcra) = (Table::new(capacity), Gcra::new(1, 1));
        for key in 0..capacity as u64 * 40 {
            charge(&table, &gcra, key, 1, SECOND);
        }
        assert_eq!(table.live(SECOND), capacity, "capacity {capacity}");
        assert_eq!(table.displaced(), 0, "a full counter admits nobody");
    }
}

/// Fills a table to this share with distinct live keys and returns the share of them that was displaced.
fn displaced_at(capacity: usize, percent: usize, seed: u64) -> f64 {
    let (table, gcra) = (Table::new(capacity), Gcra::new(1, 1_000_000));
    let keys = capacity * percent / 100;
    for key in 0..keys as u64 {
        assert!(charge(&table, &gcra, seed << 40 | key, 1, SECOND));
    }
    table.displaced() as f64 / keys as f64
}

#[test]
fn p3_displacement_is_rare_before_capacity() {
    for seed in 0..3 {
        assert_eq!(
            displaced_at(1_430_000, 70, seed),
            0.0,
            "none of 10^6 at 70 %"
        );
        let at_85 = displaced_at(1_000_000, 85, seed);
        assert!(at_85 < 0.002, "fewer than 2 in 1,000 at 85 %: {at_85}");
        let at_100 = displaced_at(1_000_000, 100, seed);
        assert!(at_100 < 0.05, "fewer than 5 in 100 at 100 %: {at_100}");
    }
}

/// Clients that owe nothing when they come back find their own counters all the same: those of a server on most days.
#[test]
fn clients_for_whom_there_is_room_settle() {
    for (capacity, clients) in [(1428, 1000), (1000, 850), (100_000, 70_000)] {
        let (table, gcra) = (Table::new(capacity), Gcra::new(1_000_000, 3));
        let mut round = 0;
        let mut claims_of_a_round = || {
            let before = table.claims();
            round += 1;
            for key in 0..clients {
                assert!(charge(&table, &gcra, key, 1, round * SECOND + key * 10_000));
            }
            table.claims() - before
        };
        assert_eq!(claims_of_a_round(), clients, "each takes a counter");
        (0..20).for_each(|_| {
            let _ = claims_of_a_round();
        });
        let later = claims_of_a_round();
        assert_eq!(later, 0, "{clients} clients, {capacity} counters");
    }
}

#[test]
fn p7_replacing_the_table_refills_nobody() {
    let gcra = Gcra::new(10, 3);
    for (from, to) in [(1000, 100), (100, 1000), (17, 16), (8, 2000), (2000, 1)] {
        let table = Arc::new(Table::new(from));
        let now = SECOND;
        let keys = (from.min(to) / 3).max(1) as u64;
        for key in 0..keys {
            assert!(charge(&table, &gcra, key, 30, now));
        }
        let next = Table::replacing(&table, to);
        // The first is decided while the handover is under way, the others after it.
        let batch = Batch {
            hash: hash(0),
            n: 1,
            now,
            max_wait: 0,
        };
        assert!(matches!(
            next.charge(&batch, &gcra, Some(&table)).conformance(),
            Conformance::NonConforming { .. }
        ));
        next.complete_handover(&table);
        for key in 0..keys {
            assert!(
                !charge(&next, &gcra, key, 1, now),
                "key {key} of {from} -> {to}"
            );
        }
        // Whoever is late and still holds the old table is sent on to the new one.
        assert!(!charge(&table, &gcra, 0, 1, now));
        // A second later there is room again, as if nothing had happened.
        assert!((0..keys).all(|key| charge(&next, &gcra, key, 10, now + SECOND)));
    }
}

#[test]
fn p7_shrinking_and_growing_refills_nobody() {
    let gcra = Gcra::new(1, 3);
    let now = SECOND;
    let mut table = Arc::new(Table::new(100));
    let mut admitted = (0..1000)
        .filter(|&key| charge(&table, &gcra, key, 3, now))
        .count();
    for capacity in [1, 100, 7, 50] {
        let next = Table::replacing(&table, capacity);
        next.complete_handover(&table);
        table = next;
        admitted += (1000..5000)
            .filter(|&key| charge(&table, &gcra, key, 3, now))
            .count();
    }
    assert_eq!(
        admitted, 100,
        "P1: ip_limit x burst, for the larger ip_limit"
    );
}

#[test]
fn a_charge_says_what_gcra_said() {
    use super::super::gcra::MAX_WAIT;
    use super::Charge;

    for tat in [0, 1, u64::MAX >> 1] {
        let said = [0, 1, MAX_WAIT].map(|wait| Conformance::Conforming { tat, wait });
        let refused =
            [0, 1, (1 << 63) - 2].map(|retry_after| Conformance::NonConforming { retry_after });
        for conformance in [&said[..], &refused[..], &[Conformance::ExceedsBurst]].concat() {
            let charge = Charge::new(conformance, tat);
            assert_eq!((charge.conformance(), charge.tat), (conformance, tat));
        }
    }
}
