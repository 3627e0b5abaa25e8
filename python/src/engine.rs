//! `tollbar.Engine`: where everything begins.
//!
//! Invariants: frozen and thread-safe; clients hold the engine object that they were made by. What reads files
//! or waits releases the GIL; a decision takes nanoseconds and does not.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyListMethods, PyString};
use tollbar::api_key::Verifier;
use tollbar::{Question, Request};

use crate::batch::Columns;
use crate::client::Client;
use crate::convert::{self, ActionName, Text};
use crate::decision::Decision;
use crate::decisions::Decisions;
use crate::error::to_python;
use crate::fork;
use crate::question;
use crate::refusal::Refusal;
use crate::scope;
use crate::stats;
use crate::verification;
use crate::verifier::{Callable, running_loop};
use crate::watcher::Watcher;

/// Decides who gets in. Thread-safe and lock-free: make one and share it.
#[pyclass(frozen, module = "tollbar")]
pub(crate) struct Engine {
    inner: Arc<tollbar::Engine>,
    /// The event loop that an async verifier runs on.
    verifier_loop: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Engine {
    /// An engine with the configuration of this file. Raises `ConfigError` with everything that is wrong with it.
    #[staticmethod]
    fn from_file(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        Self::made(py, py.detach(|| tollbar::Engine::from_file(path)))
    }

    /// An engine with this configuration, as YAML text. Raises `ConfigError` with everything that is wrong with it.
    #[staticmethod]
    fn from_str(py: Python<'_>, yaml: &str) -> PyResult<Self> {
        Self::made(py, py.detach(|| tollbar::Engine::from_yaml(yaml)))
    }

    /// Takes up a changed configuration, whole or not at all, and returns its number.
    ///
    /// `None`: the file that the configuration in force came from, once more. A path object is a file. So is a `str` of one
    /// line that names an existing file or ends in `.yml` or `.yaml`; any other `str` is YAML text. Raises `ConfigError`;
    /// the configuration before stays in force then. Live counters are kept.
    #[pyo3(signature = (path_or_yaml = None))]
    fn reload(&self, py: Python<'_>, path_or_yaml: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
        let engine = &self.inner;
        let result = match source(path_or_yaml)? {
            Source::SameFile => py.detach(|| engine.reload_file(None)),
            Source::File(path) => py.detach(|| engine.reload_file(Some(&path))),
            Source::Text(yaml) => py.detach(|| engine.reload_yaml(yaml)),
        };
        result.map_err(|error| to_python(py, &error))
    }

    /// Decides a whole request: authentication; if anonymous, the charge of `cost` events; with `rum`, whether RUM routes are
    /// open; authorization.
    #[pyo3(
        signature = (
            authorization = None, peer = Text::borrowed("203.0.113.9"), headers = None, action = ActionName::Default,
            agent = None, service = None, cost = None, now = None, rum = false
        ),
        text_signature = "($self, authorization=None, peer='203.0.113.9', headers=None, action='ingest', \
                          agent=None, service=None, cost=1, now=None, rum=False)"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "Python's keyword arguments, each with a default"
    )]
    fn check<'py>(
        &self,
        py: Python<'py>,
        authorization: Option<&Bound<'_, PyAny>>,
        peer: Text<'_>,
        headers: Option<&Bound<'_, PyAny>>,
        action: ActionName<'_>,
        agent: Option<Text<'_>>,
        service: Option<Text<'_>>,
        cost: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
        rum: bool,
    ) -> PyResult<Bound<'py, Decision>> {
        let question = convert::question(&action, agent.as_ref(), service.as_ref(), rum, cost)?;
        let now = convert::now(now)?;
        with_request(authorization, &peer, headers, |request| {
            self.decided(py, request, &question, now)
        })
    }

    /// As `check`, for many requests at once, without the GIL, all as of one instant. `peers` has one item for each request: texts,
    /// IPv4 addresses as integers, or IPv6 addresses as 16 bytes each (shape (n, 16)).
    ///
    /// Sequences, buffers (NumPy) and Arrow arrays are read in place. `authorization`, `agent`, `service` and `cost` are one
    /// value for all, or a column of the same length; `headers` has one mapping, or one iterable of pairs, for each request.
    #[pyo3(
        signature = (
            peers, *, authorization = None, headers = None, action = ActionName::Default, agent = None,
            service = None, cost = None, now = None, rum = false
        ),
        text_signature = "($self, peers, *, authorization=None, headers=None, action='ingest', agent=None, \
                          service=None, cost=1, now=None, rum=False)"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "Python's keyword arguments, each with a default"
    )]
    fn check_batch(
        &self,
        peers: &Bound<'_, PyAny>,
        authorization: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        action: ActionName<'_>,
        agent: Option<&Bound<'_, PyAny>>,
        service: Option<&Bound<'_, PyAny>>,
        cost: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
        rum: bool,
    ) -> PyResult<Decisions> {
        let columns = Columns {
            peers,
            authorization,
            headers,
            action,
            agent,
            service,
            cost,
            now: convert::now(now)?,
            rum,
        };
        columns.check(&self.inner)
    }

    /// Identifies a client, for servers that decide the rest in steps. Charges nothing and never refuses: a client that was
    /// refused answers every later call with that refusal.
    #[pyo3(
        signature = (authorization = None, peer = Text::borrowed("203.0.113.9"), headers = None, now = None),
        text_signature = "($self, authorization=None, peer='203.0.113.9', headers=None, now=None)"
    )]
    fn authenticate<'py>(
        this: &Bound<'py, Self>,
        authorization: Option<&Bound<'_, PyAny>>,
        peer: Text<'_>,
        headers: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, Client>> {
        let now = convert::now(now)?;
        with_request(authorization, &peer, headers, |request| {
            let client = this.get().inner.authenticate_at(request, now);
            Client::made(this, client.identity())
        })
    }

    /// As `authenticate` and then the client's `check`, in one call: the client, and what may become of the request. For a client
    /// that was refused, or whose API key has to be verified first, that is the client's own decision; nothing is charged.
    #[pyo3(
        signature = (
            authorization = None, peer = Text::borrowed("203.0.113.9"), headers = None, action = ActionName::Default,
            agent = None, service = None, cost = None, now = None, rum = false
        ),
        text_signature = "($self, authorization=None, peer='203.0.113.9', headers=None, action='ingest', \
                          agent=None, service=None, cost=1, now=None, rum=False)"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "Python's keyword arguments, each with a default"
    )]
    fn enter<'py>(
        this: &Bound<'py, Self>,
        authorization: Option<&Bound<'_, PyAny>>,
        peer: Text<'_>,
        headers: Option<&Bound<'_, PyAny>>,
        action: ActionName<'_>,
        agent: Option<Text<'_>>,
        service: Option<Text<'_>>,
        cost: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
        rum: bool,
    ) -> PyResult<Entry<'py>> {
        let question = convert::question(&action, agent.as_ref(), service.as_ref(), rum, cost)?;
        let now = convert::now(now)?;
        with_request(authorization, &peer, headers, |request| {
            Self::entered(this, request, &question, now)
        })
    }

    /// As `enter`, about the connection that an ASGI scope describes. If it is let in: a copy of the scope, in which the application
    /// finds the client. If not: the client and the decision. `None`: the scope is none that is read here, such as that of
    /// a WebSocket, or one whose peer has no IP address; nothing was asked. A scope without a client comes from
    /// `local_peer`, if that is an address.
    fn enter_scope<'py>(
        this: &Bound<'py, Self>,
        question: &question::Question,
        local_peer: Text<'_>,
        scope: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Ok(scope) = scope.cast_exact::<PyDict>() else {
            return Ok(None);
        };
        scope::with_request(scope, &local_peer, |request| {
            Self::let_in(this, scope, request, &question.core())
        })
    }

    /// As `authenticate`, but never pending: waits, without the GIL, until an API key has been verified, with Elasticsearch at
    /// most as long as the configuration allows. A `timeout` in seconds cuts that short: the client is still pending then.
    ///
    /// Raises `RuntimeError` on the event loop that an async verifier runs on: it would wait for itself.
    #[pyo3(
        signature = (
            authorization = None, peer = Text::borrowed("203.0.113.9"), headers = None, timeout = None, now = None
        ),
        text_signature = "($self, authorization=None, peer='203.0.113.9', headers=None, timeout=None, now=None)"
    )]
    fn verify<'py>(
        this: &Bound<'py, Self>,
        py: Python<'py>,
        authorization: Option<&Bound<'_, PyAny>>,
        peer: Text<'_>,
        headers: Option<&Bound<'_, PyAny>>,
        timeout: Option<f64>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, Client>> {
        this.get().refuse_to_block_the_verifier(py)?;
        let timeout = timeout
            .map(|timeout| convert::seconds("timeout", timeout))
            .transpose()?;
        let now = convert::now(now)?;
        with_request(authorization, &peer, headers, |request| {
            let engine = &this.get().inner;
            let identity = verification::wait(py, engine, request, timeout, now)?;
            Client::made(this, identity)
        })
    }

    /// As `verify`, for event loops: returns a future of the running asyncio loop at once, and blocks nothing. Limit it with
    /// `asyncio.wait_for`; `verification_timeout` is a good limit.
    #[pyo3(
        signature = (authorization = None, peer = Text::borrowed("203.0.113.9"), headers = None, now = None),
        text_signature = "($self, authorization=None, peer='203.0.113.9', headers=None, now=None)"
    )]
    fn verify_async<'py>(
        this: &Bound<'py, Self>,
        authorization: Option<&Bound<'_, PyAny>>,
        peer: Text<'_>,
        headers: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let now = convert::now(now)?;
        with_request(authorization, &peer, headers, |request| {
            verification::start(this, request, now)
        })
    }

    /// Seconds that a verification may take: `apm-server.auth.api_key.elasticsearch.timeout`.
    #[getter]
    fn verification_timeout(&self) -> f64 {
        self.inner.verification_timeout().as_secs_f64()
    }

    /// Has API keys that the configuration does not list verified by `verifier(id: str, key: bytes)` instead of Elasticsearch.
    /// `None`: by Elasticsearch again. It returns the names of the key's privileges; None or none of them: the key is not valid.
    /// Any exception means that it can't be verified now (503, nothing is cached); only its type is shown, in `stats()`.
    ///
    /// It is called in one of the engine's threads, up to eight at once, but never twice at once for one key. What a
    /// coroutine function returns runs on the loop that is running now, for at most `timeout` seconds.
    #[pyo3(signature = (verifier, *, timeout = 5.0))]
    fn set_verifier(
        &self,
        py: Python<'_>,
        verifier: Option<&Bound<'_, PyAny>>,
        timeout: f64,
    ) -> PyResult<()> {
        let callable = verifier
            .map(|verifier| Callable::new(verifier, timeout))
            .transpose()?;
        let event_loop = callable.as_ref().and_then(|it| it.event_loop(py));
        let verifier = callable.map(|it| Arc::new(it) as Arc<dyn Verifier>);
        py.detach(|| self.inner.set_verifier(verifier))
            .map_err(|error| to_python(py, &error))?;
        *self.verifier_loop() = event_loop;
        Ok(())
    }

    /// Reloads whenever a file of the configuration changes, in a thread of its own, until the watcher is stopped or nothing
    /// refers to it any more: `with engine.watch(): …`. What came of it is in `stats()["reloads"]`. A file that would switch all
    /// authentication off is refused: ask for that with `reload`.
    ///
    /// Files are read after `debounce` seconds of quiet, and looked at every `poll` seconds even if no change is reported.
    /// Raises `ValueError` if there is no file, `OSError` if the system refuses.
    #[pyo3(
        signature = (debounce = 0.1, poll = Some(10.0)),
        text_signature = "($self, debounce=0.1, poll=10.0)"
    )]
    fn watch(&self, py: Python<'_>, debounce: f64, poll: Option<f64>) -> PyResult<Watcher> {
        Watcher::start(py, &self.inner, debounce, poll)
    }

    /// The recent refusals, oldest first: the last 64 of each reason. Of a flood, what is beyond 32 a second is left out.
    fn recent_refusals(&self, py: Python<'_>) -> Vec<Refusal> {
        let refusals = py.detach(|| self.inner.recent_refusals());
        refusals.into_iter().map(Refusal).collect()
    }

    /// The statistics of this moment. Reads the whole counter table: milliseconds for a million counters.
    #[pyo3(signature = (now = None))]
    fn stats<'py>(
        &self,
        py: Python<'py>,
        now: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let now = convert::now(now)?;
        let stats = py.detach(|| self.inner.stats_at(now));
        stats::to_dict(py, &stats)
    }

    /// The statistics of this moment as a page for Prometheus, of content type `text/plain; version=0.0.4`.
    #[pyo3(signature = (now = None))]
    fn prometheus(&self, py: Python<'_>, now: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
        let now = convert::now(now)?;
        Ok(py.detach(|| self.inner.stats_at(now).prometheus().to_string()))
    }

    /// Whether pages of this origin may send to the RUM routes (`apm-server.rum.allow_origins`): the value of the header `Origin`, or
    /// `None` where there is none.
    fn allows_origin(&self, origin: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Ok(self.inner.rum_cors().allows(&convert::origin(origin)?))
    }

    /// The headers that pages may send to the RUM routes besides those that RUM agents do (`apm-server.rum.allow_headers`).
    #[getter]
    fn allow_headers(&self) -> Vec<String> {
        self.inner.rum_cors().allow_headers().to_vec()
    }

    /// What works in the configuration in force but deserves a word: deprecated keys, keys without effect, no authentication.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        let warnings = self.inner.warnings();
        warnings.iter().map(ToString::to_string).collect()
    }

    /// The files that the configuration in force was read from: when one of them changes, reload.
    #[getter]
    fn files(&self) -> Vec<PathBuf> {
        self.inner.files()
    }

    fn __repr__(&self) -> &'static str {
        "<tollbar.Engine>"
    }
}

