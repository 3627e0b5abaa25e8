//! The engine: what a request goes through, in order.
//!
//! Authorization header -> credential -> authentication; then, for anonymous clients, peer and headers -> client key
//! -> counter; then the route and authorization. [`Engine::check`] is that way in one call, [`Client`] in steps.
//!
//! # Invariants
//!
//! - Each decision is made under one snapshot of the configuration.
//! - No allocation, lock or system call on the way of a request.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex};

use crate::client::{Client, Identity, Proof};
use crate::config::ConfigError;
use crate::credential;
use crate::credential::api_key::{ApiKeys, Pool};
use crate::decide::Decide;
use crate::decision::Decision;
use crate::in_force::{InForce, Lent};
use crate::ratelimit::{Clock, RateLimiter};
use crate::reason::Reason;
use crate::refusals::{Refusal, Refusals, ShortText};
use crate::reload::Origin;
use crate::reload_history::ReloadHistory;
use crate::request::{Asked, Incoming, Question, Request, Resource};
use crate::rum_cors::RumCors;
use crate::snapshot::Snapshot;
use crate::stats::{Counters, Stats};
use crate::stripe::Stripe;

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
    pub(crate) snapshot: InForce<Snapshot>,
    pub(crate) counters: Counters,
    refusals: Refusals,
    pub(crate) history: ReloadHistory,
    clock: Clock,
    /// Reloads are made one after another; decisions never come here.
    pub(crate) origin: Mutex<Origin>,
    /// Threads for verifications that are started and not waited for.
    pub(crate) pool: Pool,
    number: u64,
}

impl Engine {
    /// An engine with this configuration, which is valid.
    pub(crate) fn with_origin(origin: Origin) -> Result<Self, ConfigError> {
        let api_keys = ApiKeys::new(&origin.config.api_key)?;
        let limiter = RateLimiter::new(Snapshot::limits(&origin.config));
        let snapshot = Snapshot::new(&origin.config, limiter, api_keys, None);
        Ok(Self {
            snapshot: InForce::new(snapshot),
            counters: Counters::new(),
            refusals: Refusals::new(),
            history: ReloadHistory::new(),
            clock: Clock::new(),
            origin: Mutex::new(origin),
            pool: Pool::default(),
            // Hashers of the standard library have random keys.
            number: RandomState::new().build_hasher().finish(),
        })
    }

