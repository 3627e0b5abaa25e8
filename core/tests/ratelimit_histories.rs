//! Histories of real threads, checked exactly: every admitted event of millions, at the instant it was charged with, against P1 in
//! every window, and against P2's bound of each client where every client keeps its counter.
//!
//! Each thread has a clock of its own, which differs from the others' by up to two seconds and is read late at times. The
//! configuration is reloaded meanwhile. `TOLLBAR_STRESS` multiplies the number of operations.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Limits, Random, SECOND, check, check_bound, client};
use tollbar::{Engine, Reason};

const THREADS: u64 = 4;

/// One operation, as its thread recorded it.
#[derive(Clone, Copy)]
struct Operation {
    client: u32,
    n: u64,
    now: u64,
    generation: u64,
    admitted: bool,
}

struct Workload {
    clients: u32,
    operations: u64,
    largest_batch: u64,
    /// The configurations, one after another and again from the start; one means no reload.
    limits: Vec<Limits>,
}

struct History {
    operations: Vec<Operation>,
    /// The limits of generation i + 1.
    generations: Vec<Limits>,
}

fn operations(n: u64) -> u64 {
    let factor = std::env::var("TOLLBAR_STRESS").map_or(1, |text| text.parse().unwrap());
    n * factor
}

/// What one thread does.
fn work(engine: &Engine, workload: &Workload, seed: u64) -> Vec<Operation> {
    let mut random = Random::new(seed);
    // Ten seconds of the clients' time in all.
    let step = 10 * SECOND / workload.operations.max(1);
    let skew = random.below(2_000) * 1_000_000;
    (0..workload.operations)
        .map(|i| {
            let now = 1_000 * SECOND + skew + i * step + random.below(step.max(1));
            let stale = if random.below(16) == 0 {
                random.below(2_000) * 1_000_000
            } else {
                0
            };
            let (client_number, n) = (
                random.below(u64::from(workload.clients)) as u32,
                1 + random.below(workload.largest_batch),
            );
            let decision = check(engine, client(client_number), n, now - stale);
            assert!(matches!(
                decision.reason,
                Reason::Allowed | Reason::RateLimited | Reason::ExceedsBurst
            ));
            Operation {
                client: client_number,
                n,
                now: now - stale,
                generation: decision.generation,
                admitted: decision.allowed(),
            }
        })
        .collect()
}

/// Runs the workload on all threads, and reloads meanwhile.
fn run(workload: &Workload, seed: u64) -> History {
    let engine = Engine::new(workload.limits[0].config()).unwrap();
    let mut generations = vec![workload.limits[0]];
    let done = AtomicBool::new(false);
    let operations = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (engine, workload) = (&engine, &workload);
                scope.spawn(move || work(engine, workload, seed * THREADS + thread + 1))
            })
            .collect();
        let reloads = scope.spawn(|| {
            let mut made = Vec::new();
            while workload.limits.len() > 1 && !done.load(Ordering::Relaxed) {
                let limits = workload.limits[(made.len() + 1) % workload.limits.len()];
                engine.reload(limits.config()).unwrap();
                made.push(limits);
                std::thread::yield_now();
            }
            made
        });
        let operations: Vec<_> = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect();
        done.store(true, Ordering::Relaxed);
        generations.extend(reloads.join().unwrap());
        operations
    });
    History {
        operations,
        generations,
    }
}

impl History {
    fn admitted(&self, of: impl Fn(&Operation) -> bool) -> Vec<(u64, u64)> {
        let admitted = self.operations.iter().filter(|op| op.admitted && of(op));
        admitted.map(|op| (op.now, op.n)).collect()
    }

    /// P1 over the whole history, for the largest of all limits that were in force.
    fn check_p1(&self) {
        let largest = self.generations.iter().copied().reduce(Limits::or).unwrap();
        let mut admitted = self.admitted(|_| true);
        assert!(admitted.len() > 100, "the history shows something");
        assert!(
            self.operations.iter().any(|op| !op.admitted),
            "the limit is reached"
        );
        check_bound(&mut admitted, largest.ip_limit, largest).unwrap();
    }

