//! The end of the interpreter, as far as the engine's own threads are concerned.
//!
//! A thread that comes back to Python while the interpreter is being torn down is ended by CPython in the middle of Rust's frames, which
//! crashes the process. So at exit no thread is let in any more, and those that are inside are waited for, as
//! `concurrent.futures` does for its threads. Ctrl-C ends the waiting.
//!
//! Invariant: the engine's threads run Python in [`inside`] only.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

const SLICE: Duration = Duration::from_millis(100);

struct State {
    ending: bool,
    inside: usize,
    /// A forked process has none of the threads that were inside.
    process: u32,
}

static STATE: Mutex<State> = Mutex::new(State {
    ending: false,
    inside: 0,
    process: 0,
});
static LEFT: Condvar = Condvar::new();

/// Runs Python in a thread of the engine's; `None`: the interpreter is ending.
pub(crate) fn inside<R>(run: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    {
        let mut state = state();
        if state.ending {
            return None;
        }
        let process = std::process::id();
        if state.process != process {
            (state.process, state.inside) = (process, 0);
        }
        state.inside += 1;
    }
    let _leave = Leave;
    Python::try_attach(run)
}

/// Whether threads that wait inside should come out.
pub(crate) fn is_near() -> bool {
    state().ending
}

/// Registered with `atexit`.
#[pyfunction]
pub(crate) fn at_exit(py: Python<'_>) -> PyResult<()> {
    state().ending = true;
    while py.detach(some_are_inside) {
        py.check_signals()?;
    }
    Ok(())
}

fn some_are_inside() -> bool {
    let is_inside = |state: &State| state.inside > 0 && state.process == std::process::id();
    let state = state();
    if !is_inside(&state) {
        return false;
    }
    let waited = LEFT.wait_timeout(state, SLICE);
    is_inside(&waited.unwrap_or_else(PoisonError::into_inner).0)
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        state().inside -= 1;
        LEFT.notify_all();
    }
}

fn state() -> MutexGuard<'static, State> {
    // Nothing is ever half done under the lock.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
