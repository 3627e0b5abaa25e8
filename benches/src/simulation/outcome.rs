//! What one limiter made of one scenario.

use std::collections::HashMap;

use serde::Serialize;
use tollbar::client_ip::ClientKey;

use super::limiters::TokenBucket;
use super::traffic::Request;
use super::{BURST, EVENT_LIMIT, IP_LIMIT, SECOND};

/// The figures of one limiter in one scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Events admitted, of all clients.
    pub admitted: u64,
    /// The largest share of what P1 allows that was admitted in any window; above 1 it is exceeded.
    pub share_of_p1: f64,
    /// The share of the well-behaved clients' events that was refused.
    pub well_behaved_refused: f64,
    /// The largest number of events that a client was ahead of what one counter of its own would have admitted, and so
    /// gained by losing its counter.
    pub largest_gain: f64,
    /// How many requests were admitted that a counter of the client's own would have refused, of all that were admitted.
    pub requests_gained: f64,
    /// How often a counter changed hands while its client still owed something (LRU: at all).
    pub displaced: u64,
}

/// Gathers them.
#[derive(Default)]
pub struct Recorder {
    outcome: Outcome,
    admitted_requests: u64,
    gained: u64,
    well_behaved: u64,
    refused: u64,
    /// What each client would have left if it had kept a counter of its own and were charged what it was admitted.
    alone: HashMap<ClientKey, TokenBucket>,
    /// Instants and events admitted at each.
    admitted: Vec<(u64, u64)>,
}

impl Recorder {
    /// Notes the verdict on a request.
    pub fn record(&mut self, request: &Request, admitted: bool) {
        if request.well_behaved {
            self.well_behaved += u64::from(request.n);
            self.refused += if admitted { 0 } else { u64::from(request.n) };
        }
        if !admitted {
            return;
        }
        self.admitted_requests += 1;
        self.outcome.admitted += u64::from(request.n);
        let alone = self.alone.entry(request.client).or_default();
        let gain = alone.take_on_credit(request.n, request.now);
        // Token buckets are counted in floating point.
        if gain > 0.01 {
            self.gained += 1;
        }
        self.outcome.largest_gain = self.outcome.largest_gain.max(gain);
        match self.admitted.last_mut() {
            Some((now, n)) if *now == request.now => *n += u64::from(request.n),
            _ => self.admitted.push((request.now, u64::from(request.n))),
        }
    }

    /// The figures.
    #[must_use]
    pub fn outcome(mut self, displaced: u64) -> Outcome {
        self.outcome.displaced = displaced;
        self.outcome.well_behaved_refused = share(self.refused, self.well_behaved);
        self.outcome.requests_gained = share(self.gained, self.admitted_requests);
        self.outcome.share_of_p1 = self.share_of_p1();
        self.outcome
    }

    /// Like a bucket that all share: the most that it ever held, of what it may hold. In events x 10^9.
    fn share_of_p1(&self) -> f64 {
        let rate = i128::from(IP_LIMIT) * i128::from(EVENT_LIMIT);
        let burst = i128::from(IP_LIMIT) * i128::from(BURST) * i128::from(SECOND);
        let (mut level, mut last, mut most) = (0i128, 0u64, 0i128);
        for &(now, n) in &self.admitted {
            level =
                (level - rate * i128::from(now - last)).max(0) + i128::from(n) * i128::from(SECOND);
            last = now;
            // A half-open window has one nanosecond more than lies between its first and its last event.
            most = most.max(level - rate);
        }
        most as f64 / burst as f64
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
