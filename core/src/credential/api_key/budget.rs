//! How many unknown keys a client may have verified: a rate limit in front of Elasticsearch.
//!
//! A key that is unknown, good or bad, costs its client (the key that the rate limit counts: an IPv4 address, an IPv6 prefix) one of
//! `api_key.limit` verifications a minute. Half of them may come at once. A key whose last verdict was good and is still
//! held costs nothing: there are at most `limit` of those, each verified once a minute. So whoever floods the server with bad
//! keys spends what is his own, keys in use go on from behind the same address, and no more than
//! `limit` keys a minute reach Elasticsearch for any one client.
//!
//! It is GCRA on a table like the one that counts events, with all its promises: fixed memory, nobody is refilled by being
//! displaced, and at most [`CLIENTS`] x `limit` unknown keys a minute in all.
//!
//! Invariant: in any minute, at most `limit` are taken by one client while it keeps its counter.

use crate::client_ip::ClientKey;
use crate::ratelimit::{Limits, RateLimiter};

/// How many clients have a counter of their own (17 bytes each).
const CLIENTS: u32 = 4096;

/// GCRA counts per second, here per minute: time is divided by so much, and a little more, so that what is counted as a second
/// is never shorter than a minute.
const SLOWER: u64 = 61;

pub(crate) struct Budget(RateLimiter);

impl Budget {
    pub(crate) fn new(limit: u32) -> Self {
        Self(RateLimiter::new(limits(limit)))
    }

    /// A budget of another size that goes on with the counters of this one.
    pub(crate) fn resized(&self, limit: u32) -> Self {
        Self(self.0.reconfigured(limits(limit)))
    }

    /// Takes one verification from this client's budget at `now`, in nanoseconds; false: there is none left.
    pub(crate) fn take(&self, client: ClientKey, now: u64) -> bool {
        self.0.charge(client, 1, now / SLOWER).admitted
    }
}

/// In a window of less than one (slowed) second, GCRA with a burst of a second's worth admits at most twice that, less one.
fn limits(limit: u32) -> Limits {
    Limits {
        ip_limit: CLIENTS,
        event_limit: limit.div_ceil(2).max(1),
        burst_multiplier: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const MINUTE: u64 = 60_000_000_000;

    fn client(n: u32) -> ClientKey {
        ClientKey::new(Ipv4Addr::from_bits(n).into(), 64)
    }

    #[test]
    fn p5_a_client_takes_at_most_the_limit_in_any_minute() {
        for limit in [1u32, 2, 3, 7, 50, 100, 101, 1_000] {
            let budget = Budget::new(limit);
            // As greedy as can be, for five minutes, from an odd start.
            let step = MINUTE / 7_001;
            let taken: Vec<u64> = (0..35_000)
                .map(|i| 59 + i * step)
                .filter(|now| budget.take(client(1), *now))
                .collect();
            for (i, start) in taken.iter().enumerate() {
                let within = taken[i..]
                    .iter()
                    .take_while(|t| **t - start < MINUTE)
                    .count();
                assert!(within <= limit as usize, "{limit}: {within}");
            }
            // And it is of use: at least some 49 % of the limit in the long run.
            assert!(
                taken.len() >= limit as usize * 2,
                "{limit}: {}",
                taken.len()
            );
        }
    }

    #[test]
    fn who_spends_its_budget_spends_nobody_elses() {
        let budget = Budget::new(10);
        while budget.take(client(1), 0) {}
        assert!(budget.take(client(2), 0));
    }

    #[test]
    fn p7_a_reload_refills_nobody() {
        let budget = Budget::new(10);
        while budget.take(client(1), 0) {}
        assert!(!budget.resized(1_000).take(client(1), 0));
        assert!(!budget.resized(5).resized(10).take(client(1), 0));
    }
}
