//! `Engine.check_batch`: many decisions at once, on columns.
//!
//! Invariants: the columns are read while Python stands still; the decisions are made without the GIL, all as of one instant.
//! If an argument can't be read, nothing is decided and nothing charged.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use tollbar::{Engine, Question, Request, Resource};

use crate::column::{Counts, Names, Source, peers};
use crate::convert::{self, ActionName, Headers, Text};
use crate::decisions::Decisions;

/// The arguments of `check_batch`, as Python has them.
pub(crate) struct Columns<'a, 'py> {
    pub(crate) peers: &'a Bound<'py, PyAny>,
    pub(crate) authorization: Option<&'a Bound<'py, PyAny>>,
    pub(crate) headers: Option<&'a Bound<'py, PyAny>>,
    pub(crate) action: ActionName<'a>,
    pub(crate) agent: Option<&'a Bound<'py, PyAny>>,
    pub(crate) service: Option<&'a Bound<'py, PyAny>>,
    pub(crate) cost: Option<&'a Bound<'py, PyAny>>,
    pub(crate) now: Option<u64>,
    pub(crate) rum: bool,
}

impl Columns<'_, '_> {
    pub(crate) fn check(&self, engine: &Engine) -> PyResult<Decisions> {
        let (py, now, rum) = (self.peers.py(), self.now, self.rum);
        let source = Source::of("peers", self.peers)?;
        let peers = peers(&source)?;
        let len = peers.len();

        let action = convert::action(&self.action)?;
        let (agents, services) = (
            column("agent", self.agent, len)?,
            column("service", self.service, len)?,
        );
        let (agent, service) = (one(self.agent), one(self.service));
        let agents = Names::of("agent", agent.as_ref(), agents.as_ref())?;
        let services = Names::of("service", service.as_ref(), services.as_ref())?;
        let is_number = self
            .cost
            .is_some_and(|cost| cost.cast::<pyo3::types::PyInt>().is_ok());
        let cost_column = if is_number {
            None
        } else {
            column("cost", self.cost, len)?
        };
        let costs = Counts::of(self.cost, cost_column.as_ref())?;

        let credentials = column("authorization", self.authorization, len)?;
        let credentials = items("authorization", credentials.as_ref())?;
        let credential = match &credentials {
            None => convert::authorization(self.authorization)?,
            Some(_) => None,
        };
        let credentials = credentials
            .iter()
            .flatten()
            .map(|item| convert::authorization((!item.is_none()).then_some(item)))
            .collect::<PyResult<Vec<_>>>()?;

        let headers = column("headers", self.headers, len)?;
        let headers = items("headers", headers.as_ref())?.unwrap_or_default();
        let headers = headers
            .iter()
            .map(|headers| Headers::collect((!headers.is_none()).then_some(headers)))
            .collect::<PyResult<Vec<_>>>()?;
        let headers = headers
            .iter()
            .map(Headers::bytes)
            .collect::<PyResult<Vec<_>>>()?;
        let headers: Vec<_> = headers
            .iter()
            .map(|headers| convert::borrow(headers))
            .collect();

        let (agents, services) = (agents.all(len), services.all(len));
        let costs = costs.all(len)?;
        let resource = |index| Resource {
            agent: agents.get(index),
            service: services.get(index),
        };
        let ask = |index: usize| {
            let request = Request {
                authorization: credentials
                    .get(index)
                    .map_or(credential.as_deref(), Option::as_deref),
                peer: peers[index],
                headers: headers.get(index).map_or(&[], Vec::as_slice),
            };
            let question = Question {
                action,
                resource: resource(index),
                rum,
                cost: costs.get(index),
            };
            (request, question)
        };
        // What is put together for one request at a time stays in the caches.
        let decisions = py.detach(|| {
            let mut decisions = Vec::with_capacity(len);
            engine.check_each(
                len,
                |_| true,
                ask,
                now,
                |_, decision| decisions.push(*decision),
            );
            decisions
        });
        Ok(Decisions::new(decisions, resource))
    }
}

/// An argument that is one value for all.
fn one<'a>(value: Option<&'a Bound<'_, PyAny>>) -> Option<Text<'a>> {
    let value = value.filter(|value| value.is_instance_of::<PyString>())?;
    Some(Text::of_any(value.as_borrowed()))
}

/// An argument that is a column, of the right length.
fn column<'py>(
    argument: &str,
    value: Option<&Bound<'py, PyAny>>,
    len: usize,
) -> PyResult<Option<Source<'py>>> {
    let single = |value: &&Bound<'_, PyAny>| {
        value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>()
    };
    let Some(value) = value.filter(|value| !single(value)) else {
        return Ok(None);
    };
    let source = Source::of(argument, value)?;
    let found = source.len()?;
    if found != len {
        return Err(PyValueError::new_err(format!(
            "{argument}: found {found} items for {len} peers"
        )));
    }
    Ok(Some(source))
}

/// The items of a column that can only be a sequence.
fn items<'py>(
    argument: &str,
    source: Option<&Source<'py>>,
) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    match source {
        None => Ok(None),
        Some(Source::Sequence(items)) => Ok(Some(items.iter().collect())),
        Some(_) => Err(PyValueError::new_err(format!(
            "{argument}: accepted is a sequence"
        ))),
    }
}
