//! The engine: what a request goes through, in order.
//!
//! Authorization header -> credential -> authentication; then, for anonymous clients, peer and headers -> client key
//! -> counter; then the route and authorization. [`Engine::check`] is that way in one call, [`Client`] in steps.
//!
//! # Invariants
//!
//! - Each decision is made under one snapshot of the configuration.
//! - No allocation, lock or system call on the way of a request.

use std::sync::Mutex;

use arc_swap::ArcSwap;

use crate::client::{Client, Identity};
use crate::config::ConfigError;
use crate::credential;
use crate::credential::api_key::{ApiKeys, Pool};
use crate::decide::Decide;
use crate::decision::Decision;
use crate::ratelimit::{Clock, RateLimiter};
use crate::reason::Reason;
use crate::refusals::{Refusal, Refusals};
use crate::reload::Origin;
use crate::reload_history::ReloadHistory;
use crate::request::{Incoming, Question, Request, Resource};
use crate::snapshot::Snapshot;
use crate::stats::{Counters, Stats};

/// Decides who gets in. Share one by reference (or `Arc`) among all threads.
///
/// ```
/// use tollbar::{Engine, Question, Request, Resource};
///
/// # fn main() -> Result<(), tollbar::config::ConfigError> {
/// let engine = Engine::from_yaml("
/// apm-server:
///   auth:
///     secret_token: correct-horse-battery-staple
///     anonymous: {enabled: true, allow_service: [shop]}
/// ")?;
/// let browser = Request::from_peer([203, 0, 113, 9].into());
/// let shop = Resource { agent: Some("rum-js"), service: Some("shop") };
/// let event = Question { resource: shop, ..Question::default() };
/// assert!(engine.check(&browser, &event, None).allowed());
///
/// let backend = Request { authorization: Some(b"Bearer wrong"), ..browser };
/// assert_eq!(engine.check(&backend, &event, None).http_status(), 401);
/// # Ok(())
/// # }
/// ```
pub struct Engine {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) counters: Counters,
    refusals: Refusals,
    pub(crate) history: ReloadHistory,
    clock: Clock,
    /// Reloads are made one after another; decisions never come here.
    pub(crate) origin: Mutex<Origin>,
    /// Threads for verifications that are started and not waited for.
    pub(crate) pool: Pool,
}