    /// P1 across each reload: what was admitted under one configuration and the next. A thread that was stopped in between charges
    /// under limits of the past in a table of the present, so the one after counts too.
    fn check_p1_across_each_reload(&self) {
        let mut by_generation: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
        for op in self.operations.iter().filter(|op| op.admitted) {
            by_generation
                .entry(op.generation)
                .or_default()
                .push((op.now, op.n));
        }
        for (index, window) in self.generations.windows(2).enumerate() {
            let generation = index as u64 + 1;
            let mut admitted: Vec<_> = [generation, generation + 1]
                .iter()
                .filter_map(|generation| by_generation.get(generation))
                .flatten()
                .copied()
                .collect();
            let after = self.generations.get(index + 2).copied();
            let limits = window[0].or(window[1]);
            let limits = after.map_or(limits, |after| limits.or(after));
            check_bound(&mut admitted, limits.ip_limit, limits).unwrap();
        }
    }

    /// P2 for each client: the bound of one counter.
    fn check_p2(&self, clients: u32) {
        let largest = self.generations.iter().copied().reduce(Limits::or).unwrap();
        for number in 0..clients {
            let mut admitted = self.admitted(|op| op.client == number);
            if let Err(excess) = check_bound(&mut admitted, 1, largest) {
                panic!("client {number}: {excess:?}");
            }
        }
    }
}

fn limits(ip_limit: u32, event_limit: u32, burst_multiplier: u32) -> Limits {
    Limits {
        ip_limit,
        event_limit,
        burst_multiplier,
    }
}

#[test]
fn p1_holds_in_every_window_of_any_history() {
    for (seed, (ip_limit, clients)) in [(1, 40), (2, 40), (3, 500), (17, 500), (64, 5_000)]
        .into_iter()
        .enumerate()
    {
        let workload = Workload {
            clients,
            operations: operations(200_000),
            largest_batch: 4,
            limits: vec![limits(ip_limit, 50, 2)],
        };
        run(&workload, seed as u64).check_p1();
    }
}

#[test]
fn p1_and_p7_hold_across_reloads_in_flight() {
    for (seed, clients) in [(100, 30), (101, 200), (102, 5_000)] {
        let workload = Workload {
            clients,
            operations: operations(200_000),
            largest_batch: 4,
            limits: vec![
                limits(8, 40, 3),
                limits(3, 40, 3),
                limits(64, 10, 3),
                limits(64, 80, 3),
                limits(1, 80, 1),
                limits(20, 20, 4),
            ],
        };
        let history = run(&workload, seed);
        assert!(history.generations.len() > 5, "reloads were in flight");
        history.check_p1();
        history.check_p1_across_each_reload();
    }
}

/// With no more clients than counters, all of which are candidates of every client, nobody is displaced.
#[test]
fn p2_each_client_keeps_to_its_bound_while_it_keeps_its_counter() {
    for (seed, clients) in [(200, 1), (201, 2), (202, 7), (203, 16)] {
        let workload = Workload {
            clients,
            operations: operations(200_000),
            largest_batch: 4,
            limits: vec![limits(clients, 200, 2)],
        };
        let history = run(&workload, seed);
        history.check_p1();
        history.check_p2(clients);
    }
}

/// The same while the table is replaced again and again.
#[test]
fn p2_and_p7_each_client_keeps_to_its_bound_across_reloads() {
    for (seed, clients) in [(300, 1), (301, 3), (302, 7)] {
        let workload = Workload {
            clients,
            operations: operations(200_000),
            largest_batch: 4,
            limits: vec![
                limits(8, 200, 2),
                limits(16, 200, 2),
                limits(12, 150, 2),
                limits(12, 150, 5),
                limits(12, 200, 1),
            ],
        };
        let history = run(&workload, seed);
        assert!(history.generations.len() > 5, "reloads were in flight");
        history.check_p1();
        history.check_p2(clients);
    }
}

/// The check itself: it sees one event too many, and no fewer.
#[test]
fn the_check_is_exact() {
    let limits = limits(2, 10, 3);
    // 60 at once, and one more each 50 ms: to the last event.
    let mut history = vec![(0, 60)];
    history.extend((1..100).map(|i| (i * 50_000_000, 1)));
    check_bound(&mut history, 2, limits).unwrap();
    history.push((2_512_345_678, 1));
    let excess = check_bound(&mut history, 2, limits).unwrap_err();
    assert_eq!(
        (excess.from, excess.admitted),
        (0, excess.allowed as u64 + 1)
    );
}
