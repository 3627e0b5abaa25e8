//! The three limiters that are compared. The peers are re-implementations for comparison: the same token bucket in both, and
//! only the rule by which clients get one differs.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use lru::LruCache;
use tollbar::client_ip::ClientKey;
use tollbar::ratelimit::{Limits, RateLimiter};

use super::{BURST, BURST_MULTIPLIER, EVENT_LIMIT, IP_LIMIT, SECOND};

/// Decides about requests that come one after the other.
pub trait Limiter {
    /// Whether `n` events of this client are admitted at `now`, all or none.
    fn charge(&mut self, client: ClientKey, n: u32, now: u64) -> bool;
    /// How often a client lost its counter, if that is counted.
    fn displaced(&self) -> u64;
}

/// Tollbar's counters.
pub struct Ours(RateLimiter);

impl Ours {
    /// With a hash key made of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let limits = Limits {
            ip_limit: IP_LIMIT,
            event_limit: EVENT_LIMIT,
            burst_multiplier: BURST_MULTIPLIER,
        };
        Self(RateLimiter::seeded(limits, seed))
    }
}

impl Limiter for Ours {
    fn charge(&mut self, client: ClientKey, n: u32, now: u64) -> bool {
        self.0.charge(client, u64::from(n), now).admitted
    }

    fn displaced(&self) -> u64 {
        self.0.displaced()
    }
}

/// A token bucket, as `x/time/rate` has it.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    tokens: f64,
    last: u64,
}

impl Default for TokenBucket {
    /// A full one.
    fn default() -> Self {
        Self {
            tokens: f64::from(BURST),
            last: 0,
        }
    }
}

impl TokenBucket {
    /// Takes `n` tokens if there are so many.
    pub fn take(&mut self, n: u32, now: u64) -> bool {
        self.refill(now);
        let enough = self.tokens + 1e-9 >= f64::from(n);
        if enough {
            self.tokens -= f64::from(n);
        }
        enough
    }

    /// Takes `n` tokens in any case, and returns how many were lacking.
    pub fn take_on_credit(&mut self, n: u32, now: u64) -> f64 {
        self.refill(now);
        self.tokens -= f64::from(n);
        (-self.tokens).max(0.0)
    }

    fn refill(&mut self, now: u64) {
        let passed = now.saturating_sub(self.last) as f64 / SECOND as f64;
        self.tokens = (self.tokens + passed * f64::from(EVENT_LIMIT)).min(f64::from(BURST));
        self.last = now.max(self.last);
    }
}

/// APM Server's rule: an exact LRU of `ip_limit` limiters, and a newcomer goes on with the limiter of whom it evicts.
pub struct ExactLru {
    buckets: LruCache<ClientKey, TokenBucket>,
    evicted: u64,
}

impl Default for ExactLru {
    fn default() -> Self {
        Self::new()
    }
}

impl ExactLru {
    /// With no client yet.
    #[must_use]
    pub fn new() -> Self {
        let capacity = NonZeroUsize::new(IP_LIMIT as usize).unwrap_or(NonZeroUsize::MIN);
        Self {
            buckets: LruCache::new(capacity),
            evicted: 0,
        }
    }
}

impl Limiter for ExactLru {
    fn charge(&mut self, client: ClientKey, n: u32, now: u64) -> bool {
        if let Some(bucket) = self.buckets.get_mut(&client) {
            return bucket.take(n, now);
        }
        let mut bucket = TokenBucket::default();
        if self.buckets.len() == self.buckets.cap().get()
            && let Some((_, reused)) = self.buckets.pop_lru()
        {
            bucket = reused;
            self.evicted += 1;
        }
        let admitted = bucket.take(n, now);
        self.buckets.put(client, bucket);
        admitted
    }

    fn displaced(&self) -> u64 {
        self.evicted
    }
}

/// A limiter for every client that ever came: memory without a bound, and no bound for all together.
#[derive(Default)]
pub struct Unbounded(HashMap<ClientKey, TokenBucket>);

impl Limiter for Unbounded {
    fn charge(&mut self, client: ClientKey, n: u32, now: u64) -> bool {
        self.0.entry(client).or_default().take(n, now)
    }

    fn displaced(&self) -> u64 {
        0
    }
}
