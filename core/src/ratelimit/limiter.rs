//! Client key in, verdict out: the hash, the counters and GCRA put together.
//!
//! Invariant: a [`RateLimiter`] is immutable but for its counters; other limits make another limiter on the same
//! counters, or on a table that takes them over.

use std::sync::Arc;

use super::gcra::{Conformance, Gcra};
use super::hash::KeyHasher;
use super::table::{Batch, Charge, Hits, KeyHash, Table};
use crate::client_ip::ClientKey;
use crate::decision::{Rate, RateLimits};

/// The limits of anonymous access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many clients have a counter of their own, 1 to [`MAX_IP_LIMIT`](crate::config::MAX_IP_LIMIT).
    pub ip_limit: u32,
    /// Events a second per counter, 1 to [`MAX_EVENT_LIMIT`](crate::config::MAX_EVENT_LIMIT).
    pub event_limit: u32,
    /// Burst = `event_limit` x this, 1 to [`MAX_BURST_MULTIPLIER`](crate::config::MAX_BURST_MULTIPLIER).
    pub burst_multiplier: u32,
}

/// At most `ip_limit` GCRA counters in fixed memory, one for each client that is active. Lock-free; share it by reference.
/// A clone has the same counters.
///
/// ```
/// use std::net::IpAddr;
/// use tollbar::client_ip::ClientKey;
/// use tollbar::ratelimit::{Limits, RateLimiter};
///
/// let limiter = RateLimiter::new(Limits { ip_limit: 1000, event_limit: 10, burst_multiplier: 3 });
/// let client = ClientKey::new(IpAddr::from([203, 0, 113, 9]), 64);
/// let now = 0; // nanoseconds of your monotonic clock
/// assert_eq!(limiter.charge(client, 30, now).rate.remaining(), 0);
/// assert_eq!(limiter.charge(client, 1, now).rate.retry_after_ns, Some(100_000_000));
/// assert!(limiter.charge(client, 1, now + 100_000_000).admitted);
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    limits: Limits,
    gcra: Gcra,
    hasher: KeyHasher,
    table: Arc<Table>,
    /// The table that `table` replaces, until the handover is complete.
    previous: Option<Arc<Table>>,
}

/// How many batches [`RateLimiter::charge_many`] has in flight at once, and how many requests are decided together: enough to keep
/// memory busy, few enough for the stack.
pub(crate) const AT_ONCE: usize = 64;

/// The slices given to [`RateLimiter::charge_many`] differ in length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{clients} clients, {ns} numbers of events and room for {verdicts} verdicts: pass as many of each"
)]
pub struct LengthMismatch {
    /// How many clients were passed.
    pub clients: usize,
    /// How many numbers of events were passed.
    pub ns: usize,
    /// How many verdicts there is room for.
    pub verdicts: usize,
}

/// What the rate limit says of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the batch was charged (or, for a peek, whether the next event would fit now).
    pub admitted: bool,
    /// What remains, and when there is room.
    pub rate: Rate,
}

