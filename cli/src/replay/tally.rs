//! What the limits that are tried admit and refuse: in all, over time, and by client.

use tollbar::ratelimit::{Limits, RateLimiter};

use super::admitted;
use super::clients::Clients;
use super::reader::Block;
use super::timeline::Timeline;

pub struct Tally {
    pub limiter: RateLimiter,
    pub requests: u64,
    /// Requests that were refused as a whole.
    pub requests_refused: u64,
    /// Requests that were cut off: admitted, but not all of their events.
    pub requests_cut: u64,
    pub admitted: u64,
    pub refused: u64,
    pub clients: Clients,
    pub timeline: Option<Timeline>,
    /// The latest time so far.
    pub latest: u64,
    /// The most counters that were seen in use at once.
    pub most_live: usize,
    since_look: u64,
}

impl Tally {
    pub fn new(limits: Limits) -> Self {
        Self {
            limiter: RateLimiter::new(limits),
            requests: 0,
            requests_refused: 0,
            requests_cut: 0,
            admitted: 0,
            refused: 0,
            clients: Clients::default(),
            timeline: None,
            latest: 0,
            most_live: 0,
            since_look: 0,
        }
    }

    pub fn take(&mut self, block: &Block) {
        for request in block {
            let taken = admitted(&self.limiter, request.client, request.events, request.at);
            let refused = request.events.saturating_add(1) - taken;
            self.requests += 1;
            self.requests_refused += u64::from(taken == 0);
            self.requests_cut += u64::from(taken > 0 && refused > 0);
            self.admitted += taken;
            self.refused = self.refused.saturating_add(refused);
            self.clients.add(request.client, taken, refused);
            self.latest = self.latest.max(request.at);
            let timeline = self
                .timeline
                .get_or_insert_with(|| Timeline::new(request.at));
            let bucket = timeline.bucket(request.at);
            bucket.admitted += taken;
            bucket.refused = bucket.refused.saturating_add(refused);
            self.since_look += 1;
        }
        self.look();
    }

    /// Counts the counters in use, which reads the whole table: once for as many requests as it has counters.
    fn look(&mut self) {
        let Some(timeline) = &mut self.timeline else {
            return;
        };
        if self.since_look < u64::from(self.limiter.limits().ip_limit) / 8 {
            return;
        }
        self.since_look = 0;
        let live = self.limiter.live(self.latest);
        self.most_live = self.most_live.max(live);
        let bucket = timeline.bucket(self.latest);
        bucket.live = bucket.live.max(live);
    }

    /// From the first request to the last, in nanoseconds.
    pub fn duration(&self) -> u64 {
        let start = self.timeline.as_ref().map_or(0, |timeline| timeline.start);
        self.latest.saturating_sub(start)
    }
}