impl Engine {
    /// An engine with this configuration, which is valid.
    pub(crate) fn with_origin(origin: Origin) -> Result<Self, ConfigError> {
        let api_keys = ApiKeys::new(&origin.config.api_key)?;
        let limiter = RateLimiter::new(Snapshot::limits(&origin.config));
        let snapshot = Snapshot::new(&origin.config, limiter, api_keys, None);
        Ok(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            counters: Counters::new(),
            refusals: Refusals::new(),
            history: ReloadHistory::new(),
            clock: Clock::new(),
            origin: Mutex::new(origin),
            pool: Pool::default(),
        })
    }

    /// Decides a whole request: authentication; if anonymous, the charge of `question.cost` events; with `question.rum`,
    /// whether RUM routes are open; authorization.
    ///
    /// An API key that has to be verified first is [`Reason::Pending`]: this call never blocks. Then ask
    /// [`Engine::check_blocking`], or [`Engine::start_verification`].
    ///
    /// `now` is in nanoseconds of the caller's monotonic clock, always the same one; `None`: the engine's own.
    pub fn check(
        &self,
        request: &Request<'_>,
        question: &Question<'_>,
        now: Option<u64>,
    ) -> Decision {
        self.check_incoming(request, question, now)
    }

    /// As [`Engine::check`], for bindings.
    #[doc(hidden)]
    #[inline]
    pub fn check_incoming(
        &self,
        request: &impl Incoming,
        question: &Question<'_>,
        now: Option<u64>,
    ) -> Decision {
        let snapshot = self.snapshot.load();
        let decide = Decide {
            snapshot: &snapshot,
            identity: snapshot.identify(request, || self.now(now)),
            action: question.action,
        };
        let mut clock_read = None;
        let decision = decide.question(question, |client, cost| {
            let now = self.timed(now, &mut clock_read);
            snapshot.limiter.charge(client, cost, now)
        });
        self.conclude(decision, question.resource, Some(request), clock_read)
    }

    /// Identifies a client, for a server that decides the rest in steps. Charges nothing. Never fails: a client that was
    /// refused answers every later question with that refusal.
    pub fn authenticate(&self, request: &Request<'_>) -> Client<'_> {
        self.authenticate_at(request, None)
    }

    /// As [`Engine::authenticate`], for engines that are given their time by the caller: verdicts on API keys end by it.
    pub fn authenticate_at(&self, request: &Request<'_>, now: Option<u64>) -> Client<'_> {
        self.authenticate_incoming(request, now)
    }

    /// As [`Engine::authenticate_at`], for bindings.
    #[doc(hidden)]
    #[inline]
    pub fn authenticate_incoming(&self, request: &impl Incoming, now: Option<u64>) -> Client<'_> {
        let identity = self.snapshot.load().identify(request, || self.now(now));
        self.identified(request, identity)
    }

    /// Concludes an authentication.
    pub(crate) fn identified(&self, request: &impl Incoming, identity: Identity) -> Client<'_> {
        let client = self.client(identity);
        let _ = self.conclude(client.decision(), Resource::default(), Some(request), None);
        client
    }

    /// The client that was identified so before.
    pub fn client(&self, identity: Identity) -> Client<'_> {
        Client::new(self, identity)
    }

    /// The recent refusals, oldest first: the last 64 of each reason. Of a flood, what is beyond 32 a second is left out
    /// ([`Stats::refusals_not_recorded`]). Reading takes nothing away; safe from any thread, but not meant for the way of a request.
    #[must_use]
    pub fn recent_refusals(&self) -> Vec<Refusal> {
        self.refusals.recent()
    }

    /// The statistics of this moment. Reads the whole counter table: milliseconds for a million counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats_at(None)
    }

    /// As [`Engine::stats`], for engines that are given their time by the caller.
    #[must_use]
    pub fn stats_at(&self, now: Option<u64>) -> Stats {
        let snapshot = self.snapshot.load();
        let refused = self.counters.refused();
        let refusals_not_recorded = refused
            .iter()
            .filter(|&&(reason, _)| reason != Reason::Pending)
            // The two are counted one after the other, so a refusal on its way may be in one of them only.
            .map(|&(reason, n)| n.saturating_sub(self.refusals.recorded(reason)))
            .sum();
        Stats {
            generation: snapshot.generation,
            reload_errors: self
                .counters
                .reload_errors
                .load(std::sync::atomic::Ordering::Relaxed),
            allowed: self.counters.allowed(),
            refused,
            refusals_not_recorded,
            reloads: self.history.all(),
            ip_limit: snapshot.limiter.limits().ip_limit,
            live_counters: snapshot.limiter.live(self.now(now)) as u64,
            claimed_counters: snapshot.limiter.claims(),
            displaced_clients: snapshot.limiter.displaced(),
            api_keys: snapshot.api_keys.stats(),
        }
    }

    /// Counts a decision, records it if it refuses, and gives it back. `clock_read`: what the engine's clock showed just now,
    /// if it was read.
    #[inline]
    pub(crate) fn conclude(
        &self,
        decision: Decision,
        resource: Resource<'_>,
        request: Option<&impl Incoming>,
        clock_read: Option<u64>,
    ) -> Decision {
        // Pending is no refusal: the same request is asked about again.
        if !matches!(decision.reason, Reason::Allowed | Reason::Pending) {
            self.refusals.record(
                &decision,
                resource,
                || credential::claimed_key_id(request?.authorization()),
                clock_read.unwrap_or_else(|| self.clock.now()),
            );
        }
        self.counters.count(decision)
    }

    /// The time, and a note of it if the engine's clock was read.
    #[inline]
    pub(crate) fn timed(&self, now: Option<u64>, clock_read: &mut Option<u64>) -> u64 {
        let at = self.now(now);
        *clock_read = now.is_none().then_some(at);
        at
    }

    #[inline]
    pub(crate) fn now(&self, now: Option<u64>) -> u64 {
        now.unwrap_or_else(|| self.clock.now())
    }
}
