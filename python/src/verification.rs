//! Waiting for the verification of an API key: `Engine.verify` and `Engine.verify_async`.
//!
//! Invariant: no thread waits while it holds the GIL, and no event loop waits at all.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyTuple};
use tollbar::{Engine, Identity, Request};
use zeroize::Zeroizing;

use crate::client::Client;
use crate::ending;

/// How long Ctrl-C may have to wait.
const SLICE: Duration = Duration::from_millis(100);

/// Waits without the GIL, but no longer than `timeout`: then the client is still pending. One of the engine's threads verifies, so
/// that Ctrl-C reaches this one.
pub(crate) fn wait(
    py: Python<'_>,
    engine: &Engine,
    request: &Request<'_>,
    timeout: Option<Duration>,
    now: Option<u64>,
) -> PyResult<Identity> {
    let verification = engine.start_verification(request, now);
    // A time that no clock reaches is never.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut ended = verification.poll();
    loop {
        if let Some(identity) = ended {
            return Ok(engine.verified(request, identity).identity());
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(engine.authenticate_at(request, now).identity());
        }
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        ended = py.detach(|| verification.wait_for(slice));
        py.check_signals()?;
    }
}

/// Starts the verification, and gives a future of the running loop that will hold the `Client`.
pub(crate) fn start<'py>(
    this: &Bound<'py, crate::engine::Engine>,
    request: &Request<'_>,
    now: Option<u64>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, engine) = (this.py(), this.get().core());
    let event_loop = py.import("asyncio")?.call_method0("get_running_loop")?;
    let future = event_loop.call_method0("create_future")?;
    let verification = engine.start_verification(request, now);
    if let Some(identity) = verification.poll() {
        let client = Client::made(this, engine.verified(request, identity).identity())?;
        future.call_method1("set_result", (client,))?;
        return Ok(future);
    }
    let settle = settle(&future)?;
    let event_loop = event_loop.unbind();
    let engine = this.clone().unbind();
    let request = Owned::new(request);
    verification.on_done(move |identity| {
        let core = engine.get().core();
        let identity = request.lend(|request| core.verified(request, identity).identity());
        // A loop that is closed, or an interpreter that is ending, waits for nothing any more.
        let _ = ending::inside(|py| {
            event_loop.call_method1(
                py,
                "call_soon_threadsafe",
                (settle, Client::new(engine, identity)),
            )
        });
    });
    Ok(future)
}

/// What the loop calls with the client: gives it to the future, unless whoever waited has gone.
fn settle(future: &Bound<'_, PyAny>) -> PyResult<Py<PyCFunction>> {
    let py = future.py();
    let future = future.clone().unbind();
    let settle = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, _>>| -> PyResult<()> {
        let future = future.bind(arguments.py());
        if !future.call_method0("done")?.is_truthy()? {
            future.call_method1("set_result", (arguments.get_item(0)?,))?;
        }
        Ok(())
    };
    Ok(PyCFunction::new_closure(py, None, None, settle)?.unbind())
}

/// A request that outlives the call it came with. Its credential is overwritten when it is dropped.
struct Owned {
    authorization: Option<Zeroizing<Vec<u8>>>,
    peer: std::net::IpAddr,
    headers: Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl Owned {
    fn new(request: &Request<'_>) -> Self {
        let secret = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        Self {
            authorization: request.authorization.map(secret),
            peer: request.peer,
            headers: request
                .headers
                .iter()
                .map(|(name, value)| (name.to_vec(), secret(value)))
                .collect(),
        }
    }

    fn lend<R>(&self, use_it: impl FnOnce(&Request<'_>) -> R) -> R {
        let headers: Vec<(&[u8], &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect();
        use_it(&Request {
            authorization: self.authorization.as_deref().map(Vec::as_slice),
            peer: self.peer,
            headers: &headers,
        })
    }
}
