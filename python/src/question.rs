//! `tollbar.Question`: the core's question, kept.
//!
//! Invariant: immutable.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tollbar::{Action, Resource};

use crate::convert::{self, ActionName, Text};

/// What `Engine.check` is asked of every request of a route, read once. Immutable.
///
/// Raises `TypeError` or `ValueError` about what `check` would not take.
#[pyclass(frozen, eq, hash, module = "tollbar")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Question {
    action: Action,
    agent: Option<String>,
    service: Option<String>,
    rum: bool,
    cost: u64,
}

impl Question {
    /// As the core takes it.
    #[inline]
    pub(crate) fn core(&self) -> tollbar::Question<'_> {
        tollbar::Question {
            action: self.action,
            resource: Resource {
                agent: self.agent.as_deref(),
                service: self.service.as_deref(),
            },
            rum: self.rum,
            cost: self.cost,
        }
    }
}

#[pymethods]
impl Question {
    #[new]
    #[pyo3(
        signature = (action = ActionName::Default, agent = None, service = None, cost = None, rum = false),
        text_signature = "(action='ingest', agent=None, service=None, cost=1, rum=False)"
    )]
    fn new(
        action: ActionName<'_>,
        agent: Option<Text<'_>>,
        service: Option<Text<'_>>,
        cost: Option<&Bound<'_, PyAny>>,
        rum: bool,
    ) -> PyResult<Self> {
        let asked = convert::question(&action, agent.as_ref(), service.as_ref(), rum, cost)?;
        Ok(Self {
            action: asked.action,
            agent: asked.resource.agent.map(str::to_owned),
            service: asked.resource.service.map(str::to_owned),
            rum: asked.rum,
            cost: asked.cost,
        })
    }

    /// For copies, and for other processes.
    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let arguments = (
            self.action.as_str(),
            self.agent.as_deref(),
            self.service.as_deref(),
            self.cost,
            self.rum,
        );
        arguments.into_pyobject(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let arguments = slf.get().__getnewargs__(slf.py())?;
        Ok(format!("Question{}", arguments.repr()?))
    }
}
