//! A client that was identified: its identity as a plain value, and the steps that are asked about it.
//!
//! Invariant: each step is decided under the configuration that is in force then, which may refuse a client that an earlier one
//! let in.

use std::time::Duration;

use crate::client_ip::ClientKey;
use crate::credential::api_key::Privileges;
use crate::credential::{self, KeyId, TokenId};
use crate::decide::Decide;
use crate::decision::{Action, Decision};
use crate::engine::{Engine, Presented};
use crate::reason::{Method, Reason};
use crate::request::{Incoming, Question, Request, Resource};

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
    /// By what it was identified.
    pub(crate) proof: Proof,
}

/// By what a client was identified, as far as later decisions and records have a use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing that matters later.
    Nothing,
    /// This secret token, which a reload may take away.
    Token(TokenId),
    /// The API key of this id.
    ApiKey(KeyId),
}

// Identities are copied on the way of each decision.
const _: () = assert!(size_of::<Proof>() <= 24);

impl Identity {
    /// Nobody was identified, and nobody asked.
    #[doc(hidden)]
    pub const NOBODY: Self = Self {
        method: None,
        reason: Reason::MissingCredential,
        privileges: Privileges::NONE,
        client: ClientKey::UNSPECIFIED,
        generation: 0,
        proof: Proof::Nothing,
    };

    /// The same, with the id of the API key that the request presents: for the records of what is decided about it later.
    pub(crate) fn with_key_id(self, request: &impl Incoming) -> Self {
        if self.method != Some(Method::ApiKey) {
            return self;
        }
        let id = credential::claimed_key_id(request.authorization());
        Self {
            proof: id.map_or(self.proof, |id| Proof::ApiKey(KeyId::new(&id))),
            ..self
        }
    }

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

/// A client that was identified, for servers that decide in steps: authorize each stream, admit each batch.
///
/// Each call is decided under the configuration that is in force then.
#[derive(Clone, Copy)]
pub struct Client<'e> {
    engine: &'e Engine,
    identity: Identity,
}

impl<'e> Client<'e> {
    pub(crate) fn new(engine: &'e Engine, identity: Identity) -> Self {
        Self { engine, identity }
    }

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
    pub fn check(&self, question: &Question<'_>, now: Option<u64>) -> Decision {
        self.check_presented(question, now, || self.asked_about())
    }

    /// As [`Client::check`]; `presented` says where the credential is, for the record of a refusal.
    #[inline]
    pub(crate) fn check_presented<I: Incoming>(
        &self,
        question: &Question<'_>,
        now: Option<u64>,
        presented: impl FnOnce() -> Presented<I>,
    ) -> Decision {
        let snapshot = self.engine.snapshot.load();
        let identity = snapshot.confirm(self.identity);
        self.engine
            .ask(&snapshot, identity, question, now, presented)
    }

    /// Whether RUM routes are open: 403 while `apm-server.rum.enabled` is false.
    pub fn rum_route(&self) -> Decision {
        self.decide(Action::Ingest, Resource::default(), |decide| {
            decide.identified(|| decide.snapshot.rum_route())
        })
    }

    /// Whether the client may do this on behalf of this agent and service. Charges nothing.
    pub fn authorize(&self, action: Action, resource: Resource<'_>) -> Decision {
        self.decide(action, resource, |decide| {
            decide.identified(|| {
                decide
                    .snapshot
                    .authorize(&decide.identity, action, resource)
            })
        })
    }

    /// Charges a batch of `n` events, if the client is anonymous. `n` = 0 is a peek: it charges nothing and tells what remains.
    pub fn admit(&self, n: u64, now: Option<u64>) -> Decision {
        self.reserve(n, Duration::ZERO, now)
    }

    /// As [`Client::admit`], but also charges a batch that will fit within `max_wait`. The caller must then sleep
    /// [`Rate::wait_ns`](crate::Rate::wait_ns) before it accepts the batch.
    pub fn reserve(&self, n: u64, max_wait: Duration, now: Option<u64>) -> Decision {
        let max_wait = u64::try_from(max_wait.as_nanos()).unwrap_or(u64::MAX);
        self.decide(Action::Ingest, Resource::default(), |decide| {
            decide.admission(n, |client, n| {
                let clock = || self.engine.now(now);
                let limiter = &decide.snapshot.limiter;
                limiter.reserve_when(client, n, max_wait, clock)
            })
        })
    }

    fn decide(
        &self,
        action: Action,
        resource: Resource<'_>,
        ask: impl FnOnce(&Decide<'_>) -> Decision,
    ) -> Decision {
        let snapshot = self.engine.snapshot.load();
        let decide = Decide {
            snapshot: &snapshot,
            identity: snapshot.confirm(self.identity),
            action,
        };
        let decision = ask(&decide);
        self.engine.conclude(
            snapshot.stripe(),
            &decision,
            || (resource, self.asked_about()),
            None,
        );
        decision
    }

    /// A step is about a client, whose request is gone.
    fn asked_about(&self) -> Presented<Request<'_>> {
        Presented::Before(self.identity)
    }
}
