//! The limiters that Tollbar is measured against, behind one face: address in, verdict out, own clock.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use governor::clock::QuantaClock;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use tollbar::client_ip::ClientKey;
use tollbar::ratelimit::{Clock, Limits, RateLimiter};

/// Events a second and burst, and how many addresses there will be.
#[derive(Clone, Copy)]
pub struct Quota {
    /// Events a second for each address.
    pub event_limit: u32,
    /// Addresses that the limiter has room for.
    pub addresses: u32,
}

const BURST_MULTIPLIER: u32 = 3;

/// A limiter of events by address.
pub trait Limiter: Sync {
    /// Charges one event to this address; whether it was admitted.
    fn admit(&self, address: IpAddr) -> bool;
}

/// Tollbar's counters.
pub struct Tollbar {
    /// The limiter itself, for batches.
    pub limiter: RateLimiter,
    /// Its clock.
    pub clock: Clock,
}

impl Tollbar {
    /// A table with room for exactly these addresses.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::new(Limits {
                ip_limit: quota.addresses,
                event_limit: quota.event_limit,
                burst_multiplier: BURST_MULTIPLIER,
            }),
            clock: Clock::new(),
        }
    }
}

impl Limiter for Tollbar {
    #[inline]
    fn admit(&self, address: IpAddr) -> bool {
        let client = ClientKey::new(address, 64);
        self.limiter
            .charge_when(client, 1, || self.clock.now())
            .admitted
    }
}

fn quota(quota: Quota) -> governor::Quota {
    let limit = NonZeroU32::new(quota.event_limit).unwrap_or(NonZeroU32::MIN);
    let burst = limit.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_MULTIPLIER - 1));
    governor::Quota::per_second(limit).allow_burst(burst)
}

/// `governor`, keyed: GCRA in an unbounded concurrent map.
pub struct Governor(governor::RateLimiter<IpAddr, DashMapStateStore<IpAddr>, QuantaClock>);

impl Governor {
    /// With the store and the clock that its documentation recommends.
    #[must_use]
    pub fn new(limits: Quota) -> Self {
        let (store, clock) = (DashMapStateStore::default(), QuantaClock::default());
        Self(governor::RateLimiter::new(quota(limits), store, clock))
    }
}

impl Limiter for Governor {
    #[inline]
    fn admit(&self, address: IpAddr) -> bool {
        self.0.check_key(&address).is_ok()
    }
}

/// `governor`, one counter for all: the floor of one atomic word, which knows no addresses.
pub struct GovernorDirect(governor::RateLimiter<NotKeyed, InMemoryState, QuantaClock>);

impl GovernorDirect {
    /// One counter.
    #[must_use]
    pub fn new(limits: Quota) -> Self {
        let (state, clock) = (InMemoryState::default(), QuantaClock::default());
        Self(governor::RateLimiter::new(quota(limits), state, clock))
    }
}

impl Limiter for GovernorDirect {
    #[inline]
    fn admit(&self, _: IpAddr) -> bool {
        self.0.check().is_ok()
    }
}

/// What APM Server and most servers do: a mutex around an LRU of token buckets, with the system's clock. As in APM Server a newcomer goes
/// on with the bucket of whom it evicts.
pub struct MutexLru {
    event_limit: f64,
    buckets: Mutex<lru::LruCache<IpAddr, Bucket>>,
    start: Instant,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: f64,
}

impl MutexLru {
    /// An LRU of this many buckets.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        let capacity = NonZeroUsize::new(quota.addresses as usize).unwrap_or(NonZeroUsize::MIN);
        Self {
            event_limit: f64::from(quota.event_limit),
            buckets: Mutex::new(lru::LruCache::new(capacity)),
            start: Instant::now(),
        }
    }

    /// Gives it room for so many buckets; decisions wait meanwhile.
    pub fn resize(&self, addresses: u32) {
        let capacity = NonZeroUsize::new(addresses as usize).unwrap_or(NonZeroUsize::MIN);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.resize(capacity);
    }
}

impl Limiter for MutexLru {
    #[inline]
    fn admit(&self, address: IpAddr) -> bool {
        let now = self.start.elapsed().as_secs_f64();
        let burst = self.event_limit * f64::from(BURST_MULTIPLIER);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains(&address) {
            let fresh = Bucket {
                tokens: burst,
                at: now,
            };
            let inherited = if buckets.len() == buckets.cap().get() {
                buckets.pop_lru().map_or(fresh, |(_, bucket)| bucket)
            } else {
                fresh
            };
            buckets.put(address, inherited);
        }
        let Some(bucket) = buckets.get_mut(&address) else {
            return false;
        };
        bucket.tokens = burst.min(bucket.tokens + (now - bucket.at) * self.event_limit);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}
