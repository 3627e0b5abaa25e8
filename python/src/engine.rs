//! `tollbar.Engine`: where everything begins.
//!
//! Invariants: frozen and thread-safe; the core's engine is shared with the clients made from it. What reads files
//! releases the GIL; a decision takes nanoseconds and does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use tollbar::{Request, Resource};

use crate::client::Client;
use crate::convert;
use crate::decision::Decision;
use crate::error::to_python;

/// Decides who gets in. Thread-safe and lock-free: make one and share it.
#[pyclass(frozen, module = "tollbar")]
pub(crate) struct Engine {
    inner: Arc<tollbar::Engine>,
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
            authorization = None, peer = "203.0.113.9", headers = None, action = "ingest",
            agent = None, service = None, cost = None, now = None, rum = false
        ),
        text_signature = "($self, authorization=None, peer='203.0.113.9', headers=None, action='ingest', \
                          agent=None, service=None, cost=1, now=None, rum=False)"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "Python's keyword arguments, each with a default"
    )]
    fn check(
        &self,
        authorization: Option<&Bound<'_, PyAny>>,
        peer: &str,
        headers: Option<&Bound<'_, PyAny>>,
        action: &str,
        agent: Option<&str>,
        service: Option<&str>,
        cost: Option<&Bound<'_, PyAny>>,
        now: Option<&Bound<'_, PyAny>>,
        rum: bool,
    ) -> PyResult<Decision> {
        let action = convert::action(action)?;
        let cost = cost.map_or(Ok(1), |cost| convert::count("cost", cost))?;
        let now = convert::now(now)?;
        let resource = Resource { agent, service };
        with_request(authorization, peer, headers, |request| {
            let decision = self.inner.check(request, action, resource, rum, cost, now);
            Decision::about(decision, agent, service)
        })
    }

    /// Identifies a client, for servers that decide the rest in steps. Charges nothing and never refuses: a client that was
    /// refused answers every later call with that refusal.
    #[pyo3(signature = (authorization = None, peer = "203.0.113.9", headers = None))]
    fn authenticate(
        &self,
        authorization: Option<&Bound<'_, PyAny>>,
        peer: &str,
        headers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Client> {
        with_request(authorization, peer, headers, |request| {
            let identity = self.inner.authenticate(request).identity();
            Client::new(Arc::clone(&self.inner), identity)
        })
    }

    /// The statistics of this moment. Reads the whole counter table: milliseconds for a million counters.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.inner.stats());
        let allowed = PyDict::new(py);
        for (method, count) in &stats.allowed {
            allowed.set_item(method.as_str(), count)?;
        }
        let refused = PyDict::new(py);
        for (reason, count) in &stats.refused {
            refused.set_item(reason.as_str(), count)?;
        }
        let dict = PyDict::new(py);
        dict.set_item("generation", stats.generation)?;
        dict.set_item("reload_errors", stats.reload_errors)?;
        dict.set_item("allowed", allowed)?;
        dict.set_item("refused", refused)?;
        dict.set_item("ip_limit", stats.ip_limit)?;
        dict.set_item("live_counters", stats.live_counters)?;
        dict.set_item("claimed_counters", stats.claimed_counters)?;
        dict.set_item("displaced_clients", stats.displaced_clients)?;
        Ok(dict)
    }

    /// What works in the configuration in force but deserves a word: deprecated keys, keys without effect.
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

impl Engine {
    fn made(
        py: Python<'_>,
        engine: Result<tollbar::Engine, tollbar::config::ConfigError>,
    ) -> PyResult<Self> {
        match engine {
            Ok(engine) => Ok(Self {
                inner: Arc::new(engine),
            }),
            Err(error) => Err(to_python(py, &error)),
        }
    }
}

/// Hands the core a request that borrows from Python's objects.
fn with_request<R>(
    authorization: Option<&Bound<'_, PyAny>>,
    peer: &str,
    headers: Option<&Bound<'_, PyAny>>,
    decide: impl FnOnce(&Request<'_>) -> R,
) -> PyResult<R> {
    let authorization = convert::authorization(authorization)?;
    let peer = convert::peer(peer)?;
    let headers = convert::Headers::collect(headers)?;
    let pairs = headers.bytes()?;
    let pairs = convert::borrow(&pairs);
    Ok(decide(&Request {
        authorization: authorization.as_deref(),
        peer,
        headers: &pairs,
    }))
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