/// What `enter` returns.
type Entry<'py> = (Bound<'py, Client>, Bound<'py, Decision>);

impl Engine {
    /// The core's engine.
    #[inline]
    pub(crate) fn core(&self) -> &tollbar::Engine {
        &self.inner
    }

    #[inline(never)]
    fn decided<'py>(
        &self,
        py: Python<'py>,
        request: &Request<'_>,
        question: &Question<'_>,
        now: Option<u64>,
    ) -> PyResult<Bound<'py, Decision>> {
        // Made of the decision's parts: a whole one that is copied as soon as it was written is waited for.
        let made = |decision: &_| Decision::new(decision, question.resource);
        let decision = self.inner.check_incoming(request, question, now, made);
        Bound::new(py, decision)
    }

    #[inline(never)]
    fn entered<'py>(
        this: &Bound<'py, Self>,
        request: &Request<'_>,
        question: &Question<'_>,
        now: Option<u64>,
    ) -> PyResult<Entry<'py>> {
        let made = |client: &tollbar::Client<'_>, decision: &_| {
            (
                client.identity(),
                Decision::new(decision, question.resource),
            )
        };
        let (identity, decision) = this.get().inner.enter(request, question, now, made);
        let decision = Bound::new(this.py(), decision)?;
        Ok((Client::made(this, identity)?, decision))
    }

    #[inline(never)]
    fn let_in<'py>(
        this: &Bound<'py, Self>,
        scope: &Bound<'py, PyDict>,
        request: &Request<'_>,
        question: &Question<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let made = |client: &tollbar::Client<'_>, decision: &tollbar::Decision| {
            let refusal = (!decision.allowed()).then(|| Decision::new(decision, question.resource));
            (client.identity(), refusal)
        };
        let (identity, refusal) = this.get().inner.enter(request, question, None, made);
        let client = Client::made(this, identity)?;
        match refusal {
            None => scope::with_client(scope, client.as_any()).map(Bound::into_any),
            Some(refusal) => (client, refusal).into_bound_py_any(this.py()),
        }
    }

    fn made(
        py: Python<'_>,
        engine: Result<tollbar::Engine, tollbar::config::ConfigError>,
    ) -> PyResult<Self> {
        match engine {
            Ok(engine) => {
                let inner = Arc::new(engine);
                fork::register_engine(&inner);
                Ok(Self {
                    inner,
                    verifier_loop: Mutex::new(None),
                })
            }
            Err(error) => Err(to_python(py, &error)),
        }
    }

    fn verifier_loop(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.verifier_loop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_to_block_the_verifier(&self, py: Python<'_>) -> PyResult<()> {
        let Some(event_loop) = self.verifier_loop().as_ref().map(|it| it.clone_ref(py)) else {
            return Ok(());
        };
        if running_loop(py)?.is_some_and(|running| running.is(&event_loop)) {
            return Err(PyRuntimeError::new_err(
                "verify would block the event loop that its verifier runs on: await verify_async",
            ));
        }
        Ok(())
    }
}

