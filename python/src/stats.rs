//! `Engine.stats()`: the core's statistics as a dict.
//!
//! Invariant: it says all that the core says, under the core's names.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tollbar::{Reload, ReloadOutcome, Stats};

use crate::error::Problem;

pub(crate) fn to_dict<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let allowed = PyDict::new(py);
    for (method, count) in &stats.allowed {
        allowed.set_item(method.as_str(), count)?;
    }
    let refused = PyDict::new(py);
    for (reason, count) in &stats.refused {
        refused.set_item(reason.as_str(), count)?;
    }
    let reloads = PyList::empty(py);
    for one in &stats.reloads {
        reloads.append(reload(py, one)?)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("generation", stats.generation)?;
    dict.set_item("reload_errors", stats.reload_errors)?;
    dict.set_item("reloads", reloads)?;
    dict.set_item("allowed", allowed)?;
    dict.set_item("refused", refused)?;
    dict.set_item("refusals_not_recorded", stats.refusals_not_recorded)?;
    dict.set_item("ip_limit", stats.ip_limit)?;
    dict.set_item("live_counters", stats.live_counters)?;
    dict.set_item("claimed_counters", stats.claimed_counters)?;
    dict.set_item("displaced_clients", stats.displaced_clients)?;
    dict.set_item("api_keys", api_keys(py, stats)?)?;
    Ok(dict)
}

fn reload<'py>(py: Python<'py>, reload: &Reload) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("time", reload.time)?;
    dict.set_item("generation", reload.generation)?;
    let problems = PyList::empty(py);
    let (mut changed, mut problem_count) = (None, 0);
    match &reload.outcome {
        ReloadOutcome::Taken { changed: keys, .. } => changed = Some(keys),
        ReloadOutcome::Refused {
            problems: found,
            count,
            ..
        } => {
            problem_count = *count;
            for problem in found {
                problems.append(Problem(problem.clone()))?;
            }
        }
        // The core may come to know other outcomes.
        _ => {}
    }
    dict.set_item("changed", changed)?;
    dict.set_item("problems", problems)?;
    dict.set_item("problem_count", problem_count)?;
    Ok(dict)
}

fn api_keys<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let api_keys = &stats.api_keys;
    let dict = PyDict::new(py);
    dict.set_item("started", api_keys.started)?;
    dict.set_item("unavailable", api_keys.unavailable)?;
    dict.set_item("over_budget", api_keys.over_budget)?;
    dict.set_item("last_error", &api_keys.last_error)?;
    dict.set_item("valid_held", api_keys.valid_held)?;
    dict.set_item("invalid_held", api_keys.invalid_held)?;
    Ok(dict)
}
