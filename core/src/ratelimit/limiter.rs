//! Client key in, verdict out: the hash, the counters and GCRA put together.
//!
//! Invariant: a [`RateLimiter`] is immutable but for its counters; other limits make another limiter on the same
//! counters, or on a table that takes them over.

use std::sync::Arc;

use super::gcra::{Conformance, Gcra};
use super::hash::KeyHasher;
use super::table::{Batch, Charge, Table};
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
pub struct RateLimiter {
    limits: Limits,
    gcra: Gcra,
    hasher: KeyHasher,
    table: Arc<Table>,
    /// The table that `table` replaces, until the handover is complete.
    previous: Option<Arc<Table>>,
}

/// What the rate limit says of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the batch was charged (or, for a peek, whether the next event would fit now).
    pub admitted: bool,
    /// What remains, and when there is room.
    pub rate: Rate,
}

impl RateLimiter {
    /// A limiter with all counters unused. Allocates 24 bytes a counter, once.
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
        self.reserve(client, n, 0, now)
    }

    /// As [`RateLimiter::charge`], but also charges a batch that conforms within `max_wait_ns` nanoseconds. The caller must
    /// then wait [`Rate::wait_ns`] before it accepts the batch.
    #[inline]
    pub fn reserve(&self, client: ClientKey, n: u64, max_wait_ns: u64, now: u64) -> Verdict {
        let batch = Batch {
            hash: self.hasher.hash(client),
            // What never fits must not take over a counter either; a peek tells what there is to tell.
            n: if n <= self.gcra.burst() { n } else { 0 },
            now,
            max_wait: max_wait_ns,
        };
        let Charge { conformance, tat } =
            self.table
                .charge(&batch, &self.gcra, self.previous.as_deref());
        self.verdict(
            if batch.n == 0 {
                self.peek(tat, n, now)
            } else {
                conformance
            },
            tat,
            now,
        )
    }

    /// What a peek says: whether the next event would fit, or that `n` never will.
    #[cold]
    fn peek(&self, tat: u64, n: u64, now: u64) -> Conformance {
        match self.gcra.conform(tat, now, n.max(1), 0) {
            Conformance::Conforming { .. } => Conformance::Conforming { tat, wait: 0 },
            other => other,
        }
    }

    #[inline]
    fn verdict(&self, conformance: Conformance, tat: u64, now: u64) -> Verdict {
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
                now,
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
        self.table.live(now)
    }

    /// How many times a client lost a counter whose TAT still lay ahead, since the table was made.
    #[must_use]
    pub fn displaced(&self) -> u64 {
        self.table.displaced()
    }

    /// How many times a counter got a new owner, since the table was made.
    #[must_use]
    pub fn claims(&self) -> u64 {
        self.table.claims()
    }

    /// A limiter with other limits that goes on with the counters of this one (P7). Where [`RateLimiter::in_handover`]
    /// says so, call [`RateLimiter::complete_handover`] after it has replaced this one everywhere, and only then
    /// reconfigure again.
    pub(crate) fn reconfigured(&self, limits: Limits) -> Self {
        // With the same multiplier TATs keep their meaning: a counter's room is tolerance minus its distance from now,
        // and the tolerance is `burst_multiplier` seconds whatever the rate. A larger multiplier would open room: so much is
        // added to every TAT. With a smaller one, who owes more than the new burst waits for it.
        let shift = gcra(limits)
            .tolerance()
            .saturating_sub(self.gcra.tolerance());
        let keep = limits.ip_limit == self.limits.ip_limit && shift == 0;
        let (table, previous) = if keep {
            (Arc::clone(&self.table), None)
        } else {
            let table = Table::replacing(&self.table, limits.ip_limit as usize, shift);
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
