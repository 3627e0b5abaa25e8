//! Many decisions at once, for servers that have many requests or batches of events at hand: one look at the clock and the
//! configuration for 64 of them, and memory is asked for their counters together.
//!
//! # Invariants
//!
//! - `decisions[i]` is what a call for the i-th alone would have said, had all been asked in order at one instant.
//! - No allocation, lock or system call.

use crate::client::Identity;
use crate::client_ip::ClientKey;
use crate::decide::Decide;
use crate::decision::{Action, Decision};
use crate::engine::{Engine, Presented};
use crate::ratelimit::{AT_ONCE, Verdict};
use crate::reason::{Method, Reason};
use crate::request::{Asked, Incoming, Question, Request, Resource};
use crate::snapshot::Snapshot;

/// There must be room for exactly as many decisions as there are questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "found {asked} questions and room for {room} decisions: accepted is one place for each question"
)]
pub struct RoomMismatch {
    /// How many questions were asked.
    pub asked: usize,
    /// How many decisions there was room for.
    pub room: usize,
}

impl RoomMismatch {
    fn refuse(asked: usize, room: usize) -> Result<(), Self> {
        if asked == room {
            Ok(())
        } else {
            Err(Self { asked, room })
        }
    }
}

impl Engine {
    /// As [`Engine::check`] for many requests: `decisions[i]` answers `asked[i]`. All are charged as of one instant.
    ///
    /// ```
    /// use tollbar::{Decision, Engine, Question, Request};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::from_yaml("{apm-server.auth.secret_token: abcdefgh, apm-server.rum.enabled: true}")?;
    /// let request = Request::from_peer([203, 0, 113, 9].into());
    /// let backend = Request { authorization: Some(b"Bearer abcdefgh"), ..request };
    /// let mut decisions = [Decision::default(); 2];
    /// engine.check_batch(&[(request, Question::default()), (backend, Question::default())], None, &mut decisions)?;
    /// assert_eq!(decisions.map(|decision| decision.http_status()), [403, 202]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the slices differ in length. Nothing is charged then.
    pub fn check_batch(
        &self,
        asked: &[(Request<'_>, Question<'_>)],
        now: Option<u64>,
        decisions: &mut [Decision],
    ) -> Result<(), RoomMismatch> {
        RoomMismatch::refuse(asked.len(), decisions.len())?;
        self.check_each(
            asked.len(),
            |_| true,
            |i| (&asked[i].0, asked[i].1),
            now,
            |i, decision| decisions[i] = *decision,
        );
        Ok(())
    }

    /// As [`Engine::check_batch`], for bindings: `pass` says whether the i-th is to be decided at all, `ask` gives its request and
    /// question, `answer` takes the decision. `pass` is asked once about each, in order, and first.
    #[doc(hidden)]
    #[inline]
    pub fn check_each<'a, I: Incoming, A: Asked<'a>>(
        &self,
        count: usize,
        mut pass: impl FnMut(usize) -> bool,
        ask: impl Fn(usize) -> (I, A),
        now: Option<u64>,
        answer: impl FnMut(usize, &Decision),
    ) {
        let identify = |snapshot: &Snapshot, i, at| {
            if !pass(i) {
                return None;
            }
            let (request, question) = ask(i);
            Some((snapshot.identify(&request, || at), question.cost()))
        };
        let mut last = Authorized::NOTHING;
        let decide = |decide: Decide<'_>, i, verdict| {
            let (_, question) = ask(i);
            let decide = Decide {
                action: question.action(),
                ..decide
            };
            decide.question_to(
                &question,
                |_, _| verdict,
                |resource| last.authorize(&decide, resource),
            )
        };
        let about = |i| {
            let (request, question) = ask(i);
            (question.resource(), Presented::Now(request))
        };
        self.decide_each(count, now, identify, decide, about, answer);
    }

    /// As [`Client::admit`](crate::Client::admit) for many clients: `decisions[i]` says whether `batches[i]`, a client and its
    /// number of events, was admitted. All are charged as of one instant.
    ///
    /// # Errors
    /// If the slices differ in length. Nothing is charged then.
    pub fn admit_batch(
        &self,
        batches: &[(Identity, u64)],
        now: Option<u64>,
        decisions: &mut [Decision],
    ) -> Result<(), RoomMismatch> {
        RoomMismatch::refuse(batches.len(), decisions.len())?;
        self.admit_each(
            batches.len(),
            |_| true,
            |i| batches[i],
            now,
            |i, decision| decisions[i] = *decision,
        );
        Ok(())
    }

    /// As [`Engine::admit_batch`], for bindings: `pass` as in [`Engine::check_each`], `batch` gives the i-th client and number of
    /// events, `answer` takes the decision.
    #[doc(hidden)]
    #[inline]
    pub fn admit_each(
        &self,
        count: usize,
        mut pass: impl FnMut(usize) -> bool,
        batch: impl Fn(usize) -> (Identity, u64),
        now: Option<u64>,
        answer: impl FnMut(usize, &Decision),
    ) {
        let confirm = |snapshot: &Snapshot, i, _| {
            if !pass(i) {
                return None;
            }
            let (identity, n) = batch(i);
            Some((snapshot.confirm(identity), n))
        };
        let decide = |decide: Decide<'_>, i, verdict| decide.admission(batch(i).1, |_, _| verdict);
        let about = |i| {
            (
                Resource::default(),
                Presented::<Request<'_>>::Before(batch(i).0),
            )
        };
        self.decide_each(count, now, confirm, decide, about, answer);
    }

    /// Decides each of `count`: `identify` says who it is and how many events to charge if anonymous, or that it is not to be decided;
    /// `decide` says the rest; `about` is asked about those that are refused.
    #[inline]
    fn decide_each<'a, I: Incoming>(
        &self,
        count: usize,
        now: Option<u64>,
        mut identify: impl FnMut(&Snapshot, usize, u64) -> Option<(Identity, u64)>,
        mut decide: impl FnMut(Decide<'_>, usize, Verdict) -> Decision,
        about: impl Fn(usize) -> (Resource<'a>, Presented<I>),
        mut answer: impl FnMut(usize, &Decision),
    ) {
        let mut clock_read = None;
        let now = self.timed(now, &mut clock_read);
        let mut clients = Clients::default();
        for first in (0..count).step_by(AT_ONCE) {
            let chunk = first..count.min(first.saturating_add(AT_ONCE));
            let snapshot = self.snapshot.load();
            clients.clear();
            // A bit for each that is not to be decided. Beside the others, so that it can be a constant where all pass.
            let mut left_out = 0_u64;
            for i in chunk.clone() {
                if let Some((identity, n)) = identify(&snapshot, i, now) {
                    clients.push(identity, n);
                } else {
                    clients.push(Identity::NOBODY, 0);
                    left_out |= 1 << (i - first);
                }
            }
            clients.charge(&snapshot, now);
            for (i, (identity, verdict)) in chunk.zip(clients.charged()) {
                if left_out >> (i - first) & 1 != 0 {
                    continue;
                }
                let about_it = Decide {
                    snapshot: &snapshot,
                    identity,
                    action: Action::Ingest,
                };
                let decision = decide(about_it, i, verdict);
                self.conclude(snapshot.stripe(), &decision, || about(i), clock_read);
                answer(i, &decision);
            }
        }
    }
}

