//! Keys that take over each other's counters, and charges that are on their way to a counter meanwhile.

use std::sync::Arc;

use super::{SECOND, batch, charge, explore, joined, key, limit, owned, spawn, table};
use crate::ratelimit::gcra::Conformance;

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

/// P1 and P2: a newcomer finds all counters exhausted and takes the owners' right to them, while one of the owners returns, late enough that
/// its counter has room again.
#[test]
fn p2_an_owner_returns_while_its_counter_is_loosened() {
    explore(|| {
        let (table, gcra) = (table(6), limit(1));
        // The keys' candidates: two windows of two.
        for number in 1..=4 {
            assert_eq!(charge(&table, &gcra, key(number), 1), 1);
        }
        let newcomer = {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(5), 1))
        };
        let mut later = batch(key(1), 1);
        later.now += SECOND;
        let charged = table.charge(&later, &gcra, None);
        assert!(
            matches!(charged.conformance(), Conformance::Conforming { .. }),
            "there is room for one in each counter"
        );
        assert_eq!(joined(newcomer), 0, "at the earlier instant there is none");
        let owned = owned(&table, key(1));
        assert!(owned.len() <= 1, "P2: one counter");
        assert!(
            !owned.is_empty() || table.find_loose(key(1)).is_some(),
            "P7: whose debt it is can be told"
        );
    });
}
