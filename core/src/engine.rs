//! The engine: what a request goes through, in order.
//!
//! Authorization header -> credential -> authentication; then, for anonymous clients, peer and headers -> client key
//! -> counter; then the route and authorization. [`Engine::check`] is that way in one call, [`Client`] in steps.
//!
//! # Invariants
//!
//! - Each decision is made under one snapshot of the configuration.
//! - No allocation, lock or system call on the way of a request.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::client_ip::{ClientKey, Headers};
use crate::config::ConfigError;
use crate::credential::api_key::{ApiKeys, Pool, Privileges};
use crate::credential::{self, TokenId};
use crate::decision::{Action, Decision, Method, Rate, Reason};
use crate::ratelimit::{Clock, RateLimiter, Verdict};
use crate::refusals::{Refusal, Refusals};
use crate::reload::Origin;
use crate::reload_history::ReloadHistory;
use crate::snapshot::Snapshot;
use crate::stats::{Counters, Stats};

/// What there is to know of a request before its body is read.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The value of the first `Authorization` header. `None`: it is looked up among `headers`.
    pub authorization: Option<&'a [u8]>,
    /// The address of the socket's peer.
    pub peer: IpAddr,
    /// The request's headers; those that name the client's address are read if the peer is a trusted proxy.
    pub headers: Headers<'a>,
}

impl<'a> Request<'a> {
    /// A request from this address, with no credential and no headers.
    #[must_use]
    pub fn from_peer(peer: IpAddr) -> Self {
        Self {
            authorization: None,
            peer,
            headers: &[],
        }
    }

    #[inline]
    pub(crate) fn authorization(&self) -> Option<&'a [u8]> {
        self.authorization.or_else(|| {
            self.headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(b"authorization"))
                .map(|&(_, value)| value)
        })
    }
}

/// What the events are about, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The agent's name, such as `rum-js`.
    pub agent: Option<&'a str>,
    /// The service's name.
    pub service: Option<&'a str>,
}

/// The outcome of authentication: a plain value to keep, and to make a [`Client`] of again ([`Engine::client`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How the client was identified; `None` if it was refused.
    pub method: Option<Method>,
    /// [`Reason::Allowed`], or why it was refused.
    pub reason: Reason,
    /// What it may do, where the method is an API key; all for those who are not restricted.
    pub privileges: Privileges,
    /// Whom the rate limit counts.
    pub client: ClientKey,
    /// The configuration's number under which it was identified.
    pub generation: u64,
    /// Which secret token it was.
    pub(crate) token: Option<TokenId>,
}

impl Identity {
    pub(crate) fn identified(self, method: Method, privileges: Privileges) -> Self {
        Self {
            method: Some(method),
            privileges,
            reason: Reason::Allowed,
            ..self
        }
    }

    pub(crate) fn refused(self, reason: Reason) -> Self {
        Self {
            method: None,
            privileges: Privileges::NONE,
            reason,
            ..self
        }
    }
}

