//! One verification in flight per key: the first who asks leads it, the others wait for its outcome.
//!
//! # Invariants
//!
//! - No fingerprint has two flights at once.
//! - Every flight lands, once: one whose leader panics or is dropped lands as unavailable.
//! - A verdict is stored before its flight is taken off the list, so whoever finds no flight finds the verdict.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Outcome;
use super::fingerprint::Fingerprint;
use crate::reason::Reason;

type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// A verification that is under way, or has ended.
#[derive(Default)]
pub(crate) struct Flight {
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    callbacks: Vec<Callback>,
}

impl Flight {
    /// The outcome, if it is there already.
    pub(crate) fn poll(&self) -> Option<Outcome> {
        self.state().outcome
    }

    /// Waits until it has landed.
    pub(crate) fn wait(&self) -> Outcome {
        let mut state = self.state();
        loop {
            if let Some(outcome) = state.outcome {
                return outcome;
            }
            state = self
                .landed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until it has landed, but no longer than this.
    pub(crate) fn wait_for(&self, timeout: Duration) -> Option<Outcome> {
        // A time that no clock reaches is for ever.
        let Some(deadline) = Instant::now().checked_add(timeout) else {
            return Some(self.wait());
        };
        let mut state = self.state();
        while state.outcome.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = match self.landed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        state.outcome
    }

    /// Calls back once it has landed: in the thread that verifies, or in this one if it has landed before.
    pub(crate) fn on_landing(&self, callback: Callback) {
        let mut state = self.state();
        match state.outcome {
            None => state.callbacks.push(callback),
            Some(outcome) => {
                drop(state);
                callback(outcome);
            }
        }
    }

    fn land(&self, outcome: Outcome) {
        let mut state = self.state();
        state.outcome = Some(outcome);
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        self.landed.notify_all();
        for callback in callbacks {
            // One that panics keeps no other from being called; and this may run while a panic is under way.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(outcome)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under the lock, so nothing is ever half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The flights that are under way.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Fingerprint, Arc<Flight>>>);

/// What came of asking for a flight.
pub(crate) enum Boarding {
    /// There is one: wait for it.
    Following(Arc<Flight>),
    /// This is a new one, and the caller leads it.
    Leading(Lead),
    /// There is no need of one.
    Decided(Outcome),
}

impl Flights {
    /// Joins the flight of this fingerprint, or starts one unless `decided` knows better. `decided` is asked while no flight of
    /// this fingerprint can start or land.
    pub(crate) fn board(
        self: &Arc<Self>,
        fingerprint: Fingerprint,
        decided: impl FnOnce() -> Option<Outcome>,
    ) -> Boarding {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&fingerprint) {
            return Boarding::Following(Arc::clone(flight));
        }
        if let Some(outcome) = decided() {
            return Boarding::Decided(outcome);
        }
        let flight = Arc::new(Flight::default());
        flights.insert(fingerprint, Arc::clone(&flight));
        Boarding::Leading(Lead {
            flights: Arc::clone(self),
            fingerprint,
            flight,
            outcome: Err(Reason::Unavailable),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to bring a flight home. Dropping it lands the flight: as unavailable, unless [`Lead::land`] was called.
pub(crate) struct Lead {
    flights: Arc<Flights>,
    fingerprint: Fingerprint,
    flight: Arc<Flight>,
    outcome: Outcome,
}

impl Lead {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }

    /// Ends the flight. The verdict, if there is one, has been stored.
    pub(crate) fn land(mut self, outcome: Outcome) -> Outcome {
        self.outcome = outcome;
        outcome
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.fingerprint);
        self.flight.land(self.outcome);
    }
}
