//! A Python callable as the core's `Verifier`: what `Engine.set_verifier` is given.
//!
//! # Invariants
//!
//! - Whatever the callable raises or returns, the verification ends: with privileges, as invalid, or as unavailable.
//! - Of an exception only the type is passed on, and of an answer nothing: its text may hold the key.
//! - The GIL is held only while Python runs; a coroutine is waited for without it.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyTimeoutError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError};
use tollbar::config::Privilege;

use crate::convert;
use crate::ending;

/// Seconds between looks at the time while a coroutine is waited for.
const SLICE: f64 = 0.05;

const MALFORMED: &str = "the verifier returned something else than None or an iterable of the names of privileges: \
    \"config_agent:read\", \"event:write\", \"sourcemap:write\"";

/// What the callable returned.
enum Answer {
    Privileges(Privileges),
    Invalid,
    Malformed,
}

/// A callable `(id: str, key: bytes) -> iterable of privilege names | None`, or one that returns an awaitable of that.
pub(crate) struct Callable {
    callable: Py<PyAny>,
    /// Whether it is known to be a coroutine function.
    is_async: bool,
    /// Where coroutines run: the loop that ran when the callable was set.
    event_loop: Option<Py<PyAny>>,
    /// How long a coroutine may take.
    timeout: Duration,
}

impl Callable {
    /// Raises `TypeError` if it can't be called, `RuntimeError` if it is a coroutine function and no loop is running.
    pub(crate) fn new(callable: &Bound<'_, PyAny>, timeout: f64) -> PyResult<Self> {
        if !callable.is_callable() {
            return Err(PyTypeError::new_err(format!(
                "verifier: found a {}; accepted are None and a callable (id: str, key: bytes)",
                convert::kind(callable)
            )));
        }
        let timeout = convert::seconds("timeout", timeout)?;
        let event_loop = running_loop(callable.py())?;
        let is_async = is_async(callable)?;
        if event_loop.is_none() && is_async {
            return Err(PyRuntimeError::new_err(
                "verifier: found a coroutine function, but no event loop is running: call set_verifier where its loop runs",
            ));
        }
        Ok(Self {
            callable: callable.clone().unbind(),
            is_async,
            event_loop: event_loop.map(Bound::unbind),
            timeout,
        })
    }

    /// The loop that must not be blocked while this verifies.
    pub(crate) fn event_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let event_loop = self.event_loop.as_ref().filter(|_| self.is_async);
        event_loop.map(|it| it.clone_ref(py))
    }

    fn ask(&self, py: Python<'_>, presented: &PresentedKey<'_>) -> PyResult<Answer> {
        let key = PyBytes::new(py, presented.key());
        let answer = self.callable.bind(py).call1((presented.id(), key))?;
        if answer.hasattr("__await__")? {
            privileges(&self.run(&answer)?)
        } else {
            privileges(&answer)
        }
    }

    /// Runs an awaitable on the loop, while this thread waits without the GIL.
    fn run<'py>(&self, awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = awaitable.py();
        let asyncio = py.import("asyncio")?;
        let Some(event_loop) = &self.event_loop else {
            close(awaitable);
            return Err(PyRuntimeError::new_err("no event loop was running"));
        };
        if running_loop(py)?.is_some_and(|running| running.is(event_loop)) {
            close(awaitable);
            return Err(PyRuntimeError::new_err(
                "the event loop would wait for itself",
            ));
        }
        let started = asyncio.call_method1("run_coroutine_threadsafe", (awaitable, event_loop));
        let future = started.inspect_err(|_| close(awaitable))?;
        let futures = py.import("concurrent.futures")?;
        let deadline = Instant::now().checked_add(self.timeout);
        loop {
            futures.call_method1("wait", ((&future,), SLICE))?;
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if future.call_method0("done")?.is_truthy()? {
                return future.call_method0("result");
            }
            if late || ending::is_near() {
                future.call_method0("cancel")?;
                return Err(PyTimeoutError::new_err(()));
            }
        }
    }
}

impl Verifier for Callable {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        let asked = ending::inside(|py| {
            self.ask(py, presented)
                .map_err(|error| VerifyError::Unavailable(why(py, &error)))
        });
        match asked {
            Some(Ok(Answer::Privileges(privileges))) => Ok(privileges),
            Some(Ok(Answer::Invalid)) => Err(VerifyError::Invalid),
            Some(Ok(Answer::Malformed)) => Err(VerifyError::Unavailable(MALFORMED.into())),
            Some(Err(unavailable)) => Err(unavailable),
            None => Err(VerifyError::Unavailable("the interpreter is ending".into())),
        }
    }
}

/// The loop that runs in this thread.
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let running = py.import("asyncio")?.call_method0("_get_running_loop")?;
    Ok((!running.is_none()).then_some(running))
}

fn is_async(callable: &Bound<'_, PyAny>) -> PyResult<bool> {
    let inspect = callable.py().import("inspect")?;
    let is_async = |it: &Bound<'_, PyAny>| {
        inspect
            .call_method1("iscoroutinefunction", (it,))?
            .is_truthy()
    };
    Ok(is_async(callable)? || is_async(&callable.getattr("__call__")?)?)
}

/// A coroutine that will not run is closed, so that Python does not warn of it.
fn close(awaitable: &Bound<'_, PyAny>) {
    let _ = awaitable.call_method0("close");
}

/// Raises what an iterator raises.
fn privileges(answer: &Bound<'_, PyAny>) -> PyResult<Answer> {
    if answer.is_none() {
        return Ok(Answer::Invalid);
    }
    // Its characters are no names.
    if answer.is_instance_of::<PyString>() || answer.is_instance_of::<PyBytes>() {
        return Ok(Answer::Malformed);
    }
    let names = match answer.try_iter() {
        Ok(names) => names,
        Err(error) if error.is_instance_of::<PyTypeError>(answer.py()) => {
            return Ok(Answer::Malformed);
        }
        Err(error) => return Err(error),
    };
    let mut privileges = Vec::new();
    for name in names {
        let Some(privilege) = privilege(&name?) else {
            return Ok(Answer::Malformed);
        };
        privileges.push(privilege);
    }
    Ok(Answer::Privileges(privileges.into_iter().collect()))
}

fn privilege(name: &Bound<'_, PyAny>) -> Option<Privilege> {
    Privilege::from_name(name.cast::<PyString>().ok()?.to_str().ok()?)
}

/// Why there is no verdict, without a word that came from the callable.
fn why(py: Python<'_>, error: &PyErr) -> String {
    match error.get_type(py).name() {
        Ok(name) => format!("the verifier raised {name}"),
        Err(_) => "the verifier raised an exception".into(),
    }
}
