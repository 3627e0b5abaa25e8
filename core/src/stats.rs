//! What the engine counts: decisions by outcome, reloads, and how full the table is.
//!
//! Invariant: counting costs one relaxed addition on memory that threads rarely share, and never blocks; none is lost. Nothing here
//! holds a name, a key or a secret.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::credential::api_key::VerificationStats;
use crate::decision::Decision;
use crate::reason::{METHODS, Method, REASONS, Reason};
use crate::reload_history::Reload;
use crate::stripe::{STRIPES, Stripe};

/// A counter for each reason, and one for each method of those that were allowed.
const COUNTERS: usize = REASONS.len() + METHODS.len();

/// The counters of decisions, striped by thread.
pub(crate) struct Counters {
    stripes: [CachePadded<[AtomicU64; COUNTERS]>; STRIPES],
    pub(crate) reload_errors: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            stripes: std::array::from_fn(|_| {
                CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)))
            }),
            reload_errors: AtomicU64::new(0),
        }
    }

    /// Counts a decision of the thread that has this stripe.
    #[inline]
    pub(crate) fn count(&self, stripe: Stripe, decision: &Decision) {
        let index = match (decision.reason, decision.method) {
            (Reason::Allowed, Some(method)) => REASONS.len() + method.index(),
            (reason, _) => reason.index(),
        };
        self.add(stripe, index, 1);
    }

    /// Counts `n` decisions that allowed.
    #[inline]
    pub(crate) fn count_allowed(&self, stripe: Stripe, method: Method, n: u64) {
        self.add(stripe, REASONS.len() + method.index(), n);
    }

    #[inline]
    fn add(&self, stripe: Stripe, index: usize, n: u64) {
        let counter = &self.stripes[stripe.number()][index];
        // Relaxed: a statistic; nothing is ordered by it.
        if stripe.is_own() {
            // No other thread writes here, so nothing is lost between both, and it costs a third of an addition that is
            // atomic as a whole.
            counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        } else {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    fn sum(&self, index: usize) -> u64 {
        // Relaxed: a statistic.
        self.stripes
            .iter()
            .map(|stripe| stripe[index].load(Ordering::Relaxed))
            .sum()
    }

    /// Decisions that allowed, by method.
    pub(crate) fn allowed(&self) -> Vec<(Method, u64)> {
        METHODS
            .into_iter()
            .map(|method| (method, self.sum(REASONS.len() + method.index())))
            .collect()
    }

    /// Decisions that refused, by reason.
    pub(crate) fn refused(&self) -> Vec<(Reason, u64)> {
        REASONS
            .into_iter()
            .filter(|&reason| reason != Reason::Allowed)
            .map(|reason| (reason, self.sum(reason.index())))
            .collect()
    }
}

/// The engine's statistics at one moment. Counters are totals since the engine was made, unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of the configuration in force: 1 at start, one more at each reload.
    pub generation: u64,
    /// Reloads that were refused; the configuration before stayed in force.
    pub reload_errors: u64,
    /// Decisions that allowed, by method. Every answer counts: a request, an authorization, a batch.
    pub allowed: Vec<(Method, u64)>,
    /// Decisions that refused, by reason.
    pub refused: Vec<(Reason, u64)>,
    /// Refusals that came too fast to be recorded one by one ([`Engine::recent_refusals`](crate::Engine::recent_refusals)).
    /// They are counted in `refused` all the same.
    pub refusals_not_recorded: u64,
    /// The last 32 reloads, oldest first: what changed, or why it was refused.
    pub reloads: Vec<Reload>,
    /// How many clients can have a counter of their own.
    pub ip_limit: u32,
    /// Counters whose client could not send a full burst at this moment.
    pub live_counters: u64,
    /// How often a counter got a new owner. Starts anew when `ip_limit` changes.
    pub claimed_counters: u64,
    /// How often that displaced a client whose counter was live: if this grows, `ip_limit` is too small or somebody is
    /// flooding. Starts anew when `ip_limit` changes.
    pub displaced_clients: u64,
    /// How the verification of API keys has gone.
    pub api_keys: VerificationStats,
}
