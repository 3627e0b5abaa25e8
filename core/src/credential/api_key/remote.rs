//! A verifier, and what stands between it and the requests: verdicts, flights, budget.
//!
//! # Invariants
//!
//! - The verifier is asked about a key only if there is no verdict that holds, no flight for it, and the client's budget allows.
//! - A key is in one of the two stores at most, but for verdicts whose minute is over.
//! - Memory is allocated once, but for flights, of which there are as many as requests that wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::budget::Budget;
use super::fingerprint::{Fingerprint, Fingerprinter};
use super::flight::{Boarding, Flights, Lead};
use super::presented::Encoded;
use super::privileges::Privileges;
use super::verdicts::{Held, Store};
use super::verifier::{Verifier, VerifyError};
use super::{Outcome, Pool, Started};
use crate::client_ip::ClientKey;
use crate::reason::Reason;

/// How many bad verdicts are kept. What a flood pushes out is asked again, within the budget.
const FAILURES: usize = 4096;

pub(crate) struct Remote {
    verifier: Arc<dyn Verifier>,
    fingerprinter: Fingerprinter,
    successes: Store,
    failures: Store,
    flights: Arc<Flights>,
    budget: Budget,
    tally: Arc<Tally>,
}

impl Remote {
    /// With no verdicts; budgets and statistics go on from the one before.
    pub(crate) fn new(verifier: Arc<dyn Verifier>, limit: u32, before: Option<&Self>) -> Self {
        Self {
            verifier,
            fingerprinter: Fingerprinter::new(),
            successes: Store::new(limit as usize),
            failures: Store::new(FAILURES),
            flights: Arc::default(),
            budget: before
                .map_or_else(|| Budget::new(limit), |before| before.budget.resized(limit)),
            tally: before
                .map(|before| Arc::clone(&before.tally))
                .unwrap_or_default(),
        }
    }

    #[inline]
    pub(crate) fn fingerprint(&self, credential: Encoded<'_>) -> Fingerprint {
        self.fingerprinter.of(credential.as_bytes())
    }

    /// The verdict that holds, if there is one.
    #[inline]
    pub(crate) fn known(&self, fingerprint: Fingerprint, now: u64) -> Option<Outcome> {
        if let Held::Live(privileges) = self.successes.get(fingerprint, now) {
            return Some(Ok(privileges));
        }
        match self.failures.get(fingerprint, now) {
            Held::Live(_) => Some(Err(Reason::InvalidApiKey)),
            Held::Stale | Held::Absent => None,
        }
    }

    /// Verifies in this thread, or waits for the thread that does.
    pub(crate) fn verify(&self, credential: Encoded<'_>, client: ClientKey, now: u64) -> Outcome {
        match self.board(credential, client, now) {
            (Boarding::Decided(outcome), _) => outcome,
            (Boarding::Following(flight), _) => flight.wait(),
            (Boarding::Leading(lead), _) => self.fly(lead, credential, now),
        }
    }

    /// Verifies in a thread of the pool.
    pub(crate) fn start(
        self: &Arc<Self>,
        credential: Encoded<'_>,
        client: ClientKey,
        now: u64,
        pool: &Pool,
    ) -> Started {
        let (lead, known) = match self.board(credential, client, now) {
            (Boarding::Decided(outcome), _) => return Started::Decided(outcome),
            (Boarding::Following(flight), _) => return Started::Flying(flight),
            (Boarding::Leading(lead), known) => (lead, known),
        };
        let flight = lead.flight();
        let remote = Arc::clone(self);
        let text = Zeroizing::new(credential.as_bytes().to_vec());
        let job = move || {
            if let Some(credential) = Encoded::new(&text) {
                let _ = remote.fly(lead, credential, now);
            }
        };
        pool.run(Box::new(job), known);
        Started::Flying(flight)
    }

    /// Joins a flight or starts one; and whether the key was good before.
    fn board(&self, credential: Encoded<'_>, client: ClientKey, now: u64) -> (Boarding, bool) {
        let fingerprint = self.fingerprint(credential);
        let mut known = false;
        let boarding = self.flights.board(fingerprint, || {
            // A flight may have landed since this was asked last.
            if let Some(outcome) = self.known(fingerprint, now) {
                return Some(outcome);
            }
            known = self.successes.get(fingerprint, now) == Held::Stale;
            if known || self.budget.take(client, now) {
                return None;
            }
            count(&self.tally.over_budget);
            Some(Err(Reason::Unavailable))
        });
        (boarding, known)
    }

    /// Asks the verifier, and stores what it says.
    fn fly(&self, lead: Lead, credential: Encoded<'_>, now: u64) -> Outcome {
        count(&self.tally.started);
        // What is no key is not asked about; callers have looked already.
        let verdict = credential
            .decode(|key| self.verifier.verify(&key))
            .unwrap_or(Err(VerifyError::Invalid));
        let fingerprint = lead.fingerprint();
        let outcome = match verdict {
            Ok(privileges) if !privileges.is_empty() => {
                self.successes.insert(fingerprint, privileges, now);
                Ok(privileges)
            }
            Ok(_) | Err(VerifyError::Invalid) => {
                self.successes.remove(fingerprint);
                self.failures.insert(fingerprint, Privileges::NONE, now);
                Err(Reason::InvalidApiKey)
            }
            Err(VerifyError::Unavailable(why)) => {
                count(&self.tally.unavailable);
                *self.tally.last_error() = Some(why);
                Err(Reason::Unavailable)
            }
        };
        lead.land(outcome)
    }

    pub(crate) fn stats(&self) -> VerificationStats {
        // Relaxed, here and in `count`: statistics; nothing is ordered by them.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        VerificationStats {
            started: read(&self.tally.started),
            unavailable: read(&self.tally.unavailable),
            over_budget: read(&self.tally.over_budget),
            last_error: self.tally.last_error().clone(),
            valid_held: self.successes.len() as u64,
            invalid_held: self.failures.len() as u64,
        }
    }
}

/// How the verification of API keys has gone. Counters are totals since the engine was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerificationStats {
    /// Verifications that were started: how often Elasticsearch, or the embedder's verifier, was asked.
    pub started: u64,
    /// Those that came to no verdict.
    pub unavailable: u64,
    /// Those that were not started because the client had used up its budget of unknown keys: somebody is guessing.
    pub over_budget: u64,
    /// Why the last one that came to no verdict did not. It holds no secret.
    pub last_error: Option<String>,
    /// Verdicts in store on valid keys, at most `api_key.limit`.
    pub valid_held: u64,
    /// Verdicts in store on keys that are not valid.
    pub invalid_held: u64,
}

#[derive(Default)]
struct Tally {
    started: AtomicU64,
    unavailable: AtomicU64,
    over_budget: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Tally {
    fn last_error(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