impl RateLimiter {
    /// A limiter with all counters unused. Allocates 17 bytes a counter, once.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            gcra: gcra(limits),
            hasher: KeyHasher::new(),
            table: Arc::new(Table::new(limits.ip_limit as usize)),
            previous: None,
        }
    }

    /// As [`RateLimiter::new`], with a hash key that is known: for simulations that give the same figures in each run. Not for
    /// traffic, where clients could aim at each other's counters.
    #[doc(hidden)]
    #[must_use]
    pub fn seeded(limits: Limits, seed: u64) -> Self {
        Self {
            hasher: KeyHasher::seeded(seed),
            ..Self::new(limits)
        }
    }

    /// Charges `n` events to this client at `now` if they conform. `n` = 0 is a peek: it charges nothing.
    ///
    /// `now` is in nanoseconds of any monotonic clock, the same one for all calls. A `now` that is earlier than that of
    /// a call before does no harm: it never rewinds a counter.
    #[inline]
    pub fn charge(&self, client: ClientKey, n: u64, now: u64) -> Verdict {
        self.reserve_when(client, n, 0, || now)
    }

    /// As [`RateLimiter::charge`], at the instant that `clock` tells. It is asked once the counter's memory has been asked for: to read a
    /// clock takes about as long as memory does, and many processors do nothing else meanwhile. So this is faster than to pass an
    /// instant that was just read.
    #[inline]
    pub fn charge_when(&self, client: ClientKey, n: u64, clock: impl FnOnce() -> u64) -> Verdict {
        self.reserve_when(client, n, 0, clock)
    }

    /// As [`RateLimiter::charge`], but also charges a batch that conforms within `max_wait_ns` nanoseconds. The caller must
    /// then wait [`Rate::wait_ns`] before it accepts the batch.
    #[inline]
    pub fn reserve(&self, client: ClientKey, n: u64, max_wait_ns: u64, now: u64) -> Verdict {
        self.reserve_when(client, n, max_wait_ns, || now)
    }

    /// As [`RateLimiter::reserve`] and [`RateLimiter::charge_when`].
    #[inline(always)]
    pub(crate) fn reserve_when(
        &self,
        client: ClientKey,
        n: u64,
        max_wait: u64,
        clock: impl FnOnce() -> u64,
    ) -> Verdict {
        let hash = self.hasher.hash(client);
        let hits = self.table.prefetch_counter(hash);
        let batch = self.batch(hash, n, max_wait, clock());
        let previous = self.previous.as_deref();
        let charge = self
            .table
            .charge_one_of(&hits, &batch, &self.gcra, previous);
        self.verdict(charge, &batch, n)
    }

    #[inline(always)]
    fn batch(&self, hash: KeyHash, n: u64, max_wait: u64, now: u64) -> Batch {
        Batch {
            hash,
            // What never fits must not take over a counter either; a peek tells what there is to tell.
            n: if n <= self.gcra.burst() { n } else { 0 },
            now: self.gcra.instant(now),
            max_wait,
        }
    }

    /// As [`RateLimiter::charge`] for many batches at once: `clients[i]` is charged `ns[i]` events, in that order, and
    /// `verdicts[i]` says what came of it. On a table larger than the caches this is several times as fast, since memory is asked for
    /// many counters at a time.
    ///
    /// # Errors
    /// If the three slices differ in length. Nothing is charged then.
    pub fn charge_many(
        &self,
        clients: &[ClientKey],
        ns: &[u64],
        now: u64,
        verdicts: &mut [Verdict],
    ) -> Result<(), LengthMismatch> {
        if clients.len() != ns.len() || clients.len() != verdicts.len() {
            return Err(LengthMismatch {
                clients: clients.len(),
                ns: ns.len(),
                verdicts: verdicts.len(),
            });
        }
        let chunks = clients.chunks(AT_ONCE).zip(ns.chunks(AT_ONCE));
        for ((clients, ns), verdicts) in chunks.zip(verdicts.chunks_mut(AT_ONCE)) {
            let mut hashes = [KeyHash::new(0); AT_ONCE];
            for (hash, &client) in hashes.iter_mut().zip(clients) {
                *hash = self.hasher.hash(client);
            }
            let hashes = &hashes[..clients.len()];
            // Each pass waits for memory once for all, not once for each.
            hashes
                .iter()
                .for_each(|&hash| self.table.prefetch_hints(hash));
            let mut hits: [Hits; AT_ONCE] = std::array::from_fn(|_| Hits::default());
            for (hits, &hash) in hits.iter_mut().zip(hashes) {
                *hits = self.table.prefetch_counter(hash);
            }
            let decided = verdicts
                .iter_mut()
                .zip(&mut hits)
                .zip(hashes.iter().zip(ns));
            for ((verdict, hits), (&hash, &n)) in decided {
                let batch = self.batch(hash, n, 0, now);
                let previous = self.previous.as_deref();
                let charge = self.table.charge_one_of(hits, &batch, &self.gcra, previous);
                *verdict = self.verdict(charge, &batch, n);
            }
        }
        Ok(())
    }

    /// What a peek says: whether the next event would fit, or that `n` never will.
    #[cold]
    fn peek(&self, tat: u64, n: u64, now: u64) -> Conformance {
        match self.gcra.conform(tat, now, n.max(1), 0) {
            Conformance::Conforming { .. } => Conformance::Conforming { tat, wait: 0 },
            other => other,
        }
    }

    /// What a charge means to the caller, who asked for `n` events.
    #[inline(always)]
    fn verdict(&self, charge: Charge, batch: &Batch, n: u64) -> Verdict {
        let tat = charge.tat;
        let conformance = if batch.n == 0 {
            self.peek(tat, n, batch.now)
        } else {
            charge.conformance()
        };
        let (admitted, retry_after_ns, wait_ns) = match conformance {
            Conformance::Conforming { wait, .. } => (true, Some(0), wait),
            Conformance::NonConforming { retry_after } => (false, Some(retry_after), 0),
            Conformance::ExceedsBurst => (false, None, 0),
        };
        Verdict {
            admitted,
            rate: Rate {
                retry_after_ns,
                wait_ns,
                limits: RateLimits {
                    event_limit: self.limits.event_limit,
                    burst_multiplier: self.limits.burst_multiplier,
                },
                tat,
                now: batch.now,
            },
        }
    }

    /// The limits that are in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many counters have a TAT ahead of `now`. Reads the whole table: milliseconds for a million counters.
    #[must_use]
    pub fn live(&self, now: u64) -> usize {
        self.table.live(self.gcra.instant(now))
    }

    /// How many times a client lost a counter whose TAT still lay ahead, since the table was made.
    #[must_use]
    pub fn displaced(&self) -> u64 {
        self.table.displaced()
    }

    /// How many times a counter got a new owner, since the table was made. Reads the whole table.
    #[must_use]
    pub fn claims(&self) -> u64 {
        self.table.claims()
    }

    /// A limiter with other limits that goes on with the counters of this one (P7). Where [`RateLimiter::in_handover`]
    /// says so, call [`RateLimiter::complete_handover`] after it has replaced this one everywhere, and only then
    /// reconfigure again.
    pub(crate) fn reconfigured(&self, limits: Limits) -> Self {
        // TATs keep their meaning, whatever the rate and the burst: see `Gcra::instant`.
        let (table, previous) = if limits.ip_limit == self.limits.ip_limit {
            (Arc::clone(&self.table), None)
        } else {
            let table = Table::replacing(&self.table, limits.ip_limit as usize);
            (table, Some(Arc::clone(&self.table)))
        };
        Self {
            limits,
            gcra: gcra(limits),
            hasher: self.hasher.clone(),
            table,
            previous,
        }
    }

    /// Whether counters are still being taken over from the limiter before.
    pub(crate) fn in_handover(&self) -> bool {
        self.previous.is_some()
    }

    /// Takes over what is left to take over, and returns the limiter that no longer needs the one before.
    pub(crate) fn complete_handover(&self) -> Self {
        if let Some(previous) = &self.previous {
            self.table.complete_handover(previous);
        }
        Self {
            limits: self.limits,
            gcra: self.gcra,
            hasher: self.hasher.clone(),
            table: Arc::clone(&self.table),
            previous: None,
        }
    }
}