    /// A random number that tells this engine apart from every other, also from those that are gone: for bindings whose clients may
    /// outlive their engine.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
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
        self.check_incoming(request, question, now, |decision| *decision)
    }

    /// As [`Engine::check`], for bindings. `answer` makes of the decision what the binding has in its place, so that it has to be written
    /// only once. It is run while the snapshot is lent, so it must neither wait nor reload.
    #[doc(hidden)]
    #[inline]
    pub fn check_incoming<'a, R>(
        &self,
        request: &impl Incoming,
        question: &impl Asked<'a>,
        now: Option<u64>,
        answer: impl FnOnce(&Decision) -> R,
    ) -> R {
        let snapshot = self.snapshot.load();
        let identity = snapshot.identify(request, || self.now(now));
        answer(&self.ask(&snapshot, identity, question, now, || {
            Presented::Now(request)
        }))
    }

    /// Decides about a client that is identified under this snapshot, and concludes that. `presented` says where the credential is,
    /// for the record of a refusal.
    #[inline(always)]
    pub(crate) fn ask<'a, I: Incoming>(
        &self,
        snapshot: &Lent<'_, Snapshot>,
        identity: Identity,
        question: &impl Asked<'a>,
        now: Option<u64>,
        presented: impl FnOnce() -> Presented<I>,
    ) -> Decision {
        let decide = Decide {
            snapshot,
            identity,
            action: question.action(),
        };
        let mut clock_read = None;
        let decision = decide.question(question, |client, cost| {
            let clock = || self.timed(now, &mut clock_read);
            snapshot.limiter.charge_when(client, cost, clock)
        });
        let about = || (question.resource(), presented());
        self.conclude(snapshot.stripe(), &decision, about, clock_read);
        decision
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
        let snapshot = self.snapshot.load();
        let identity = snapshot.identify(request, || self.now(now));
        self.identified(snapshot.stripe(), request, identity)
    }

    /// What a server asks before it reads a body, in one call, for bindings: [`Engine::authenticate_at`] and [`Client::check`]. About a
    /// client that was not let in there is no further question: the decision is that of the authentication. `answer`: as for
    /// [`Engine::check_incoming`].
    #[doc(hidden)]
    #[inline]
    pub fn enter<'e, R>(
        &'e self,
        request: &Request<'_>,
        question: &Question<'_>,
        now: Option<u64>,
        answer: impl FnOnce(&Client<'e>, &Decision) -> R,
    ) -> R {
        let snapshot = self.snapshot.load();
        let identity = snapshot.identify(request, || self.now(now));
        let client = self.identified(snapshot.stripe(), request, identity);
        if identity.reason != Reason::Allowed {
            return answer(&client, &client.decision());
        }
        let identity = client.identity();
        let decision = self.ask(&snapshot, identity, question, now, || {
            Presented::<&Request<'_>>::Before(identity)
        });
        answer(&client, &decision)
    }

    /// Concludes an authentication.
    pub(crate) fn identified(
        &self,
        stripe: Stripe,
        request: &impl Incoming,
        identity: Identity,
    ) -> Client<'_> {
        let client = self.client(identity.with_key_id(request));
        let about = || (Resource::default(), Presented::Now(request));
        self.conclude(stripe, &client.decision(), about, None);
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
        let snapshot = self.snapshot.full();
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

    /// The cross-origin rules of the RUM routes that are in force, for servers that talk to browsers.
    #[must_use]
    pub fn rum_cors(&self) -> Arc<RumCors> {
        Arc::clone(&self.snapshot.full().rum_cors)
    }

    /// Takes the tokens of one of two comparisons with as many, in a way that tells nothing of which, for the measurements in `benches`.
    /// Not part of the interface.
    #[cfg(feature = "measuring")]
    #[doc(hidden)]
    pub fn measure_with_either(&self, options: [&crate::TokenComparison; 2], second: bool) {
        let _one_at_a_time = self.origin();
        let tokens = crate::TokenComparison::either(options, second);
        let next = self.snapshot.full().with_tokens(tokens);
        self.snapshot.store(next.into());
    }

    /// Counts a decision that this thread made, and records it if it refuses. `about` is asked only then. `clock_read`: what the
    /// engine's clock showed just now, if it was read.
    #[inline(always)]
    pub(crate) fn conclude<'a, I: Incoming>(
        &self,
        stripe: Stripe,
        decision: &Decision,
        about: impl FnOnce() -> (Resource<'a>, Presented<I>),
        clock_read: Option<u64>,
    ) {
        // Pending is no refusal: the same request is asked about again.
        if !matches!(decision.reason, Reason::Allowed | Reason::Pending) {
            let (resource, presented) = about();
            // A copy: a decision whose address is given away can't stay in registers, on no way.
            self.record(&{ *decision }, &resource, &presented, clock_read);
        }
        self.counters.count(stripe, decision);
    }

    #[inline(never)]
    fn record(
        &self,
        decision: &Decision,
        resource: &Resource<'_>,
        presented: &Presented<impl Incoming>,
        clock_read: Option<u64>,
    ) {
        self.refusals.record(
            decision,
            *resource,
            || presented.key_id(),
            clock_read.unwrap_or_else(|| self.clock.now()),
        );
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

/// Where the credential is that a decision is about.
pub(crate) enum Presented<I> {
    /// In the request.
    Now(I),
    /// In one that was identified before.
    Before(Identity),
}

impl<I: Incoming> Presented<I> {
    /// The id of the API key, for the record of a refusal.
    fn key_id(&self) -> Option<ShortText> {
        match self {
            Self::Now(request) => credential::claimed_key_id(request.authorization()),
            Self::Before(identity) => match &identity.proof {
                Proof::ApiKey(id) => Some(id.text()),
                Proof::Token(_) | Proof::Nothing => None,
            },
        }
    }
}