/// What the last anonymous client asked for, and whether it may: many in a batch ask for the same, which is then the same text in memory.
struct Authorized<'a> {
    /// 0, which no configuration has: nothing was asked yet.
    generation: u64,
    action: Action,
    resource: Resource<'a>,
    reason: Reason,
}

impl<'a> Authorized<'a> {
    const NOTHING: Self = Self {
        generation: 0,
        action: Action::Ingest,
        resource: Resource {
            agent: None,
            service: None,
        },
        reason: Reason::Allowed,
    };

    #[inline]
    fn authorize(&mut self, decide: &Decide<'_>, resource: Resource<'a>) -> Reason {
        let Decide {
            snapshot,
            identity,
            action,
        } = decide;
        if identity.method != Some(Method::Anonymous) {
            return snapshot.authorize(identity, *action, resource);
        }
        let known = self.generation == snapshot.generation
            && self.action == *action
            && same_text(self.resource.agent, resource.agent)
            && same_text(self.resource.service, resource.service);
        if !known {
            *self = Self {
                generation: snapshot.generation,
                action: *action,
                resource,
                reason: snapshot.authorize(identity, *action, resource),
            };
        }
        self.reason
    }
}

/// Whether both are the same place in memory, borrowed for as long as both are at hand. Others may be equal, too.
#[inline]
fn same_text(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => std::ptr::eq(one, other),
        _ => false,
    }
}

/// Up to [`AT_ONCE`] clients, those of them who are anonymous side by side.
struct Clients {
    identities: [Identity; AT_ONCE],
    len: usize,
    /// The anonymous ones' keys, numbers of events, and what the rate limit says.
    keys: [ClientKey; AT_ONCE],
    ns: [u64; AT_ONCE],
    verdicts: [Verdict; AT_ONCE],
    anonymous: usize,
}

const _: () = assert!(AT_ONCE <= u64::BITS as usize);

impl Clients {
    /// Forgets those of the requests before.
    fn clear(&mut self) {
        (self.len, self.anonymous) = (0, 0);
    }

    fn push(&mut self, identity: Identity, n: u64) {
        self.identities[self.len] = identity;
        self.len += 1;
        if identity.method == Some(Method::Anonymous) {
            self.keys[self.anonymous] = identity.client;
            self.ns[self.anonymous] = n;
            self.anonymous += 1;
        }
    }

    fn charge(&mut self, snapshot: &Snapshot, now: u64) {
        let n = self.anonymous;
        let verdicts = &mut self.verdicts[..n];
        // The three are equally long.
        let _ = snapshot
            .limiter
            .charge_many(&self.keys[..n], &self.ns[..n], now, verdicts);
    }

    /// Each client, with its verdict if it is anonymous.
    fn charged(&self) -> impl Iterator<Item = (Identity, Verdict)> {
        let mut verdicts = self.verdicts.iter();
        self.identities[..self.len].iter().map(move |&identity| {
            let verdict = match identity.method {
                Some(Method::Anonymous) => verdicts.next().copied(),
                _ => None,
            };
            (identity, verdict.unwrap_or_default())
        })
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            identities: [Identity::NOBODY; AT_ONCE],
            len: 0,
            keys: [ClientKey::default(); AT_ONCE],
            ns: [0; AT_ONCE],
            verdicts: [Verdict::default(); AT_ONCE],
            anonymous: 0,
        }
    }
}
