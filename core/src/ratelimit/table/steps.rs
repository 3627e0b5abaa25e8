//! The steps of a takeover one at a time: what a thread does that finds what another one has left half done, or did a moment ago.
//! (That no order of two threads' steps breaks a promise is what the models in `core/tests/loom` show.)

use std::ops::Range;
use std::sync::Arc;

use super::claim::Victim;
use super::slot::{FROZEN, Owner, State};
use super::{Batch, CACHE_LINE, KeyHash, Table, WINDOW};
use crate::ratelimit::gcra::{Conformance, Gcra, SECOND};

const NOW: u64 = 1_000 * SECOND;
/// Two windows: all counters are candidates of every key.
const SMALL: usize = 2 * WINDOW;
/// Four windows.
const LARGE: usize = 4 * WINDOW;

/// A key whose hints nobody has noted yet.
const KEY: KeyHash = KeyHash(0x0123_4567_89ab_cdef & KeyHash::BITS);
const OTHER: KeyHash = KeyHash(0xfedc_ba98_7654_3210 & KeyHash::BITS);

/// Counters, and the TATs that they have.
type Tats = Vec<(usize, u64)>;

fn batch(hash: KeyHash, n: u64) -> Batch {
    Batch {
        hash,
        n,
        now: NOW,
        max_wait: 0,
    }
}

fn gcra() -> Gcra {
    Gcra::new(1, 3)
}

/// Charges one event; returns whether it was admitted.
fn charge(table: &Table, hash: KeyHash) -> bool {
    let charge = table.charge(&batch(hash, 1), &gcra(), None);
    matches!(charge.conformance(), Conformance::Conforming { .. })
}

/// Stakes a claim, as a thread that goes no further.
fn claim(table: &Table, index: usize, hash: KeyHash) -> Owner {
    let victim = Victim {
        index,
        owner: table.slot(index).owner(),
        tat: table.slot(index).tat(),
    };
    table.stake(victim, &batch(hash, 1)).unwrap()
}

/// Gives the counter to the key, as a thread that has noted no hint yet.
fn give(table: &Table, index: usize, hash: KeyHash) -> Owner {
    let claim = claim(table, index, hash);
    assert!(table.slot(index).change_owner(claim, claim.confirmed()));
    claim.confirmed()
}

fn state(table: &Table, index: usize) -> State {
    table.slot(index).owner().state()
}

/// The counters that concern the key.
fn concerning(table: &Table, hash: KeyHash) -> Vec<usize> {
    (0..table.capacity)
        .filter(|&index| table.slot(index).owner().concerns(hash))
        .collect()
}

/// The one counter that concerns the key.
fn only(table: &Table, hash: KeyHash) -> usize {
    let [index] = concerning(table, hash)[..] else {
        panic!("one counter");
    };
    index
}

/// Takes the right to the counter from the key, which owns it.
fn loosen(table: &Table, index: usize, owner: Owner) {
    assert!(table.slot(index).change_owner(owner, owner.loosened()));
}

/// Which counter the key, a newcomer, gets where the TATs are these.
fn taken(table: &Table, tats: impl IntoIterator<Item = (usize, u64)>) -> usize {
    for (index, tat) in tats {
        table.slot(index).raise_tat(tat);
    }
    assert!(charge(table, KEY));
    let index = only(table, KEY);
    assert_eq!(state(table, index), State::Owned);
    index
}

#[test]
fn p2_a_claim_without_a_rival_is_confirmed() {
    let table = Table::new(SMALL);
    for index in 0..SMALL {
        give(&table, index, OTHER);
    }
    for index in [0, 5, WINDOW, SMALL - 1] {
        let claim = claim(&table, index, KEY);
        assert!(table.confirm(index, claim, KEY, 0));
        assert!(table.slot(index).owner().is_owned_by(KEY));
        assert_eq!(table.slot(index).tat(), 0);
        give(&table, index, OTHER);
    }
    let claim = claim(&table, 3, KEY);
    assert!(table.confirm(3, claim, KEY, NOW));
    assert_eq!(table.slot(3).tat(), NOW, "a debt is put on the counter");
}

