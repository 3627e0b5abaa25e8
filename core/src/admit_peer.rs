//! The shortest way to a verdict, for bindings: peers that send no credential, and whose agent and service are not looked at. A flood
//! takes it, so nothing is put together that is not asked for.
//!
//! Invariant: what is said and recorded is what [`Engine::authenticate`] and [`Client::admit`](crate::Client::admit) would have; it counts as
//! one answer.

use crate::client::Identity;
use crate::client_ip::{CanonicalIp, ClientKey};
use crate::decide::{Decide, limited};
use crate::decision::{Action, Decision};
use crate::engine::{Engine, Presented};
use crate::in_force::Lent;
use crate::ratelimit::{AT_ONCE, Verdict};
use crate::reason::{Method, Reason};
use crate::request::{Request, Resource};
use crate::snapshot::Snapshot;

/// A table of up to this many counters is in the caches: there is nothing to gain by asking for its memory beforehand.
const CACHED: u32 = 4096;

/// What became of a peer's events.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Why.
    pub reason: Reason,
    /// How the peer was identified.
    pub method: Option<Method>,
    /// Nanoseconds until the refused batch would fit; 0: it fits now, or was not counted; `None`: it never will.
    pub retry_after_ns: Option<u64>,
}

impl Admission {
    fn of(decision: &Decision) -> Self {
        Self {
            reason: decision.reason,
            method: decision.method,
            retry_after_ns: decision.rate.map_or(Some(0), |rate| rate.retry_after_ns),
        }
    }
}

impl Engine {
    /// Charges `n` events to a peer that sends no credential.
    #[doc(hidden)]
    #[inline]
    pub fn admit_peer(&self, peer: CanonicalIp, n: u64, now: Option<u64>) -> Admission {
        let snapshot = self.snapshot.load();
        let Some(identity) = snapshot.stranger(peer) else {
            return self.no_stranger(peer, n, now);
        };
        let mut clock_read = None;
        let clock = || self.timed(now, &mut clock_read);
        let verdict = snapshot.limiter.charge_when(identity.client, n, clock);
        let admission = self.admitted(&snapshot, identity, n, verdict, clock_read);
        if admission.reason == Reason::Allowed {
            self.counters
                .count_allowed(snapshot.stripe(), Method::Anonymous, 1);
        }
        admission
    }

    /// As [`Engine::admit_peer`] for `count` peers at one instant: `ask` gives the i-th and its number of events, `answer` takes what
    /// became of it.
    #[doc(hidden)]
    #[inline]
    pub fn admit_peers(
        &self,
        count: usize,
        ask: impl Fn(usize) -> (CanonicalIp, u64),
        now: Option<u64>,
        mut answer: impl FnMut(usize, Admission),
    ) {
        let mut clock_read = None;
        let at = self.timed(now, &mut clock_read);
        for first in (0..count).step_by(AT_ONCE) {
            let chunk = first..count.min(first.saturating_add(AT_ONCE));
            let snapshot = self.snapshot.load();
            let mut allowed = 0;
            let mut verdicts = None;
            if snapshot.limiter.limits().ip_limit > CACHED {
                verdicts = charged(&snapshot, chunk.len(), |i| ask(first + i), at);
            }
            for i in chunk {
                let (peer, n) = ask(i);
                let Some(identity) = snapshot.stranger(peer) else {
                    answer(i, self.no_stranger(peer, n, Some(at)));
                    continue;
                };
                let verdict = match &verdicts {
                    Some(verdicts) => verdicts[i - first],
                    None => snapshot.limiter.charge(identity.client, n, at),
                };
                let admission = self.admitted(&snapshot, identity, n, verdict, clock_read);
                allowed += u64::from(admission.reason == Reason::Allowed);
                answer(i, admission);
            }
            if allowed != 0 {
                self.counters
                    .count_allowed(snapshot.stripe(), Method::Anonymous, allowed);
            }
        }
    }

    /// What the verdict on an anonymous peer comes to. Those that are allowed are counted by the caller.
    #[inline]
    fn admitted(
        &self,
        snapshot: &Lent<'_, Snapshot>,
        identity: Identity,
        n: u64,
        verdict: Verdict,
        clock_read: Option<u64>,
    ) -> Admission {
        if limited(&verdict, n) == Reason::Allowed {
            return Admission {
                reason: Reason::Allowed,
                method: Some(Method::Anonymous),
                retry_after_ns: verdict.rate.retry_after_ns,
            };
        }
        let decide = Decide {
            snapshot,
            identity,
            action: Action::Ingest,
        };
        let decision = decide.admission(n, |_, _| verdict);
        let about = || {
            (
                Resource::default(),
                Presented::<Request<'_>>::Before(identity),
            )
        };
        self.conclude(snapshot.stripe(), &decision, about, clock_read);
        Admission::of(&decision)
    }

