//! Threads that give one key its counter at the same time: it gets one, and its bound holds.

use std::sync::Arc;

use super::{
    Table, batch, charge, explore, explore_within, joined, key, limit, owned, spawn, table,
};
use crate::ratelimit::table::WINDOW;
use crate::ratelimit::table::claim::Victim;

/// Two threads insert key 1 in an empty table; the burst is one event.
fn two_threads_insert_one_key(capacity: usize) {
    explore(move || {
        let (table, gcra) = (table(capacity), limit(1));
        let other = {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(1), 1))
        };
        let admitted = charge(&table, &gcra, key(1), 1) + joined(other);
        assert_eq!(admitted, 1, "P2: the key's burst");
        assert_eq!(owned(&table, key(1)).len(), 1, "P2: one counter");
    });
}

/// P2, in a table that is one window.
#[test]
fn p2_two_threads_insert_one_key() {
    two_threads_insert_one_key(2);
}

/// P2, where the last window is shorter.
#[test]
fn p2_two_threads_insert_one_key_in_windows_of_which_one_is_short() {
    two_threads_insert_one_key(3);
}

/// P2, in two whole windows.
#[test]
fn p2_two_threads_insert_one_key_in_two_windows() {
    two_threads_insert_one_key(4);
}

/// P2, in a table so large that a newcomer looks at one window only, since all its counters are as good as new.
#[test]
fn p2_two_threads_insert_one_key_in_a_large_table() {
    two_threads_insert_one_key(6);
}

/// P2: the key owns a counter in its second window, and no hint says so. Whoever claims one in the first finds that out.
///
/// Kills: owned_rival_ignored, confirm_blindly
#[test]
fn p2_a_key_whose_hint_was_lost_keeps_its_counter() {
    explore(|| {
        let (table, gcra) = (table(6), limit(2));
        let [_, second] = table.candidates(key(1)).windows;
        let owned_before = second * WINDOW + 1;
        assert!(stake_and_confirm(&table, victim(&table, owned_before)));
        let other = {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(1), 1))
        };
        let admitted = charge(&table, &gcra, key(1), 1) + joined(other);
        assert_eq!(admitted, 2, "the key's burst");
        assert_eq!(owned(&table, key(1)), [owned_before], "P2: one counter");
    });
}

/// P2: three threads.
#[test]
fn p2_three_threads_insert_one_key() {
    explore_within(2, || {
        let (table, gcra) = (table(2), limit(2));
        let others = [(); 2].map(|()| {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(1), 1))
        });
        let mut admitted = charge(&table, &gcra, key(1), 1);
        admitted += others.into_iter().map(joined).sum::<u64>();
        assert_eq!(admitted, 2, "P2: the key's burst");
        assert_eq!(owned(&table, key(1)).len(), 1, "P2: one counter");
    });
}

/// Two threads insert key 1, and do not take the same counter: key 2's charge comes between their looks, and makes its counter the
/// worse choice.
fn two_threads_choose_differently(capacity: usize) {
    explore(move || {
        let (table, gcra) = (table(capacity), limit(3));
        for other in 2..=capacity as u32 {
            assert_eq!(charge(&table, &gcra, key(other), 2), 2);
        }
        assert_eq!(charge(&table, &gcra, key(9), 1), 1, "the last counter");
        let inserting = {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(1), 1))
        };
        let late = charge(&table, &gcra, key(9), 2);
        let admitted = charge(&table, &gcra, key(1), 1) + joined(inserting);
        let before = 2 * (capacity as u64 - 1) + 1;
        assert!(
            before + late + admitted <= 3 * capacity as u64,
            "P1: every counter's burst"
        );
        assert!(owned(&table, key(1)).len() <= 1, "P2: one counter");
    });
}

/// P2: rival claims for one key on two counters, in one window.
///
/// Kills: confirm_blindly, claimed_rival_spared, owned_rival_ignored, stake_acqrel, look_acquire
#[test]
fn p2_rival_claims_for_one_key() {
    two_threads_choose_differently(2);
}

/// P2: rival claims for one key in two windows, of which one is shorter.
#[test]
fn p2_rival_claims_in_windows_of_which_one_is_short() {
    two_threads_choose_differently(3);
}

/// Stakes a claim for key 1 on this counter, as a thread does that found it the best one, and confirms it.
fn stake_and_confirm(table: &Table, victim: Victim) -> bool {
    let claim = table.stake(victim, &batch(key(1), 1));
    claim.is_some_and(|claim| table.confirm(victim.index, claim, key(1), 0))
}

fn victim(table: &Table, index: usize) -> Victim {
    Victim {
        index,
        owner: table.slot(index).owner_seqcst(),
        tat: table.slot(index).tat(),
    }
}

/// P2 where it is hardest: the threads have looked, found different counters, and now stake their claims.
///
/// Kills: confirm_blindly, claimed_rival_spared, owned_rival_ignored, stake_acqrel, look_acquire
#[test]
fn p2_two_claims_staked_at_once() {
    explore(|| {
        let table = table(2);
        let victims = [victim(&table, 0), victim(&table, 1)];
        let other = {
            let table = Arc::clone(&table);
            spawn(move || stake_and_confirm(&table, victims[1]))
        };
        let (first, second) = (stake_and_confirm(&table, victims[0]), joined(other));
        assert!(!(first && second), "P2: one counter");
        assert!(owned(&table, key(1)).len() <= 1, "P2: one counter");
    });
}

/// P2 where it is hardest, with three threads and three counters.
///
/// Kills: confirm_blindly, claimed_rival_spared, stake_acqrel, look_acquire
#[test]
fn p2_three_claims_staked_at_once() {
    explore(|| {
        let table = table(3);
        let victims = [0, 1, 2].map(|index| victim(&table, index));
        let others = [1, 2].map(|index: usize| {
            let table = Arc::clone(&table);
            spawn(move || stake_and_confirm(&table, victims[index]))
        });
        let _ = stake_and_confirm(&table, victims[0]);
        others.into_iter().for_each(|other| {
            let _ = joined(other);
        });
        assert!(owned(&table, key(1)).len() <= 1, "P2: one counter");
    });
}

/// P2: a thread that saw a claim long ago, which was confirmed, displaced and staked again since, confirms nothing. Incarnation
/// numbers are what tells the claims apart.
///
/// Kills: incarnation_stands_still
#[test]
fn p2_a_claim_of_the_past_confirms_nothing() {
    explore(|| {
        let (table, gcra) = (table(2), limit(9));
        // Counter 0 is another's and worse, so key 1 stakes a claim on counter 1.
        assert_eq!(charge(&table, &gcra, key(3), 5), 5);
        let old = table.stake(victim(&table, 1), &batch(key(1), 1)).unwrap();
        let helper = {
            let table = Arc::clone(&table);
            spawn(move || table.confirm(1, old, key(1), 0))
        };
        // Another thread of key 1 confirms the claim and charges; then key 2 takes over the counter, and charges it so much
        // that counter 0 is the better choice.
        assert_eq!(charge(&table, &gcra, key(1), 1), 1);
        assert_eq!(charge(&table, &gcra, key(2), 7), 7);
        // A third thread of key 1 looks now, and is slow; a fourth gives the key counter 0.
        let slow = victim(&table, 1);
        assert_eq!(charge(&table, &gcra, key(1), 1), 1);
        let _ = stake_and_confirm(&table, slow);
        let _ = joined(helper);
        assert!(owned(&table, key(1)).len() <= 1, "P2: one counter");
    });
}