fn gcra(limits: Limits) -> Gcra {
    Gcra::new(limits.event_limit, limits.burst_multiplier)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    fn client(number: u32) -> ClientKey {
        ClientKey::new(IpAddr::V4(Ipv4Addr::from(number)), 64)
    }

    proptest! {
        #[test]
        fn charge_many_is_charge_one_after_another(
            ip_limit in 1..300u32,
            calls in prop::collection::vec(prop::collection::vec((0..500u32, 0..5u64), 0..200), 1..5),
        ) {
            let one = RateLimiter::new(Limits { ip_limit, event_limit: 2, burst_multiplier: 2 });
            // The same hash key, so that both tables place alike.
            let many = RateLimiter { table: Arc::new(Table::new(ip_limit as usize)), hasher: one.hasher.clone(), ..one.clone() };
            for (second, batches) in calls.iter().enumerate() {
                let now = second as u64 * 1_000_000_000;
                let (clients, ns): (Vec<_>, Vec<_>) = batches.iter().map(|&(number, n)| (client(number), n)).unzip();
                let mut verdicts = vec![Verdict::default(); clients.len()];
                many.charge_many(&clients, &ns, now, &mut verdicts).unwrap();
                for ((&client, &n), verdict) in clients.iter().zip(&ns).zip(&verdicts) {
                    prop_assert_eq!(&one.charge(client, n, now), verdict);
                }
            }
        }
    }

    #[test]
    fn charge_many_refuses_slices_of_different_lengths() {
        let limiter = RateLimiter::new(Limits {
            ip_limit: 1,
            event_limit: 1,
            burst_multiplier: 1,
        });
        let mut verdicts = [Verdict::default(); 2];
        let refused = limiter.charge_many(&[client(1); 2], &[1], 0, &mut verdicts);
        assert_eq!(
            refused,
            Err(LengthMismatch {
                clients: 2,
                ns: 1,
                verdicts: 2
            })
        );
        assert!(
            limiter.charge(client(1), 1, 0).admitted,
            "nothing was charged"
        );
    }

    #[test]
    fn limiters_of_one_seed_place_clients_alike() {
        let limits = Limits {
            ip_limit: 100,
            event_limit: 1,
            burst_multiplier: 1,
        };
        let hashes = |limiter: &RateLimiter| -> Vec<KeyHash> {
            (0..100)
                .map(|number| limiter.hasher.hash(client(number)))
                .collect()
        };
        let one = hashes(&RateLimiter::seeded(limits, 1));
        assert_eq!(hashes(&RateLimiter::seeded(limits, 1)), one);
        for other in [
            RateLimiter::seeded(limits, 2),
            RateLimiter::seeded(limits, !1),
            RateLimiter::seeded(limits, 1 << 32),
            RateLimiter::new(limits),
            RateLimiter::new(limits),
        ] {
            assert_ne!(hashes(&other), one);
        }
    }

    #[test]
    fn what_became_of_the_counters_is_told() {
        let limits = Limits {
            ip_limit: 3,
            event_limit: 1,
            burst_multiplier: 2,
        };
        let second = 1_000_000_000;
        let limiter = RateLimiter::new(limits);
        let told = |now| (limiter.live(now), limiter.claims(), limiter.displaced());
        assert_eq!(told(0), (0, 0, 0));
        for number in 0..3 {
            assert!(limiter.charge(client(number), 1, 0).admitted);
        }
        assert_eq!(told(0), (3, 3, 0));
        assert_eq!(told(second), (0, 3, 0), "all have passed");
        for number in 3..5 {
            assert!(limiter.charge(client(number), 1, 0).admitted);
        }
        assert_eq!(told(second), (2, 5, 2), "two owners lost what they owed");
        assert_eq!(limiter.limits(), limits);
    }

    #[test]
    fn p7_only_another_ip_limit_needs_a_handover() {
        let limits = Limits {
            ip_limit: 3,
            event_limit: 1,
            burst_multiplier: 2,
        };
        let limiter = RateLimiter::new(limits);
        assert!(!limiter.in_handover());
        let same = limiter.reconfigured(Limits {
            event_limit: 9,
            ..limits
        });
        assert!(!same.in_handover());
        assert!(Arc::ptr_eq(&same.table, &limiter.table));
        let other = limiter.reconfigured(Limits {
            ip_limit: 4,
            ..limits
        });
        assert!(other.in_handover());
        assert!(!other.complete_handover().in_handover());
    }

    /// A limiter with other limits, its counters taken over.
    fn with(limiter: &RateLimiter, limits: Limits) -> RateLimiter {
        limiter.reconfigured(limits).complete_handover()
    }

    proptest! {
        /// Of one counter, in every window, by the highest rate and the largest tolerance that were in force in it.
        #[test]
        fn p7_holds_for_one_counter_under_any_sequence_of_limits(
            steps in prop::collection::vec((1..20u32, 1..5u32, prop::collection::vec((0..3_000_000_000u64, 1..40u64), 0..8)), 1..12),
        ) {
            let mut limiter = RateLimiter::new(Limits { ip_limit: 1, event_limit: 1, burst_multiplier: 1 });
            let (mut now, mut admitted) = (0, Vec::new());
            for (event_limit, burst_multiplier, calls) in steps {
                limiter = with(&limiter, Limits { ip_limit: 1, event_limit, burst_multiplier });
                for (later, n) in calls {
                    now += later;
                    if limiter.charge(client(1), n, now).admitted {
                        admitted.push((now, n, u64::from(event_limit), u64::from(burst_multiplier)));
                    }
                }
            }
            for (first, window) in (0..admitted.len()).map(|first| (first, &admitted[first..])) {
                let (mut events, mut rate, mut multiplier) = (0, 0, 0);
                for &(at, n, event_limit, burst_multiplier) in window {
                    (events, rate, multiplier) = (events + n, rate.max(event_limit), multiplier.max(burst_multiplier));
                    let seconds = u128::from(at - admitted[first].0 + 1) + u128::from(multiplier) * 1_000_000_000;
                    prop_assert!(u128::from(events) * 1_000_000_000 <= u128::from(rate) * seconds);
                }
            }
        }
    }

    #[test]
    fn p7_limits_that_change_to_and_fro_cost_nobody_anything() {
        let small = Limits {
            ip_limit: 3,
            event_limit: 10,
            burst_multiplier: 1,
        };
        let large = Limits {
            ip_limit: 7,
            event_limit: 10,
            burst_multiplier: 5,
        };
        let mut limiter = RateLimiter::new(large);
        assert_eq!(limiter.charge(client(1), 43, 0).rate.remaining(), 7);
        for _ in 0..100 {
            limiter = with(&limiter, small);
            assert_eq!(limiter.charge(client(1), 0, 0).rate.remaining(), 7);
            limiter = with(&limiter, large);
            assert_eq!(limiter.charge(client(1), 0, 0).rate.remaining(), 7);
        }
        assert!(limiter.charge(client(1), 7, 0).admitted);
        assert!(!limiter.charge(client(1), 1, 0).admitted);
        limiter = with(&limiter, small);
        let verdict = limiter.charge(client(1), 1, 0);
        assert_eq!(verdict.rate.retry_after_ns, Some(100_000_000));
        assert_eq!(verdict.rate.now_ns(), 0);
        assert_eq!(verdict.rate.tat_ns(), 1_000_000_000);
    }
}
