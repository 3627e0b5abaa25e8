//! What other limits would have done with the same log.

use tollbar::config::{MAX_EVENT_LIMIT, MAX_IP_LIMIT};
use tollbar::ratelimit::{Limits, RateLimiter};

use super::admitted;
use super::reader::Block;

/// One pair of limits, and what it came to.
pub struct Alternative {
    pub limits: Limits,
    pub admitted: u64,
    pub refused: u64,
    /// How often a client lost a counter that it still needed.
    pub displaced: u64,
}

pub struct Alternatives(Vec<(RateLimiter, Alternative)>);

impl Alternatives {
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Half, once and twice each limit, but for the pair itself.
    pub fn around(limits: Limits) -> Self {
        let near = |limit: u32, most: u32| {
            let mut values = vec![(limit / 2).max(1), limit, limit.saturating_mul(2).min(most)];
            values.dedup();
            values
        };
        let mut all = Vec::new();
        for ip_limit in near(limits.ip_limit, MAX_IP_LIMIT) {
            for event_limit in near(limits.event_limit, MAX_EVENT_LIMIT) {
                let other = Limits {
                    ip_limit,
                    event_limit,
                    ..limits
                };
                if other != limits {
                    let nothing_yet = Alternative {
                        limits: other,
                        admitted: 0,
                        refused: 0,
                        displaced: 0,
                    };
                    all.push((RateLimiter::new(other), nothing_yet));
                }
            }
        }
        Self(all)
    }

    pub fn take(&mut self, block: &Block) {
        // One after the other, so that each table stays in the caches for a block.
        for (limiter, alternative) in &mut self.0 {
            for request in block {
                let taken = admitted(limiter, request.client, request.events, request.at);
                let refused = request.events.saturating_add(1) - taken;
                alternative.admitted += taken;
                alternative.refused = alternative.refused.saturating_add(refused);
            }
        }
    }

    pub fn finish(self) -> Vec<Alternative> {
        let finished = self.0.into_iter();
        finished
            .map(|(limiter, alternative)| Alternative {
                displaced: limiter.displaced(),
                ..alternative
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neighbours_are_within_range_and_leave_out_the_pair_itself() {
        let pairs = |ip_limit, event_limit| {
            let around = Alternatives::around(Limits {
                ip_limit,
                event_limit,
                burst_multiplier: 3,
            });
            let limits = around.finish();
            limits
                .iter()
                .map(|a| (a.limits.ip_limit, a.limits.event_limit))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            pairs(10, 4),
            [
                (5, 2),
                (5, 4),
                (5, 8),
                (10, 2),
                (10, 8),
                (20, 2),
                (20, 4),
                (20, 8)
            ]
        );
        assert_eq!(pairs(1, 1), [(1, 2), (2, 1), (2, 2)]);
    }
}
