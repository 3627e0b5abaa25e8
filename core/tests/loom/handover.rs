//! Replacing a table while it is charged (P7): nobody is refilled, and P1 holds for the larger of both.

use std::sync::Arc;

use super::{
    NOW, SECOND, Table, charge, charge_with, explore, explore_within, joined, key, limit, owned,
    spawn, table,
};

/// A thread that still holds the old table charges key 1, which owns a counter there, while another one replaces the table, decides
/// under the new one and completes the handover.
fn a_late_charge_against_replacement(from: usize, to: usize) {
    explore(move || {
        let (old, gcra) = (table(from), limit(2));
        let mut admitted = charge(&old, &gcra, key(1), 1);
        let late = {
            let old = Arc::clone(&old);
            spawn(move || charge(&old, &gcra, key(1), 1))
        };
        let new = Table::replacing(&old, to);
        admitted += charge_with(&new, &gcra, key(1), 1, Some(&old));
        new.complete_handover(&old);
        admitted += joined(late);
        assert_eq!(admitted, 2, "P7: the key's burst, and all of it");
        assert_eq!(charge(&new, &gcra, key(1), 1), 0, "P7: it is not refilled");
        assert_eq!(owned(&new, key(1)).len(), 1, "P2: one counter");
    });
}

/// P7, with fewer counters.
#[test]
fn p7_a_charge_against_a_smaller_table() {
    a_late_charge_against_replacement(2, 1);
}

/// P7, with more counters.
///
/// Kills: debt_forgotten
#[test]
fn p7_a_charge_against_a_larger_table() {
    a_late_charge_against_replacement(1, 2);
}

/// A thread that still holds the old table claims a counter there for key 1, which has none, while another one looks under the new table
/// what the key owes. All its candidates in the old table are frozen first, so that no charge can follow the look.
fn a_late_claim_against_the_look_for_debt(from: usize, to: usize) {
    explore(move || {
        let (old, gcra) = (table(from), limit(1));
        let new = Table::replacing(&old, to);
        let late = {
            let old = Arc::clone(&old);
            spawn(move || charge(&old, &gcra, key(1), 1))
        };
        let mut admitted = charge_with(&new, &gcra, key(1), 1, Some(&old));
        admitted += joined(late);
        assert_eq!(admitted, 1, "P7: the key's burst, over both tables");
        assert!(owned(&new, key(1)).len() <= 1, "P2: one counter");
    });
}

/// P2 and P7, with more counters.
///
/// Kills: debt_read_before_freezing, charge_relaxed, freeze_relaxed
#[test]
fn p7_a_claim_in_the_old_table_against_the_look_for_debt() {
    a_late_claim_against_the_look_for_debt(1, 2);
}

/// P2 and P7, with as many counters, of which the key has two candidates.
///
/// Kills: debt_read_before_freezing
#[test]
fn p7_a_claim_in_the_old_table_against_the_look_for_debt_in_two_candidates() {
    a_late_claim_against_the_look_for_debt(2, 3);
}

/// P7: the late thread claims and charges in the old table while the handover is completed; whoever comes after, under the new table
/// alone, finds the debt.
///
/// Kills: keys_left_behind
#[test]
fn p7_a_claim_in_the_old_table_against_completion() {
    explore(|| {
        let (old, gcra) = (table(1), limit(1));
        let late = {
            let old = Arc::clone(&old);
            spawn(move || charge(&old, &gcra, key(1), 1))
        };
        let new = Table::replacing(&old, 2);
        new.complete_handover(&old);
        let mut admitted = charge(&new, &gcra, key(1), 1);
        admitted += joined(late);
        assert_eq!(admitted, 1, "P7: the key's burst, over both tables");
        assert!(owned(&new, key(1)).len() <= 1, "P2: one counter");
    });
}

/// P7: the late thread sees a frozen counter, so it must see the table that has it now: the late charge is decided, by that one.
///
/// Kills: next_late, tat_relaxed, freeze_relaxed
#[test]
fn p7_a_late_charge_finds_the_next_table() {
    explore(|| {
        let (old, gcra) = (table(1), limit(2));
        assert_eq!(charge(&old, &gcra, key(1), 1), 1);
        let late = {
            let old = Arc::clone(&old);
            spawn(move || charge(&old, &gcra, key(1), 1))
        };
        let new = Table::replacing(&old, 1);
        new.complete_handover(&old);
        assert_eq!(joined(late), 1, "there is room for one more");
        assert_eq!(charge(&new, &gcra, key(1), 1), 0, "P7: and no more");
    });
}

/// P1 through two replacements, down and up again, while a late thread charges the first table: three counters in all, the larger of both.
///
/// Kills: dropped_forgotten
#[test]
fn p1_shrinking_and_growing_refills_nobody() {
    explore_within(2, || {
        let (first, gcra) = (table(3), limit(1));
        let mut admitted = charge(&first, &gcra, key(1), 1) + charge(&first, &gcra, key(2), 1);
        let late = {
            let first = Arc::clone(&first);
            spawn(move || charge(&first, &gcra, key(3), 1))
        };
        let second = Table::replacing(&first, 1);
        second.complete_handover(&first);
        let third = Table::replacing(&second, 3);
        third.complete_handover(&second);
        admitted += joined(late);
        admitted += charge(&third, &gcra, key(4), 1) + charge(&third, &gcra, key(5), 1);
        assert!(admitted <= 3, "P1: the larger ip_limit x burst");
    });
}

/// P7: a counter goes on where its predecessor stopped. It is charged in one place only: what a late thread charges before it is
/// taken over is taken over, and what it would charge after that, it charges here.
///
/// Kills: settled_without_freezing, counters_unguarded
#[test]
fn p7_a_counter_goes_on_where_it_stopped() {
    explore(|| {
        let (old, gcra) = (table(1), limit(3));
        let mut admitted = charge(&old, &gcra, key(1), 1);
        let new = Table::replacing(&old, 1);
        let late = {
            let old = Arc::clone(&old);
            spawn(move || charge(&old, &gcra, key(1), 1))
        };
        new.settle(0, &old);
        admitted += joined(late);
        assert_eq!(new.slot(0).tat(), NOW + admitted * SECOND);
    });
}

/// P1 with two threads under the new table and one under the old: counters are settled by whoever touches them first.
///
/// Kills: counters_unguarded
#[test]
fn p1_two_threads_settle_counters_beside_a_late_one() {
    explore_within(1, || {
        let (old, gcra) = (table(1), limit(2));
        let mut admitted = charge(&old, &gcra, key(1), 1);
        let new = Table::replacing(&old, 1);
        let late = {
            let old = Arc::clone(&old);
            spawn(move || charge(&old, &gcra, key(1), 1))
        };
        let other = {
            let (old, new) = (Arc::clone(&old), Arc::clone(&new));
            spawn(move || charge_with(&new, &gcra, key(2), 1, Some(&old)))
        };
        admitted += charge_with(&new, &gcra, key(1), 1, Some(&old));
        admitted += joined(late) + joined(other);
        assert_eq!(admitted, 2, "P1: the one counter's burst, and all of it");
    });
}
