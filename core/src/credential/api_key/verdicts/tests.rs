//! The store against a plain model, under threads, and at its edges.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::super::fingerprint::Fingerprinter;
use super::*;

/// The fingerprint of a number. Both words are well mixed, as the keyed hash makes them.
fn fingerprint(number: u64) -> Fingerprint {
    let mix = |n: u64| {
        let n = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (n >> 32)
    };
    Fingerprint {
        high: mix(number.wrapping_add(1)),
        low: mix(!number),
    }
}

/// What a store is meant to be: a queue, the oldest first.
struct Model {
    capacity: usize,
    entries: VecDeque<(u64, Privileges, u64)>,
}

impl Model {
    fn insert(&mut self, key: u64, privileges: Privileges, now: u64) {
        self.remove(key);
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back((key, privileges, now));
    }

    fn remove(&mut self, key: u64) {
        self.entries.retain(|entry| entry.0 != key);
    }

    fn get(&self, key: u64, now: u64) -> Held {
        match self.entries.iter().find(|entry| entry.0 == key) {
            // Times are kept to 8 ns.
            Some((_, privileges, at)) if now < (at + LIFETIME) / 8 * 8 => Held::Live(*privileges),
            Some(_) => Held::Stale,
            None => Held::Absent,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, u64),
    Remove(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..40u64;
    prop_oneof![
        6 => (key.clone(), 0..8u64).prop_map(|(key, bits)| Step::Insert(key, bits)),
        1 => key.prop_map(Step::Remove),
        3 => (0..LIFETIME / 3).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn a_store_is_a_queue_of_its_capacity(capacity in 1..24usize, steps in prop::collection::vec(step(), 0..200)) {
        let store = Store::new(capacity);
        let mut model = Model { capacity, entries: VecDeque::new() };
        let mut now = 0;
        for step in steps {
            match step {
                Step::Insert(key, bits) => {
                    store.insert(fingerprint(key), Privileges::from_bits(bits), now);
                    model.insert(key, Privileges::from_bits(bits), now);
                }
                Step::Remove(key) => {
                    store.remove(fingerprint(key));
                    model.remove(key);
                }
                Step::Pass(time) => now += time,
            }
            prop_assert_eq!(store.len(), model.entries.len());
            for key in 0..40 {
                prop_assert_eq!(store.get(fingerprint(key), now), model.get(key, now), "key {}", key);
            }
        }
    }

    #[test]
    fn any_time_of_64_bits_is_survived(at: u64, now: u64) {
        let store = Store::new(4);
        store.insert(fingerprint(1), Privileges::ALL, at);
        let held = store.get(fingerprint(1), now);
        if now < at.saturating_sub(LIFETIME + 8) || now >= at.saturating_add(LIFETIME) {
            prop_assert_eq!(held, Held::Stale);
        }
    }
}

#[test]
fn p5_a_verdict_holds_for_a_minute_and_no_longer() {
    let store = Store::new(4);
    store.insert(fingerprint(1), Privileges::ALL, 1_000);
    for (now, held) in [
        (1_000, Held::Live(Privileges::ALL)),
        (1_000 + LIFETIME - 1, Held::Live(Privileges::ALL)),
        (1_000 + LIFETIME, Held::Stale),
        (u64::MAX, Held::Stale),
        // A thread whose time is a little behind.
        (900, Held::Live(Privileges::ALL)),
    ] {
        assert_eq!(store.get(fingerprint(1), now), held, "{now}");
    }
    // A verdict of another clock, hours ahead, does not hold until that hour comes.
    store.insert(fingerprint(2), Privileges::ALL, 3_600_000_000_000);
    assert_eq!(store.get(fingerprint(2), 0), Held::Stale);
}

#[test]
fn as_many_keys_as_the_limit_says_are_held_all_at_once() {
    for capacity in [1, 2, 3, 7, 8, 9, 100, 1_000, 50_000] {
        let store = Store::new(capacity);
        let hasher = Fingerprinter::new();
        let of = |n: usize| hasher.of(&n.to_le_bytes());
        (0..capacity).for_each(|n| store.insert(of(n), Privileges::ALL, 0));
        let held = (0..capacity)
            .filter(|n| store.get(of(*n), 0) != Held::Absent)
            .count();
        assert_eq!(held, capacity);
        // One more, and the oldest has made room.
        store.insert(of(capacity), Privileges::ALL, 0);
        assert_eq!(store.get(of(0), 0), Held::Absent);
        assert_eq!(store.get(of(capacity), 0), Held::Live(Privileges::ALL));
        assert_eq!(store.len(), capacity);
    }
}

#[test]
fn two_full_sets_make_room_as_well() {
    // Seventeen fingerprints with the same two sets: no client can make these, but the store must take it.
    let store = Store::new(1_000);
    let of = |n: u64| Fingerprint {
        high: n + 1,
        low: n + 1,
    };
    for n in 0..17 {
        store.insert(of(n), Privileges::ALL, n * 1_000);
    }
    assert!(store.len() <= 16);
    assert_eq!(store.get(of(0), 0), Held::Absent);
    assert_ne!(store.get(of(16), 16_000), Held::Absent);
}

#[test]
fn readers_never_see_a_verdict_that_was_not_written() {
    // Four keys fight for a store of two; each key's privileges are its own, so a mix would show.
    let store = Store::new(2);
    let privileges = |n: u64| Privileges::from_bits(n % 7 + 1);
    let stop = AtomicBool::new(false);
    let mixed = std::thread::scope(|scope| {
        for writer in 0..2 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for round in (0..1_000_000_000).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let n = (round + writer) % 4;
                    store.insert(fingerprint(n), privileges(n), 50_000);
                }
            });
        }
        let (mut hits, mut mixed) = (0u64, 0u64);
        while hits < 100_000 {
            for n in 0..4 {
                if let Held::Live(found) = store.get(fingerprint(n), 50_000) {
                    hits += 1;
                    mixed += u64::from(found != privileges(n));
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        mixed
    });
    assert_eq!(mixed, 0);
}

#[test]
fn a_verdict_that_is_renewed_is_never_out_of_sight() {
    let store = Store::new(2);
    store.insert(fingerprint(1), Privileges::ALL, 0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for now in 0..200_000 {
                store.insert(fingerprint(1), Privileges::ALL, now);
                store.insert(fingerprint(2 + now % 50), Privileges::ALL, now);
            }
            stop.store(true, Ordering::Relaxed);
        });
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(
                store.get(fingerprint(1), 100_000),
                Held::Live(Privileges::ALL)
            );
        }
    });
}