#[test]
fn p2_a_claim_is_given_up_where_the_key_owns_a_counter() {
    for (owned, claimed) in [(2, 5), (5, 2), (1, 9), (9, 1), (12, 9)] {
        let table = Table::new(SMALL);
        // Staked while the key owned none.
        let claim = claim(&table, claimed, KEY);
        give(&table, owned, KEY);
        assert!(!table.confirm(claimed, claim, KEY, 0));
        assert_eq!(state(&table, claimed), State::Free);
        assert_eq!(concerning(&table, KEY), [owned]);
        assert!(table.slot(owned).owner().is_owned_by(KEY));
    }
}

#[test]
fn p2_of_two_rival_claims_the_lower_one_is_confirmed() {
    for (lower, higher) in [(2, 5), (0, 15), (7, 8), (9, 12)] {
        let table = Table::new(SMALL);
        let theirs = claim(&table, lower, KEY);
        let ours = claim(&table, higher, KEY);
        assert!(!table.confirm(higher, ours, KEY, 0));
        assert_eq!(table.slot(lower).owner(), theirs, "left alone");
        assert_eq!(state(&table, higher), State::Free);

        let theirs = claim(&table, higher, KEY);
        let ours = table.slot(lower).owner();
        assert!(table.confirm(lower, ours, KEY, 0));
        assert_eq!(table.slot(higher).owner(), theirs.released());
        assert!(table.slot(lower).owner().is_owned_by(KEY));
    }
}

#[test]
fn p2_a_claim_that_was_overcome_is_not_confirmed() {
    let table = Table::new(SMALL);
    let claim = claim(&table, 4, KEY);
    give(&table, 4, OTHER);
    assert!(!table.confirm(4, claim, KEY, 0));
    assert!(table.slot(4).owner().is_owned_by(OTHER));
}

#[test]
fn p2_a_claim_that_another_thread_staked_is_gone_on_with() {
    for index in [0, 3, 9, 15] {
        let table = Table::new(SMALL);
        for index in 0..SMALL {
            give(&table, index, OTHER);
        }
        claim(&table, index, KEY);
        assert!(charge(&table, KEY));
        assert_eq!(concerning(&table, KEY), [index]);
        assert!(table.slot(index).owner().is_owned_by(KEY));
        assert_eq!(table.slot(index).tat(), NOW + SECOND);
        assert_eq!(concerning(&table, OTHER).len(), SMALL - 1);
    }
}

#[test]
fn p2_of_claims_in_both_windows_the_lowest_is_gone_on_with() {
    for claimed in [[3, 9], [9, 3], [3, 5], [14, 9]] {
        let table = Table::new(SMALL);
        for index in claimed {
            claim(&table, index, KEY);
        }
        assert!(charge(&table, KEY));
        assert_eq!(concerning(&table, KEY), [claimed[0].min(claimed[1])]);
        assert_eq!(table.claims(), 2, "and none was staked for it");
    }
}

#[test]
fn p2_another_keys_claim_is_left_alone() {
    let table = Table::new(SMALL);
    let theirs = [2, 12].map(|index| (index, claim(&table, index, OTHER)));
    claim(&table, 9, KEY);
    assert!(charge(&table, KEY));
    assert!(table.slot(9).owner().is_owned_by(KEY));
    for (index, claim) in theirs {
        assert_eq!(table.slot(index).owner(), claim);
    }
    // As in a handover.
    let key = KeyHash::new(7 << 40);
    table.place(key, NOW);
    let index = only(&table, key);
    assert!(table.slot(index).owner().is_owned_by(key));
    for (index, claim) in theirs {
        assert_eq!(table.slot(index).owner(), claim);
    }
}

/// While only a part of the counters has been taken over from the table before.
#[test]
fn p2_a_key_whose_hint_is_late_is_charged_on_its_own_counter_during_a_handover() {
    for (settled, own) in [(WINDOW..SMALL, 12), (0..WINDOW, 5)] {
        let previous = Arc::new(Table::new(SMALL));
        let table = Table::replacing(&previous, SMALL);
        settled.for_each(|index| table.settle(index, &previous));
        give(&table, own, KEY);
        let charge = table.charge(&batch(KEY, 1), &gcra(), Some(&previous));
        assert!(matches!(
            charge.conformance(),
            Conformance::Conforming { .. }
        ));
        assert_eq!(concerning(&table, KEY), [own]);
        assert_eq!(table.slot(own).tat(), NOW + SECOND);
        assert_eq!(table.claims(), 1, "its own");
    }
}

