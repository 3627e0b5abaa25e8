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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::api_key::Privileges;
    use std::sync::mpsc::channel;

    const GOOD: Outcome = Ok(Privileges::ALL);
    const NO_TIME: Duration = Duration::ZERO;

    fn fingerprint(low: u64) -> Fingerprint {
        Fingerprint { high: 7, low }
    }

    fn lead(flights: &Arc<Flights>, low: u64) -> Lead {
        match flights.board(fingerprint(low), || None) {
            Boarding::Leading(lead) => lead,
            _ => panic!("a flight is under way, or none is needed"),
        }
    }

    #[test]
    fn who_comes_second_follows_and_who_comes_late_starts_anew() {
        let flights = Arc::new(Flights::default());
        let first = lead(&flights, 1);
        assert_eq!(first.fingerprint(), fingerprint(1));
        let Boarding::Following(followed) = flights.board(fingerprint(1), || panic!("not asked"))
        else {
            panic!("there is a flight");
        };
        assert!(Arc::ptr_eq(&followed, &first.flight()));
        let other = lead(&flights, 2);
        assert!(!Arc::ptr_eq(&other.flight(), &followed));
        assert_eq!(followed.poll(), None);
        assert_eq!(first.land(GOOD), GOOD);
        assert_eq!(followed.poll(), Some(GOOD));
        assert_eq!(followed.wait(), GOOD);
        assert_eq!(other.flight().poll(), None);
        let decided = flights.board(fingerprint(1), || Some(GOOD));
        assert!(matches!(decided, Boarding::Decided(GOOD)));
        drop(lead(&flights, 1));
    }

    #[test]
    fn a_flight_whose_lead_is_lost_lands_as_unavailable() {
        let flights = Arc::new(Flights::default());
        let lead = lead(&flights, 1);
        let flight = lead.flight();
        drop(lead);
        assert_eq!(flight.poll(), Some(Err(Reason::Unavailable)));
    }

    #[test]
    fn waiting_ends_with_the_time_or_the_landing() {
        let flights = Arc::new(Flights::default());
        let lead = lead(&flights, 1);
        let flight = lead.flight();
        let begin = Instant::now();
        assert_eq!(flight.wait_for(NO_TIME), None);
        assert_eq!(flight.wait_for(Duration::from_millis(20)), None);
        assert!(begin.elapsed() >= Duration::from_millis(20));
        let waiting = [Duration::from_secs(3600), Duration::MAX].map(|timeout| {
            let flight = Arc::clone(&flight);
            std::thread::spawn(move || flight.wait_for(timeout))
        });
        let for_ever = std::thread::spawn({
            let flight = Arc::clone(&flight);
            move || flight.wait()
        });
        assert_eq!(lead.land(GOOD), GOOD);
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Some(GOOD));
        }
        assert_eq!(for_ever.join().unwrap(), GOOD);
        assert_eq!(flight.wait_for(NO_TIME), Some(GOOD));
    }

    #[test]
    fn every_callback_is_called_once_whatever_another_does() {
        let flights = Arc::new(Flights::default());
        let lead = lead(&flights, 1);
        let flight = lead.flight();
        let (told, outcomes) = channel();
        let call = || {
            let told = told.clone();
            Box::new(move |outcome| told.send(outcome).unwrap())
        };
        flight.on_landing(call());
        flight.on_landing(Box::new(|_| panic!("on purpose")));
        flight.on_landing(call());
        assert!(outcomes.try_recv().is_err(), "not yet");
        assert_eq!(lead.land(GOOD), GOOD);
        flight.on_landing(call());
        drop(told);
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), [GOOD; 3]);
    }
}