/// Decides who gets in. Share one by reference (or `Arc`) among all threads.
///
/// ```
/// use tollbar::{Action, Engine, Request, Resource};
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
/// assert!(engine.check(&browser, Action::Ingest, shop, false, 1, None).allowed());
///
/// let backend = Request { authorization: Some(b"Bearer wrong"), ..browser };
/// assert_eq!(engine.check(&backend, Action::Ingest, shop, false, 1, None).http_status(), 401);
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

    /// Decides a whole request: authentication; if anonymous, the charge of `cost` events; with `rum`, whether RUM routes
    /// are open; authorization.
    ///
    /// An API key that has to be verified first is [`Reason::Pending`]: this call never blocks. Then ask
    /// [`Engine::check_blocking`], or [`Engine::start_verification`].
    ///
    /// `cost` = 0 charges nothing. `now` is in nanoseconds of the caller's monotonic clock, always the same one;
    /// `None`: the engine's own.
    pub fn check(
        &self,
        request: &Request<'_>,
        action: Action,
        resource: Resource<'_>,
        rum: bool,
        cost: u64,
        now: Option<u64>,
    ) -> Decision {
        let snapshot = self.snapshot.load();
        let decide = Decide {
            snapshot: &snapshot,
            identity: snapshot.identify(request, || self.now(now)),
            action,
        };
        let mut clock_read = None;
        let decision = decide.request(resource, rum, cost, || self.timed(now, &mut clock_read));
        self.conclude(decision, resource, Some(request), clock_read)
    }

    /// Identifies a client, for a server that decides the rest in steps. Charges nothing. Never fails: a client that was
    /// refused answers every later question with that refusal.
    pub fn authenticate(&self, request: &Request<'_>) -> Client<'_> {
        self.authenticate_at(request, None)
    }

    /// As [`Engine::authenticate`], for engines that are given their time by the caller: verdicts on API keys end by it.
    pub fn authenticate_at(&self, request: &Request<'_>, now: Option<u64>) -> Client<'_> {
        let identity = self.snapshot.load().identify(request, || self.now(now));
        self.identified(request, identity)
    }

    /// Concludes an authentication.
    pub(crate) fn identified(&self, request: &Request<'_>, identity: Identity) -> Client<'_> {
        let client = self.client(identity);
        let _ = self.conclude(client.decision(), Resource::default(), Some(request), None);
        client
    }

    /// The client that was identified so before.
    pub fn client(&self, identity: Identity) -> Client<'_> {
        Client {
            engine: self,
            identity,
        }
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
        request: Option<&Request<'_>>,
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
    fn timed(&self, now: Option<u64>, clock_read: &mut Option<u64>) -> u64 {
        let at = self.now(now);
        *clock_read = now.is_none().then_some(at);
        at
    }

    #[inline]
    pub(crate) fn now(&self, now: Option<u64>) -> u64 {
        now.unwrap_or_else(|| self.clock.now())
    }
}

/// A client that was identified, for servers that decide in steps: authorize each stream, admit each batch.
///
/// Each call is decided under the configuration that is in force then.
#[derive(Clone, Copy)]
pub struct Client<'e> {
    engine: &'e Engine,
    identity: Identity,
}

impl Client<'_> {
    /// What authentication came to: allowed, or 401.
    pub fn decision(&self) -> Decision {
        Decision {
            reason: self.identity.reason,
            action: Action::Ingest,
            method: self.identity.method,
            client: self.identity.client,
            rate: None,
            generation: self.identity.generation,
        }
    }

    /// Who it is, as a value that does not borrow the engine.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The rest of what [`Engine::check`] does, for a client that was identified already.
    pub fn check(
        &self,
        action: Action,
        resource: Resource<'_>,
        rum: bool,
        cost: u64,
        now: Option<u64>,
    ) -> Decision {
        let snapshot = self.engine.snapshot.load();
        let decide = Decide {
            snapshot: &snapshot,
            identity: snapshot.confirm(self.identity),
            action,
        };
        let mut clock_read = None;
        let time = || self.engine.timed(now, &mut clock_read);
        let decision = decide.request(resource, rum, cost, time);
        self.engine.conclude(decision, resource, None, clock_read)
    }

    /// Whether RUM routes are open: 403 while `apm-server.rum.enabled` is false.
    pub fn rum_route(&self) -> Decision {
        self.decide(Action::Ingest, Resource::default(), |snapshot, _| {
            (snapshot.rum_route(), None)
        })
    }

    /// Whether the client may do this on behalf of this agent and service. Charges nothing.
    pub fn authorize(&self, action: Action, resource: Resource<'_>) -> Decision {
        self.decide(action, resource, |snapshot, identity| {
            (snapshot.authorize(identity, action, resource), None)
        })
    }

    /// Charges a batch of `n` events, if the client is anonymous. `n` = 0 is a peek: it charges nothing and tells what remains.
    pub fn admit(&self, n: u64, now: Option<u64>) -> Decision {
        self.reserve(n, Duration::ZERO, now)
    }

    /// As [`Client::admit`], but also charges a batch that will fit within `max_wait`. The caller must then sleep
    /// [`Rate::wait_ns`] before it accepts the batch.
    pub fn reserve(&self, n: u64, max_wait: Duration, now: Option<u64>) -> Decision {
        let max_wait = u64::try_from(max_wait.as_nanos()).unwrap_or(u64::MAX);
        self.decide(Action::Ingest, Resource::default(), |snapshot, identity| {
            if identity.method != Some(Method::Anonymous) {
                return (Reason::Allowed, None);
            }
            let now = self.engine.now(now);
            let verdict = snapshot.limiter.reserve(identity.client, n, max_wait, now);
            (limited(verdict, n), Some(verdict.rate))
        })
    }

    fn decide(
        &self,
        action: Action,
        resource: Resource<'_>,
        ask: impl FnOnce(&Snapshot, &Identity) -> (Reason, Option<Rate>),
    ) -> Decision {
        let snapshot = self.engine.snapshot.load();
        let identity = snapshot.confirm(self.identity);
        let (reason, rate) = match identity.method {
            None => (identity.reason, None),
            Some(_) => ask(&snapshot, &identity),
        };
        let decide = Decide {
            snapshot: &snapshot,
            identity,
            action,
        };
        let decision = decide.refused_or_allowed(reason, rate);
        self.engine.conclude(decision, resource, None, None)
    }
}

/// What a decision about one client is made from.
struct Decide<'s> {
    snapshot: &'s Snapshot,
    identity: Identity,
    action: Action,
}

impl Decide<'_> {
    /// All that comes after authentication.
    #[inline]
    fn request(
        &self,
        resource: Resource<'_>,
        rum: bool,
        cost: u64,
        now: impl FnOnce() -> u64,
    ) -> Decision {
        let identity = &self.identity;
        match identity.method {
            None => self.refused_or_allowed(identity.reason, None),
            Some(Method::Anonymous) => {
                let limiter = &self.snapshot.limiter;
                let verdict = limiter.charge(identity.client, cost, now());
                match limited(verdict, cost) {
                    Reason::Allowed => self.route_and_resource(resource, rum, Some(verdict.rate)),
                    reason => self.refused_or_allowed(reason, Some(verdict.rate)),
                }
            }
            Some(_) => self.route_and_resource(resource, rum, None),
        }
    }

    #[inline]
    fn route_and_resource(
        &self,
        resource: Resource<'_>,
        rum: bool,
        rate: Option<Rate>,
    ) -> Decision {
        let route = if rum {
            self.snapshot.rum_route()
        } else {
            Reason::Allowed
        };
        let reason = match route {
            Reason::Allowed => self
                .snapshot
                .authorize(&self.identity, self.action, resource),
            closed => closed,
        };
        self.refused_or_allowed(reason, rate)
    }

    #[inline]
    fn refused_or_allowed(&self, reason: Reason, rate: Option<Rate>) -> Decision {
        Decision {
            reason,
            action: self.action,
            method: self.identity.method,
            client: self.identity.client,
            rate,
            generation: self.snapshot.generation,
        }
    }
}

/// Why the rate limit refused a batch, if it did. A peek is never refused.
fn limited(verdict: Verdict, n: u64) -> Reason {
    match verdict.rate.retry_after_ns {
        _ if verdict.admitted || n == 0 => Reason::Allowed,
        Some(_) => Reason::RateLimited,
        None => Reason::ExceedsBurst,
    }
}