#[test]
fn the_two_sets_of_a_fingerprint_are_two_and_any_two() {
    for capacity in [1, 8, 9, 20, 100] {
        let store = Store::new(capacity);
        let sets = store.sets.len();
        let mut seen = vec![0; sets];
        let edges = [0, 1 << 32, u64::MAX / 2, u64::MAX];
        let edges = edges.map(|high| edges.map(|low| Fingerprint { high, low }));
        for fingerprint in edges
            .into_iter()
            .flatten()
            .chain((0..2_000).map(fingerprint))
        {
            let [first, second] = store.candidates(fingerprint);
            assert_ne!(first, second);
            seen[first] += 1;
            seen[second] += 1;
        }
        assert!(seen.iter().all(|count| *count > 2_000 / sets), "{seen:?}");
    }
}

/// Fingerprints whose sets are these two, in this order.
fn aimed(store: &Store, sets: [usize; 2]) -> impl Iterator<Item = Fingerprint> {
    (0..)
        .map(fingerprint)
        .filter(move |fingerprint| store.candidates(*fingerprint) == sets)
}

fn filled(store: &Store, set: usize) -> usize {
    WAYS - store.sets[set].empty()
}

#[test]
fn a_verdict_is_put_into_the_emptier_set() {
    for (first, second) in [(2, 5), (5, 2)] {
        let store = Store::new(40);
        for (number, fingerprint) in aimed(&store, [first, second]).take(2 * WAYS).enumerate() {
            store.insert(fingerprint, Privileges::ALL, 0);
            let counts = [filled(&store, first), filled(&store, second)];
            assert_eq!(counts, [number / 2 + 1, number.div_ceil(2)]);
        }
    }
}

/// Next to impossible before the store is full, but somebody has to make room.
#[test]
fn of_two_full_sets_the_oldest_verdict_makes_room() {
    for oldest in 0..2 * WAYS {
        let store = Store::new(40);
        let fingerprints: Vec<_> = aimed(&store, [1, 7]).take(2 * WAYS + 1).collect();
        let (newcomer, residents) = fingerprints.split_last().unwrap();
        for (number, resident) in residents.iter().enumerate() {
            let age = (number + 2 * WAYS - oldest) % (2 * WAYS);
            store.insert(*resident, Privileges::ALL, 8 * age as u64);
        }
        store.insert(*newcomer, Privileges::ALL, 8_000);
        assert_eq!(store.get(*newcomer, 8_000), Held::Live(Privileges::ALL));
        for (number, resident) in residents.iter().enumerate() {
            let gone = store.get(*resident, 8_000) == Held::Absent;
            assert_eq!(gone, number == oldest, "{oldest} {number}");
        }
        assert_eq!(store.len(), 2 * WAYS);
    }
}

#[test]
fn fingerprints_that_share_a_half_are_told_apart() {
    // 0 is what an empty way holds, too.
    let halves = [0, 1, 1 << 33, u64::MAX];
    let all: Vec<Fingerprint> = halves
        .iter()
        .flat_map(|&high| halves.map(|low| Fingerprint { high, low }))
        .collect();
    let store = Store::new(all.len());
    let privileges = |number: usize| Privileges::from_bits(number as u64 % 7 + 1);
    for (number, fingerprint) in all.iter().enumerate() {
        assert_eq!(store.get(*fingerprint, 0), Held::Absent);
        store.remove(*fingerprint);
        store.insert(*fingerprint, privileges(number), 0);
        assert_eq!(store.len(), number + 1);
    }
    for (number, fingerprint) in all.iter().enumerate() {
        for (other, fingerprint) in all.iter().enumerate().skip(number) {
            assert_eq!(store.get(*fingerprint, 0), Held::Live(privileges(other)));
        }
        store.remove(*fingerprint);
        assert_eq!(store.get(*fingerprint, 0), Held::Absent);
        assert_eq!(store.len(), all.len() - number - 1);
    }
}
