//! What the tests of the rate limit's promises share: the exact check of a bound over a recorded history, and a small random
//! number generator that is the same everywhere.

#![allow(dead_code, reason = "each test uses some of it")]

use std::net::{IpAddr, Ipv4Addr};

use tollbar::config::{Config, SecretToken};
use tollbar::{Decision, Engine, Question, Request};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// The limits of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub ip_limit: u32,
    pub event_limit: u32,
    pub burst_multiplier: u32,
}

impl Limits {
    /// The larger of both, each by itself: what SPEC P7 promises across a reload.
    pub fn or(self, other: Self) -> Self {
        Self {
            ip_limit: self.ip_limit.max(other.ip_limit),
            event_limit: self.event_limit.max(other.event_limit),
            burst_multiplier: self.burst_multiplier.max(other.burst_multiplier),
        }
    }

    /// A configuration in which everybody without a token is anonymous, and limited so.
    pub fn config(self) -> Config {
        let mut config = Config {
            secret_tokens: vec![SecretToken::new("correct-horse-battery-staple")],
            burst_multiplier: self.burst_multiplier,
            ..Config::default()
        };
        config.anonymous.enabled = Some(true);
        config.anonymous.allow_agent.clear();
        config.anonymous.ip_limit = self.ip_limit;
        config.anonymous.event_limit = self.event_limit;
        config
    }
}

/// The n-th client.
pub fn client(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
}

/// One anonymous request.
pub fn check(engine: &Engine, client: IpAddr, cost: u64, now: u64) -> Decision {
    engine.check(
        &Request::from_peer(client),
        &Question {
            cost,
            ..Question::default()
        },
        Some(now),
    )
}

/// A window in which more was admitted than is allowed.
#[derive(Debug)]
pub struct Excess {
    pub from: u64,
    pub to: u64,
    pub admitted: u64,
    pub allowed: u128,
}

/// Checks `counters * (burst + event_limit * W)` over every half-open window of whole nanoseconds, exactly.
///
/// `admitted` holds (now, n) in any order. Windows worth checking start and end at an event, and the excess of one from event i
/// to event j is (sum through j - rate * time of j) - (sum before i - rate * time of i): one pass with the smallest of the
/// latter so far.
pub fn check_bound(
    admitted: &mut [(u64, u64)],
    counters: u32,
    limits: Limits,
) -> Result<(), Excess> {
    admitted.sort_unstable();
    let second = i128::from(SECOND);
    let rate = i128::from(counters) * i128::from(limits.event_limit);
    let burst = rate * i128::from(limits.burst_multiplier);
    let mut sum = 0i128;
    let mut start: Option<(i128, u64, i128)> = None;
    for &(now, n) in admitted.iter() {
        let here = sum * second - rate * i128::from(now);
        if start.is_none_or(|(least, ..)| here < least) {
            start = Some((here, now, sum));
        }
        sum += i128::from(n);
        let Some((least, from, before)) = start else {
            continue;
        };
        // The window [from, now] is half-open of length now - from + 1.
        let spent = sum * second - rate * i128::from(now) - least;
        if spent > burst * second + rate {
            return Err(Excess {
                from,
                to: now,
                admitted: (sum - before) as u64,
                allowed: ((burst * second + rate * i128::from(now - from + 1)) / second) as u128,
            });
        }
    }
    Ok(())
}

/// xorshift64*: the same numbers in each run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        (bits * n) >> 32
    }
}
