//! Keys that take over each other's counters, and charges that are on their way to a counter meanwhile.

use std::sync::Arc;

use super::{charge, explore, joined, key, limit, owned, spawn, table};

/// P1: two keys contend for fewer counters than there are keys; each thread returns to its key.
fn two_newcomers_contend(capacity: usize) {
    explore(move || {
        let (table, gcra) = (table(capacity), limit(2));
        let mut admitted = charge(&table, &gcra, key(3), 1);
        let other = {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(1), 1) + charge(&table, &gcra, key(1), 1))
        };
        admitted += charge(&table, &gcra, key(2), 1) + charge(&table, &gcra, key(2), 1);
        admitted += joined(other);
        assert!(
            admitted <= 2 * capacity as u64,
            "P1: ip_limit x burst at one instant"
        );
        for number in 1..=3 {
            assert!(owned(&table, key(number)).len() <= 1, "P2: one counter");
        }
    });
}

/// P1 and P2: one counter for two newcomers.
#[test]
fn p1_two_newcomers_contend_for_one_counter() {
    two_newcomers_contend(1);
}

/// P1 and P2: two counters, one of them taken, for two newcomers.
#[test]
fn p1_two_newcomers_contend_for_two_counters() {
    two_newcomers_contend(2);
}

/// P1: a charge is on its way to a counter that another key takes over: it lands there, and the counter keeps its bound.
///
/// Kills: charge_stores
#[test]
fn p1_a_charge_against_a_takeover() {
    explore(|| {
        let (table, gcra) = (table(1), limit(3));
        let mut admitted = charge(&table, &gcra, key(1), 1);
        let resident = {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(1), 1) + charge(&table, &gcra, key(1), 1))
        };
        admitted += charge(&table, &gcra, key(2), 1);
        admitted += joined(resident);
        assert_eq!(admitted, 3, "P1: the one counter's burst, and all of it");
    });
}

/// P2: an insertion races a takeover of the very counter that the key has just been given, and the key comes back.
///
/// Kills: stake_acqrel, look_acquire
#[test]
fn p2_an_insertion_against_a_takeover() {
    explore(|| {
        let (table, gcra) = (table(2), limit(2));
        assert_eq!(charge(&table, &gcra, key(3), 1), 1);
        let inserting = {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(1), 1))
        };
        let mut admitted = charge(&table, &gcra, key(2), 1);
        admitted += charge(&table, &gcra, key(1), 1);
        admitted += joined(inserting);
        assert!(admitted <= 3, "P1: what was left of both bursts");
        assert!(owned(&table, key(1)).len() <= 1, "P2: one counter");
    });
}