/// Even where other counters look better, in small tables and in large ones.
#[test]
fn p2_a_key_whose_hint_is_late_is_charged_on_its_own_counter() {
    for capacity in [SMALL, LARGE] {
        for choice in 0..2 {
            for offset in [0, 4, 7] {
                let table = Table::new(capacity);
                let index = table.candidates(KEY).windows[choice] * WINDOW + offset;
                for other in (0..capacity).filter(|&other| other != index) {
                    give(&table, other, OTHER);
                    // Whose first window has passed looks no further at first, which costs another owner a counter as good as new.
                    table.slot(other).raise_tat(choice as u64 * (NOW + 1));
                }
                let owner = give(&table, index, KEY);
                table.slot(index).raise_tat(NOW + SECOND);
                assert!(charge(&table, KEY));
                assert_eq!(table.slot(index).owner(), owner);
                assert_eq!(table.slot(index).tat(), NOW + 2 * SECOND);
                assert_eq!(concerning(&table, OTHER).len(), capacity - 1);
                let hits = table.hints.look_up(table.candidates(KEY), KEY);
                assert_eq!(hits.first(), Some(index), "the hint is noted");
            }
        }
    }
}

/// P3: two choices keep the table balanced only if the emptier window is chosen.
#[test]
fn p3_a_newcomer_takes_the_emptier_window_of_a_large_table() {
    let large = || Table::new(LARGE);
    let [first, second] = large()
        .candidates(KEY)
        .windows
        .map(|window| window * WINDOW);
    // Counters from here on whose TAT lies ahead.
    let busy = |from: usize, n: usize| (from..from + n).map(|index| (index, NOW + SECOND));
    // Passed, but later than others: none of them is as small as 0.
    let late = |from: usize| (from..from + WINDOW).map(|index| (index, NOW));

    let ahead = |range: Range<usize>| range.map(|index| (index, NOW + SECOND + 1));
    let full = busy(first, 8).chain(busy(second, 8));
    let (whole_first, whole_second) = (first..first + WINDOW, second..second + WINDOW);
    let (rest_of_first, rest_of_second) = (first + 3..first + WINDOW, second + 3..second + WINDOW);
    let cases: [(Tats, Range<usize>, &str); 13] = [
        (
            Tats::new(),
            whole_first.clone(),
            "no window is emptier than an empty one",
        ),
        (
            late(second).collect(),
            whole_first.clone(),
            "nor has it older counters",
        ),
        (
            late(first).collect(),
            whole_second.clone(),
            "as empty, and its counters were never used",
        ),
        (
            busy(first, 3)
                .chain(busy(second, 4))
                .chain(late(first))
                .collect(),
            second + 4..second + WINDOW,
            "where both have plenty, the smaller TAT's",
        ),
        (
            busy(first, 4)
                .chain(busy(second, 3))
                .chain(late(second))
                .collect(),
            first + 4..first + WINDOW,
            "where both have plenty, the smaller TAT's",
        ),
        (busy(first, 1).collect(), whole_second, "the emptier one"),
        (
            busy(first, 3)
                .chain(busy(second, 5))
                .chain(late(first))
                .collect(),
            rest_of_first.clone(),
            "though its TATs are larger",
        ),
        (
            busy(first, 5)
                .chain(busy(second, 3))
                .chain(late(second))
                .collect(),
            rest_of_second.clone(),
            "though its TATs are larger",
        ),
        (
            busy(first, 3)
                .chain(busy(second, 3))
                .chain(late(first))
                .collect(),
            rest_of_second,
            "of equal ones the smaller TAT's",
        ),
        (
            busy(first, 3)
                .chain(busy(second, 3))
                .chain(late(second))
                .collect(),
            rest_of_first,
            "of equal ones the smaller TAT's",
        ),
        (
            busy(first, 8).chain(busy(second, 7)).collect(),
            second + 7..second + 8,
            "the only one that has passed",
        ),
        (
            busy(first, 7).chain(busy(second, 8)).collect(),
            first + 7..first + 8,
            "the only one that has passed",
        ),
        (
            full.chain(ahead(whole_first))
                .chain(ahead(second..second + 5))
                .chain(ahead(second + 6..second + 8))
                .collect(),
            second + 5..second + 6,
            "in full windows the smallest TAT",
        ),
    ];
    for (tats, expected, why) in cases {
        let index = taken(&large(), tats);
        assert!(expected.contains(&index), "{why}: {index}");
    }
}

