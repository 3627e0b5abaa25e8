//! The engine's forms that wait for the verification of an API key. None of them is on the decision path.
//!
//! # Invariants
//!
//! - A client is identified under one configuration: the one in force when it was asked about, even if another one comes
//!   while the key is verified. What it may do is decided under the one in force then, as always.
//! - What waits holds no snapshot: a reload frees the one before.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{Client, Identity};
use crate::config::ConfigError;
use crate::credential::api_key::{ApiKeys, Flight, Outcome, Started, Verifier};
use crate::credential::{self, Credential};
use crate::decision::Decision;
use crate::engine::{Engine, Presented};
use crate::reason::{Method, Reason};
use crate::request::{Incoming as _, Question, Request};
use crate::stripe::Stripe;

impl Engine {
    /// As [`Engine::authenticate`], but never [`Reason::Pending`]: a key that has to be verified is verified now, in this
    /// thread, or this thread waits for another one that verifies it already. It blocks for as long as the verifier
    /// takes, with Elasticsearch at most `api_key.elasticsearch.timeout`.
    pub fn verify(&self, request: &Request<'_>, now: Option<u64>) -> Client<'_> {
        let identity = self.identify_waiting(request, now);
        self.identified(Stripe::of_this_thread(), request, identity)
    }

    /// As [`Engine::check`], but never [`Reason::Pending`]: waits as [`Engine::verify`] does.
    pub fn check_blocking(
        &self,
        request: &Request<'_>,
        question: &Question<'_>,
        now: Option<u64>,
    ) -> Decision {
        let identity = self.identify_waiting(request, now);
        self.client(identity)
            .check_presented(question, now, || Presented::Now(request))
    }

    /// Concludes a verification that was started: counts what it came to, and records it if the client was refused, as
    /// [`Engine::verify`] does of itself. Once for each request.
    pub fn verified(&self, request: &Request<'_>, identity: Identity) -> Client<'_> {
        self.identified(Stripe::of_this_thread(), request, identity)
    }

    /// `apm-server.auth.api_key.elasticsearch.timeout`: how long a verification may take. Callers who wait should not wait longer.
    #[must_use]
    pub fn verification_timeout(&self) -> Duration {
        self.snapshot.full().api_keys.timeout()
    }

    /// Starts to verify the API key of this request in a thread of the engine's, for callers that must not block (an event
    /// loop). There is nothing to wait for if the request needs no verification. Then go on with [`Engine::verified`]:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tollbar::{Engine, Question, Request};
    /// # fn main() -> Result<(), tollbar::config::ConfigError> {
    /// # let engine = Engine::from_yaml("apm-server.auth.secret_token: abcdefgh")?;
    /// # let request = Request::from_peer([203, 0, 113, 9].into());
    /// let verification = engine.start_verification(&request, None);
    /// if let Some(identity) = verification.wait_for(Duration::from_secs(5)) {
    ///     let decision = engine.verified(&request, identity).check(&Question::default(), None);
    /// #   assert!(!decision.allowed());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_verification(&self, request: &Request<'_>, now: Option<u64>) -> Verification {
        match self.identify_or_key(request, now) {
            Identified::Already(identity) => Verification {
                identity,
                flight: None,
            },
            Identified::Pending {
                identity,
                key,
                keys,
                now,
            } => match keys.start(key, identity.client, now, &self.pool) {
                Started::Decided(outcome) => Verification {
                    identity: with(identity, outcome),
                    flight: None,
                },
                Started::Flying(flight) => Verification {
                    identity,
                    flight: Some(flight),
                },
            },
        }
    }

    /// Has API keys that are not local verified by the embedder instead of Elasticsearch; `None`: by Elasticsearch again.
    /// Drops all verdicts. Reloads leave it in place. API keys must be enabled in the configuration all the same.
    ///
    /// # Errors
    /// If Elasticsearch is to take over and can't, since a certificate or key of its configuration is of no use. Then
    /// nothing changes.
    pub fn set_verifier(&self, verifier: Option<Arc<dyn Verifier>>) -> Result<(), ConfigError> {
        // Under the lock of reloads, so that none is lost.
        let _one_at_a_time = self.origin();
        let snapshot = self.snapshot.full();
        let api_keys = snapshot.api_keys.with_verifier(verifier)?;
        let next = snapshot.with_api_keys(api_keys);
        drop(snapshot);
        self.snapshot.store(next.into());
        Ok(())
    }

    fn identify_waiting(&self, request: &Request<'_>, now: Option<u64>) -> Identity {
        match self.identify_or_key(request, now) {
            Identified::Already(identity) => identity,
            Identified::Pending {
                identity,
                key,
                keys,
                now,
            } => with(identity, keys.verify(key, identity.client, now)),
        }
    }

    fn identify_or_key<'r>(&self, request: &'r Request<'_>, now: Option<u64>) -> Identified<'r> {
        let snapshot = self.snapshot.load();
        let now = self.now(now);
        let identity = snapshot.identify(request, || now);
        match request.authorization().map(credential::parse) {
            Some(Credential::ApiKey(key)) if identity.reason == Reason::Pending => {
                Identified::Pending {
                    identity,
                    key,
                    keys: Arc::clone(&snapshot.api_keys),
                    now,
                }
            }
            _ => Identified::Already(identity),
        }
    }
}

/// How far a request gets without waiting.
enum Identified<'r> {
    Already(Identity),
    Pending {
        identity: Identity,
        key: &'r [u8],
        keys: Arc<ApiKeys>,
        now: u64,
    },
}

/// The identity that a verification came to.
fn with(identity: Identity, outcome: Outcome) -> Identity {
    match outcome {
        Ok(privileges) => identity.identified(Method::ApiKey, privileges),
        Err(reason) => identity.refused(reason),
    }
}

/// A verification that was started: wait for it, ask, or be called back. Dropping it stops nothing.
#[must_use = "it tells when the verification has ended"]
pub struct Verification {
    identity: Identity,
    /// `None`: there is nothing to wait for.
    flight: Option<Arc<Flight>>,
}

impl Verification {
    /// The identity, if the verification has ended.
    #[must_use]
    pub fn poll(&self) -> Option<Identity> {
        match &self.flight {
            None => Some(self.identity),
            Some(flight) => Some(with(self.identity, flight.poll()?)),
        }
    }

    /// Waits until the verification has ended.
    #[must_use]
    pub fn wait(&self) -> Identity {
        match &self.flight {
            None => self.identity,
            Some(flight) => with(self.identity, flight.wait()),
        }
    }

    /// Waits until the verification has ended, but no longer than `timeout`; `None`: it has not yet.
    #[must_use]
    pub fn wait_for(&self, timeout: Duration) -> Option<Identity> {
        match &self.flight {
            None => Some(self.identity),
            Some(flight) => Some(with(self.identity, flight.wait_for(timeout)?)),
        }
    }

    /// Calls back once the verification has ended: in the thread that verifies, which should not be held up, or in this one
    /// if there is nothing to wait for. A panic of the callback is caught and dropped, if it happens in the other thread.
    pub fn on_done(self, callback: impl FnOnce(Identity) + Send + 'static) {
        let identity = self.identity;
        match self.flight {
            None => callback(identity),
            Some(flight) => {
                flight.on_landing(Box::new(move |outcome| callback(with(identity, outcome))))
            }
        }
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verification").field(&self.poll()).finish()
    }
}
