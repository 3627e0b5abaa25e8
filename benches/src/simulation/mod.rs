//! A simulation of hostile traffic beside a thousand well-behaved clients: what Tollbar admits and whom it harms, against an exact
//! LRU of limiters (APM Server's rule) and an unbounded map (governor's). Deterministic by seed.

pub mod limiters;
pub mod outcome;
pub mod report;
pub mod traffic;

use serde::Serialize;

use self::limiters::{ExactLru, Limiter, Ours, Unbounded};
use self::outcome::{Outcome, Recorder};
use self::traffic::{Scenario, Traffic};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
/// Counters: twice as many as there are well-behaved clients.
pub const IP_LIMIT: u32 = 2_000;
/// Events a second for each client: so few that attacks which use up all the room there is, 40,000 events a second, can be simulated
/// event by event.
pub const EVENT_LIMIT: u32 = 20;
/// The burst is three seconds of that.
pub const BURST_MULTIPLIER: u32 = 3;
/// The burst, in events.
pub const BURST: u32 = EVENT_LIMIT * BURST_MULTIPLIER;
/// Well-behaved clients.
pub const CLIENTS: u32 = 1_000;

/// What the three limiters made of one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The scenario's short name.
    pub scenario: &'static str,
    /// What it is, in a sentence.
    pub description: &'static str,
    /// Requests, of which those of well-behaved clients.
    pub requests: u64,
    /// Requests of well-behaved clients.
    pub well_behaved_requests: u64,
    /// Tollbar's.
    pub ours: Outcome,
    /// The exact LRU's.
    pub lru: Outcome,
    /// The unbounded map's.
    pub unbounded: Outcome,
}

/// Runs one scenario through all three limiters.
#[must_use]
pub fn compare(scenario: &'static Scenario, seed: u64) -> Comparison {
    let traffic = scenario.traffic(seed);
    Comparison {
        scenario: scenario.name,
        description: scenario.description,
        requests: traffic.requests.len() as u64,
        well_behaved_requests: traffic.requests.iter().filter(|r| r.well_behaved).count() as u64,
        ours: run(&mut Ours::new(seed), &traffic),
        lru: run(&mut ExactLru::new(), &traffic),
        unbounded: run(&mut Unbounded::default(), &traffic),
    }
}

fn run(limiter: &mut dyn Limiter, traffic: &Traffic) -> Outcome {
    let mut recorder = Recorder::default();
    for request in &traffic.requests {
        let admitted = limiter.charge(request.client, request.n, request.now);
        recorder.record(request, admitted);
    }
    recorder.outcome(limiter.displaced())
}

/// The share of keys that displaced a live one, when a table is filled with as many live keys as `load` percent of its counters.
#[must_use]
pub fn displacement(counters: u32, load: u32, seed: u64) -> f64 {
    let limits = tollbar::ratelimit::Limits {
        ip_limit: counters,
        event_limit: 1,
        burst_multiplier: 1_000_000,
    };
    let limiter = tollbar::ratelimit::RateLimiter::seeded(limits, seed);
    let keys = (u64::from(counters) * u64::from(load) / 100) as u32;
    for key in 0..keys {
        let _ = limiter.charge(traffic::ipv4(key), 1, SECOND);
    }
    limiter.displaced() as f64 / f64::from(keys.max(1))
}