#[test]
fn p4_a_newcomer_takes_the_smallest_tat_of_a_small_table() {
    // The first window is emptier, but the smallest TAT is in the second.
    let fuller = (WINDOW..SMALL - 1).map(|index| (index, NOW + SECOND));
    let index = taken(
        &Table::new(SMALL),
        (0..WINDOW).map(|index| (index, NOW)).chain(fuller),
    );
    assert_eq!(index, SMALL - 1);
    let fuller = (1..WINDOW).map(|index| (index, NOW + SECOND));
    let index = taken(
        &Table::new(SMALL),
        (WINDOW..SMALL).map(|index| (index, NOW)).chain(fuller),
    );
    assert_eq!(index, 0);
}

#[test]
fn displacements_are_those_of_owners_who_still_owe() {
    let table = Table::new(1);
    let displaced_by = |tat: u64, owner: Owner| {
        let before = table.displaced();
        table.slot(0).raise_tat(tat);
        assert!(table.slot(0).change_owner(table.slot(0).owner(), owner));
        claim(&table, 0, KEY);
        table.displaced() - before
    };
    let claimed = Owner(0).claimed_by(OTHER);
    let owned = claimed.confirmed();
    assert_eq!(displaced_by(NOW, owned), 0, "its TAT has passed");
    assert_eq!(displaced_by(NOW + 1, owned), 1);
    assert_eq!(displaced_by(NOW + 1, owned.loosened()), 1);
    assert_eq!(displaced_by(NOW + 1, claimed), 0, "nobody's yet");
    assert_eq!(displaced_by(NOW + 1, claimed.released()), 0, "nobody's");
}

#[test]
fn claims_are_counted_beyond_what_an_incarnation_number_holds() {
    const CLAIMS: u64 = 65_536 + 5;
    let (table, gcra) = (Table::new(1), Gcra::new(1, 1));
    for i in 0..CLAIMS {
        let batch = Batch {
            now: i * SECOND,
            ..batch([KEY, OTHER][i as usize % 2], 1)
        };
        let charge = table.charge(&batch, &gcra, None);
        assert!(matches!(
            charge.conformance(),
            Conformance::Conforming { .. }
        ));
    }
    assert_eq!(table.claims(), CLAIMS);
    assert_eq!(table.displaced(), 0, "each came when there was room again");
}

/// A table where no candidate of any key has room.
fn exhausted(capacity: usize) -> Table {
    let table = Table::new(capacity);
    for index in 0..capacity {
        give(&table, index, OTHER);
        table.slot(index).raise_tat(NOW + 3 * SECOND);
    }
    table
}

#[test]
fn p4_where_all_candidates_are_exhausted_their_owners_lose_their_right_to_them() {
    let table = exhausted(LARGE);
    let candidates: Vec<usize> = table.candidates_of(KEY).collect();
    let claim = claim(&table, candidates[3], OTHER);
    table.charge(&batch(KEY, 0), &gcra(), None);
    assert_eq!(
        concerning(&table, OTHER).len(),
        LARGE,
        "a peek changes nothing"
    );
    assert!(!charge(&table, KEY));
    for index in 0..LARGE {
        let expected = match candidates.contains(&index) {
            true if index == candidates[3] => State::Claimed,
            true => State::Loose,
            false => State::Owned,
        };
        assert_eq!(state(&table, index), expected);
        assert_eq!(table.slot(index).tat(), NOW + 3 * SECOND, "no debt is lost");
    }
    assert_eq!(table.slot(candidates[3]).owner(), claim);
}

#[test]
fn p4_owners_keep_their_right_where_there_is_room_or_nothing_else_to_take() {
    for capacity in [1, WINDOW, WINDOW + 3, SMALL] {
        let table = exhausted(capacity);
        assert!(!charge(&table, KEY));
        assert_eq!(concerning(&table, OTHER).len(), capacity);
    }
    // Room for one event, but not for the three that are asked for.
    let table = Table::new(LARGE);
    for index in 0..LARGE {
        give(&table, index, OTHER);
        table.slot(index).raise_tat(NOW + 2 * SECOND);
    }
    let charge = table.charge(&batch(KEY, 3), &gcra(), None);
    assert!(matches!(
        charge.conformance(),
        Conformance::NonConforming { .. }
    ));
    assert_eq!(concerning(&table, OTHER).len(), LARGE);
}