/// Hands the core a request that borrows from Python's objects.
#[inline(always)]
fn with_request<R>(
    authorization: Option<&Bound<'_, PyAny>>,
    peer: &Text<'_>,
    headers: Option<&Bound<'_, PyAny>>,
    decide: impl FnOnce(&Request<'_>) -> PyResult<R>,
) -> PyResult<R> {
    let authorization = convert::authorization(authorization)?;
    let authorization = authorization.as_deref();
    let mut request = Request {
        authorization,
        ..Request::from_peer(Ipv4Addr::UNSPECIFIED.into())
    };
    convert::peer_to(&mut request.peer, peer)?;
    let Some(headers) = headers else {
        return decide(&request);
    };
    let tuple = headers.cast::<PyList>().ok().map(PyListMethods::to_tuple);
    let mut plain = convert::Plain::new();
    if let Some(plain) = tuple.as_ref().and_then(|tuple| plain.read(tuple)) {
        request.headers = plain;
        return decide(&request);
    }
    let headers = convert::Headers::collect(Some(headers))?;
    let pairs = headers.bytes()?;
    let pairs = convert::borrow(&pairs);
    request.headers = &pairs;
    decide(&request)
}

enum Source<'a> {
    SameFile,
    File(PathBuf),
    Text(&'a str),
}

fn source<'a>(path_or_yaml: Option<&'a Bound<'_, PyAny>>) -> PyResult<Source<'a>> {
    let Some(given) = path_or_yaml else {
        return Ok(Source::SameFile);
    };
    if let Ok(text) = given.cast::<PyString>() {
        let text = text.to_str()?;
        return Ok(if names_a_file(text) {
            Source::File(text.into())
        } else {
            Source::Text(text)
        });
    }
    given.extract().map(Source::File).map_err(|_| {
        PyTypeError::new_err(format!(
            "path_or_yaml: found a {}; accepted are None, a path, and YAML as str",
            convert::kind(given)
        ))
    })
}

fn names_a_file(text: &str) -> bool {
    let one_line = !text.contains(['\n', '\r', '\0']);
    one_line && (text.ends_with(".yml") || text.ends_with(".yaml") || Path::new(text).is_file())
}
