//! The decision on one client that was identified, under one snapshot: the rate limit, the route, authorization.

use crate::client::Identity;
use crate::client_ip::ClientKey;
use crate::decision::{Action, Decision, Rate};
use crate::ratelimit::Verdict;
use crate::reason::{Method, Reason};
use crate::request::{Asked, Resource};
use crate::snapshot::Snapshot;

/// What a decision about one client is made from.
pub(crate) struct Decide<'s> {
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) identity: Identity,
    pub(crate) action: Action,
}

impl Decide<'_> {
    /// All that comes after authentication. `charge` charges an anonymous client.
    #[inline]
    pub(crate) fn question<'a>(
        &self,
        question: &impl Asked<'a>,
        charge: impl FnOnce(ClientKey, u64) -> Verdict,
    ) -> Decision {
        self.question_to(question, charge, |resource| {
            self.snapshot
                .authorize(&self.identity, self.action, resource)
        })
    }

    /// The same, where `authorize` may know already what [`Snapshot::authorize`] says.
    #[inline]
    pub(crate) fn question_to<'a>(
        &self,
        question: &impl Asked<'a>,
        charge: impl FnOnce(ClientKey, u64) -> Verdict,
        authorize: impl FnOnce(Resource<'a>) -> Reason,
    ) -> Decision {
        let identity = &self.identity;
        match identity.method {
            None => self.outcome(identity.reason, None),
            Some(Method::Anonymous) => {
                let verdict = charge(identity.client, question.cost());
                match limited(&verdict, question.cost()) {
                    Reason::Allowed => {
                        self.route_and_resource(question, Some(verdict.rate), authorize)
                    }
                    reason => self.outcome(reason, Some(verdict.rate)),
                }
            }
            Some(_) => self.route_and_resource(question, None, authorize),
        }
    }

    #[inline]
    fn route_and_resource<'a>(
        &self,
        question: &impl Asked<'a>,
        rate: Option<Rate>,
        authorize: impl FnOnce(Resource<'a>) -> Reason,
    ) -> Decision {
        let route = if question.rum() {
            self.snapshot.rum_route()
        } else {
            Reason::Allowed
        };
        let reason = match route {
            Reason::Allowed => authorize(question.resource()),
            closed => closed,
        };
        self.outcome(reason, rate)
    }

    /// A decision that charges nothing: `ask` is asked about a client that was identified.
    #[inline]
    pub(crate) fn identified(&self, ask: impl FnOnce() -> Reason) -> Decision {
        let reason = match self.identity.method {
            None => self.identity.reason,
            Some(_) => ask(),
        };
        self.outcome(reason, None)
    }

    /// The admission of `n` events. `charge` charges an anonymous client.
    #[inline]
    pub(crate) fn admission(
        &self,
        n: u64,
        charge: impl FnOnce(ClientKey, u64) -> Verdict,
    ) -> Decision {
        let identity = &self.identity;
        match identity.method {
            None => self.outcome(identity.reason, None),
            Some(Method::Anonymous) => {
                let verdict = charge(identity.client, n);
                self.outcome(limited(&verdict, n), Some(verdict.rate))
            }
            Some(_) => self.outcome(Reason::Allowed, None),
        }
    }

    #[inline]
    pub(crate) fn outcome(&self, reason: Reason, rate: Option<Rate>) -> Decision {
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
pub(crate) fn limited(verdict: &Verdict, n: u64) -> Reason {
    match verdict.rate.retry_after_ns {
        _ if verdict.admitted || n == 0 => Reason::Allowed,
        Some(_) => Reason::RateLimited,
        None => Reason::ExceedsBurst,
    }
}