/// What is placed in a handover is what the key owed, on the counter that harms nobody, or nobody who owes less.
#[test]
fn p7_a_key_is_placed_where_it_harms_nobody() {
    let debt = NOW + SECOND;
    let table = exhausted(SMALL);
    loosen(&table, 9, give(&table, 9, KEY));
    table.place(KEY, debt);
    assert_eq!(concerning(&table, KEY), [9], "the counter that is nobody's");
    assert_eq!(table.slot(9).tat(), NOW + 3 * SECOND, "its debt is larger");
    table.place(KEY, debt);
    assert_eq!(concerning(&table, KEY), [9], "it has one");

    let free = Table::new(SMALL);
    for index in (0..SMALL).filter(|index| ![6, 11].contains(index)) {
        free.slot(index).raise_tat(NOW);
    }
    give(&free, 6, OTHER);
    free.place(KEY, debt);
    assert_eq!(concerning(&free, KEY), [11], "of those the smallest TAT");
    assert_eq!(free.slot(11).tat(), debt);
    assert!(free.slot(11).owner().is_owned_by(KEY));
    let hits = free.hints.look_up(free.candidates(KEY), KEY);
    assert_eq!(hits.first(), Some(11));

    let claimed = exhausted(SMALL);
    claim(&claimed, 13, KEY);
    claim(&claimed, 4, KEY);
    claimed.place(KEY, debt);
    assert_eq!(concerning(&claimed, KEY), [4]);
    assert_eq!(state(&claimed, 4), State::Owned);
}

#[test]
fn p7_a_key_is_placed_on_no_counter_whose_owner_owes_as_much() {
    let least = 5;
    for (debt, placed) in [(NOW, false), (NOW + 1, true)] {
        let table = Table::new(SMALL);
        for index in 0..SMALL {
            give(&table, index, OTHER);
            table.slot(index).raise_tat(NOW + u64::from(index != least));
        }
        table.place(KEY, debt);
        let expected: &[usize] = if placed { &[least] } else { &[] };
        assert_eq!(concerning(&table, KEY), expected);
        assert_eq!(table.slot(least).tat(), debt);
    }
}

/// Who owns a counter takes over none, however many of its candidates are as good as new.
#[test]
fn an_owner_displaces_nobody() {
    let table = Table::new(LARGE);
    let [first, second] = table.candidates(KEY).windows.map(|window| window * WINDOW);
    for index in first..first + WINDOW {
        table.slot(index).raise_tat(NOW + SECOND);
    }
    assert!(charge(&table, KEY));
    for index in (first..first + WINDOW).chain(second..second + WINDOW) {
        if !table.slot(index).owner().concerns(KEY) {
            give(&table, index, OTHER);
        }
    }
    let claims = table.claims();
    let later = Batch {
        now: NOW + 10 * SECOND,
        ..batch(KEY, 3)
    };
    let charge = table.charge(&later, &gcra(), None);
    assert!(matches!(
        charge.conformance(),
        Conformance::Conforming { .. }
    ));
    assert_eq!(table.claims(), claims);
    assert_eq!(concerning(&table, OTHER).len(), 2 * WINDOW - 1);
}

/// Eight bits of a key are in a hint: where two keys have the same, the owner word tells them apart.
#[test]
fn keys_whose_hints_are_alike_are_told_apart() {
    let table = Table::new(SMALL);
    // Of one tag, since that has the lowest bits.
    let keys: Vec<KeyHash> = (0..SMALL as u64)
        .map(|number| KeyHash::new(number << 40 | 0x55 << 18))
        .collect();
    for round in 1..=3 {
        for &key in &keys {
            assert!(charge(&table, key), "a counter each");
            let index = only(&table, key);
            assert_eq!(table.slot(index).tat(), NOW + round * SECOND);
        }
    }
    assert_eq!(table.claims(), SMALL as u64);
    assert_eq!(table.displaced(), 0);
}

#[test]
fn live_counters_are_those_whose_tat_lies_ahead() {
    let table = Table::new(5);
    for (index, tat) in [NOW - 1, NOW, NOW + 1, NOW + SECOND]
        .into_iter()
        .enumerate()
    {
        table.slot(index).raise_tat(tat);
    }
    table.slot(1).freeze();
    table.slot(3).freeze();
    assert_eq!(table.live(NOW), 2, "frozen or not");
    assert_eq!(table.live(NOW - 1), 3);
    assert_eq!(table.live(NOW + SECOND), 0);
}

