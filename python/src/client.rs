//! `tollbar.Client`: a request that has been authenticated, for servers that admit a stream batch by batch.
//!
//! Invariant: it keeps its engine alive; every call is decided under the configuration that is in force at that moment.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::convert::{self, ActionName, Text};
use crate::decision::Decision;
use crate::engine::Engine;

/// One authenticated request. Thread-safe. A refused client answers every call with its refusal.
#[pyclass(frozen, module = "tollbar")]
pub(crate) struct Client {
    /// Python's object, since its references are counted without a lock's cost where there is a GIL. A cycle by way of a verifier
    /// would be no other if this were the core's: neither is seen by the garbage collector.
    engine: Py<Engine>,
    identity: tollbar::Identity,
}

impl Client {
    pub(crate) fn new(engine: Py<Engine>, identity: tollbar::Identity) -> Self {
        Self { engine, identity }
    }

    /// A client of this engine as an object.
    #[inline(always)]
    pub(crate) fn made<'py>(
        engine: &Bound<'py, Engine>,
        identity: tollbar::Identity,
    ) -> PyResult<Bound<'py, Self>> {
        Bound::new(engine.py(), Self::new(engine.clone().unbind(), identity))
    }

    #[inline]
    fn core(&self) -> tollbar::Client<'_> {
        self.engine.get().core().client(self.identity)
    }
}

#[pymethods]
impl Client {
    /// The outcome of the authentication: allowed, 401 or 503.
    #[getter]
    fn decision(&self) -> Decision {
        self.core().decision().into()
    }

    /// Whether it was identified: `decision.allowed`.
    #[getter]
    fn allowed(&self) -> bool {
        self.identity.reason == tollbar::Reason::Allowed
    }

    /// Whether its API key has to be verified first: `decision.pending`.
    #[getter]
    fn pending(&self) -> bool {
        self.identity.reason == tollbar::Reason::Pending
    }

    /// How the client was identified; None if it was not.
    #[getter]
    fn method(&self) -> Option<&'static str> {
        self.core().decision().method.map(tollbar::Method::as_str)
    }

    /// Whom the rate limit counts: "203.0.113.9", "2001:db8::/64".
    #[getter]
    fn client(&self) -> String {
        self.core().decision().client.to_string()
    }

    /// The rest of what `Engine.check` decides, for a client that was identified already.
    #[pyo3(
        signature = (action = ActionName::Default, agent = None, service = None, cost = None, now = None, rum = false),
        text_signature = "($self, action='ingest', agent=None, service=None, cost=1, now=None, rum=False)"
    )]
    fn check(
        &self,
        action: ActionName<'_>,
        agent: Option<Text<'_>>,
        service: Option<Text<'_>>,
        cost: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
        rum: bool,
    ) -> PyResult<Decision> {
        let question = convert::question(&action, agent.as_ref(), service.as_ref(), rum, cost)?;
        let decision = self.core().check(&question, convert::now(now)?);
        Ok(Decision::new(&decision, question.resource))
    }

    /// Is the RUM route open? 403 `rum_disabled` while `apm-server.rum.enabled` is false.
    fn rum_route(&self) -> Decision {
        self.core().rum_route().into()
    }

    /// May this client do `action` for this agent and service?
    #[pyo3(
        signature = (action = ActionName::Default, agent = None, service = None),
        text_signature = "($self, action='ingest', agent=None, service=None)"
    )]
    fn authorize(
        &self,
        action: ActionName<'_>,
        agent: Option<Text<'_>>,
        service: Option<Text<'_>>,
    ) -> PyResult<Decision> {
        let action = convert::action(&action)?;
        let resource = convert::resource(agent.as_ref(), service.as_ref())?;
        let decision = self.core().authorize(action, resource);
        Ok(Decision::new(&decision, resource))
    }

    /// Charges `n` events if all of them fit now, else none. `n=0` is a peek. Only anonymous clients are limited.
    #[pyo3(signature = (n = None, now = None), text_signature = "($self, n=1, now=None)")]
    fn admit(
        &self,
        n: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Decision> {
        let n = n.map_or(Ok(1), |n| convert::count("n", n))?;
        let now = convert::now(now)?;
        Ok(self.core().admit(n, now).into())
    }

    /// Charges `n` events now if they will fit within `max_wait` seconds: sleep for `decision.wait` seconds, then accept them.
    #[pyo3(signature = (n, max_wait = 1.0, now = None))]
    fn reserve(
        &self,
        n: &Bound<'_, PyAny>,
        max_wait: f64,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Decision> {
        let n = convert::count("n", n)?;
        let max_wait = convert::seconds("max_wait", max_wait)?;
        let now = convert::now(now)?;
        Ok(self.core().reserve(n, max_wait, now).into())
    }

    /// As `reserve`, for asyncio, and waits itself: once this returns, the events may be accepted, unless it was refused.
    /// A wait that is cancelled has charged all the same.
    #[pyo3(signature = (n, timeout = 1.0, now = None))]
    fn wait<'py>(
        this: &Bound<'py, Self>,
        n: &Bound<'py, PyAny>,
        timeout: f64,
        now: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static WAIT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let wait = WAIT.import(this.py(), "tollbar._wait", "wait")?;
        wait.call1((this, n, timeout, now))
    }

    fn __repr__(&self) -> String {
        let decision = self.core().decision();
        format!(
            "<tollbar.Client {} method={} reason={}>",
            decision.client,
            decision
                .method
                .map_or("none identified", tollbar::Method::as_str),
            decision.reason
        )
    }
}