    /// Where anonymous peers are no case of their own: everybody gets in, or nobody does without a credential.
    #[cold]
    fn no_stranger(&self, peer: CanonicalIp, n: u64, now: Option<u64>) -> Admission {
        let client = self.authenticate_at(&Request::from_peer(peer.ip()), now);
        if client.decision().allowed() {
            return Admission::of(&client.admit(n, now));
        }
        // Its refusal is concluded already.
        Admission::of(&client.decision())
    }
}

/// The verdicts on up to [`AT_ONCE`] peers, whose counters' memory is asked for together; `None`: they are not anonymous.
fn charged(
    snapshot: &Snapshot,
    count: usize,
    ask: impl Fn(usize) -> (CanonicalIp, u64),
    at: u64,
) -> Option<[Verdict; AT_ONCE]> {
    let mut clients = [ClientKey::default(); AT_ONCE];
    let mut ns = [0; AT_ONCE];
    let mut verdicts = [Verdict::default(); AT_ONCE];
    for (i, (client, n)) in clients.iter_mut().zip(&mut ns).enumerate().take(count) {
        let (peer, asked) = ask(i);
        *client = snapshot.stranger(peer)?.client;
        *n = asked;
    }
    let places = &mut verdicts[..count];
    let charged = snapshot
        .limiter
        .charge_many(&clients[..count], &ns[..count], at, places);
    charged.ok().map(|()| verdicts)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::reason::REASONS;
    use crate::refusals::PER_SECOND;
    use proptest::prelude::*;

    fn engine(anonymous: bool, ip_limit: u32) -> Engine {
        Engine::from_yaml(&format!(
            "apm-server.auth: {{secret_token: abcdefgh, anonymous: {{enabled: {anonymous}, rate_limit: {{ip_limit: {ip_limit}, event_limit: 2}}}}}}"
        ))
        .unwrap()
    }

    /// For each reason, how many refusals were recorded: as many as are at once, since more depend on how long all this takes.
    fn recorded(engine: &Engine) -> Vec<usize> {
        let refusals = engine.recent_refusals();
        let of = |reason: &Reason| {
            refusals
                .iter()
                .filter(|refusal| refusal.reason == *reason)
                .count()
        };
        REASONS
            .iter()
            .map(|reason| of(reason).min(PER_SECOND as usize))
            .collect()
    }

    proptest! {
        #[test]
        fn the_short_way_says_what_the_long_one_does(
            anonymous in any::<bool>(),
            large in any::<bool>(),
            calls in prop::collection::vec((0..9u8, 0..9u64), 1..200),
        ) {
            // So few addresses that all have a counter, however the tables place them.
            let ip_limit = if large { CACHED + 1 } else { 100 };
            let [long, short, many] = [(); 3].map(|()| engine(anonymous, ip_limit));
            let peer = |i: u8| IpAddr::from([203, 0, 113, i]);
            let mut expected = Vec::new();
            for &(i, n) in &calls {
                let client = long.authenticate(&Request::from_peer(peer(i)));
                let decision = match client.decision() {
                    refused if !refused.allowed() => refused,
                    _ => client.admit(n, Some(7)),
                };
                expected.push(Admission::of(&decision));
                prop_assert_eq!(Some(&short.admit_peer(CanonicalIp::of(&peer(i)), n, Some(7))), expected.last());
            }
            let mut found = Vec::new();
            many.admit_peers(
                calls.len(),
                |i| (CanonicalIp::of(&peer(calls[i].0)), calls[i].1),
                Some(7),
                |_, admission| found.push(admission),
            );
            prop_assert_eq!(&found, &expected);
            for engine in [&short, &many] {
                let (a, b) = (engine.stats(), long.stats());
                prop_assert_eq!(&a.refused, &b.refused);
                let total = |counts: &[(Method, u64)]| counts.iter().map(|(_, n)| n).sum::<u64>();
                // The long one's authentications were answers, too.
                let identified = if anonymous { calls.len() as u64 } else { 0 };
                prop_assert_eq!(total(&a.allowed), total(&b.allowed) - identified);
                prop_assert_eq!(recorded(engine), recorded(&long));
            }
        }
    }
}