/// P5, and the reason why memory is skipped: no counter lies in two cache lines, and half a window is one.
#[test]
fn p5_the_first_counter_starts_a_cache_line_and_little_is_skipped() {
    let tables: Vec<Table> = (1..100).map(Table::new).collect();
    for (capacity, table) in (1..100).zip(&tables) {
        let address = std::ptr::from_ref(table.slot(0)).addr();
        assert!(address.is_multiple_of(CACHE_LINE), "capacity {capacity}");
        assert!(table.slots.len() < capacity + CACHE_LINE / size_of_val(table.slot(0)));
    }
}

#[test]
fn p6_the_windows_of_a_key_are_two_if_there_are_two() {
    for windows in 1..40_usize {
        let table = Table::new(windows * WINDOW);
        let mut seen = vec![0; windows];
        for number in 0..1_000_u64 {
            let [first, second] = table
                .candidates(KeyHash::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
                .windows;
            assert_eq!(first == second, windows == 1);
            seen[first] += 1;
            seen[second] += 1;
        }
        let fewest = seen.iter().min().copied().unwrap_or_default();
        assert!(fewest > 1_000 / windows, "{windows}: {seen:?}");
    }
}

/// A table that replaces this one, everything taken over.
fn replaced(table: &Arc<Table>, capacity: usize) -> Arc<Table> {
    let next = Table::replacing(table, capacity);
    next.complete_handover(table);
    next
}

#[test]
fn p7_a_handover_moves_every_key_and_nobody_else() {
    let table = Arc::new(Table::new(SMALL));
    let keys: Vec<KeyHash> = (1..=5)
        .map(|number| KeyHash::new(number << 40 | number << 18))
        .collect();
    for (index, &key) in keys.iter().enumerate() {
        give(&table, 3 * index, key);
        table.slot(3 * index).raise_tat(NOW + index as u64);
    }
    let next = replaced(&table, LARGE);
    for (index, &key) in keys.iter().enumerate() {
        let at = only(&next, key);
        assert!(next.slot(at).owner().is_owned_by(key));
        assert!(next.slot(at).tat() >= NOW + index as u64);
    }
    assert_eq!(next.claims(), keys.len() as u64);
    assert!((0..SMALL).all(|index| table.slot(index).tat() & FROZEN != 0));
}

/// Exhausted, with the key's counter loosened: it has none, but it owes.
#[test]
fn p7_what_a_loosened_key_owed_goes_along() {
    let owing = || {
        let table = Arc::new(Table::new(SMALL));
        loosen(&table, 5, give(&table, 5, KEY));
        table.slot(5).raise_tat(NOW + 3 * SECOND);
        table
    };
    // Asked for while the handover is under way, and after it.
    let (table, capacity) = (owing(), 16 * LARGE);
    let next = Table::replacing(&table, capacity);
    let charge = next.charge(&batch(KEY, 1), &gcra(), Some(&table));
    assert_eq!(
        charge.conformance(),
        Conformance::NonConforming {
            retry_after: SECOND
        }
    );
    let next = replaced(&owing(), capacity);
    let at = only(&next, KEY);
    assert_eq!(next.slot(at).tat(), NOW + 3 * SECOND);
}

#[test]
fn p7_of_two_counters_the_one_that_the_key_owns_counts() {
    let table = Arc::new(Table::new(SMALL));
    loosen(&table, 2, give(&table, 2, KEY));
    table.slot(2).raise_tat(NOW + 3 * SECOND);
    give(&table, 12, KEY);
    table.slot(12).raise_tat(NOW + SECOND);
    let next = replaced(&table, 16 * LARGE);
    let at = only(&next, KEY);
    assert_eq!(next.slot(at).tat(), NOW + SECOND);

    assert_eq!(next.debt_in(&table, KEY), NOW + SECOND);
    assert_eq!(next.debt_in(&table, OTHER), 0);
}

#[test]
fn p7_counters_that_were_dropped_come_back_as_full_as_the_fullest_of_them() {
    for (dropped, from, to) in [(4, 5, 4), (5, 6, 4), (4, 9, 3), (8, 9, 3)] {
        let table = Arc::new(Table::new(from));
        for index in 0..from {
            table.slot(index).raise_tat(NOW);
        }
        table.slot(dropped).raise_tat(NOW + 7);
        let grown = replaced(&replaced(&table, to), from + 2);
        for index in 0..from + 2 {
            let expected = if index < to { NOW } else { NOW + 7 };
            assert_eq!(grown.slot(index).tat(), expected, "{from} -> {to}: {index}");
        }
    }
}
