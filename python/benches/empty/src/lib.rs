//! The floor under `Engine.check`: PyO3 methods with its signature that do nothing. python/benches/ measures both in one run.

use pyo3::prelude::*;

/// Has the methods.
#[pyclass(frozen)]
struct Empty;

#[pymethods]
impl Empty {
    #[new]
    fn new() -> Self {
        Self
    }

    /// Takes the arguments of `Engine.check` as the types that they have, and drops them.
    #[pyo3(signature = (
        authorization = None, peer = "203.0.113.9", headers = None, action = "ingest", agent = None, service = None, cost = 1,
        now = None, rum = false
    ))]
    #[expect(clippy::too_many_arguments, reason = "those of Engine.check")]
    fn check(
        &self,
        authorization: Option<&str>,
        peer: &str,
        headers: Option<&Bound<'_, PyAny>>,
        action: &str,
        agent: Option<&str>,
        service: Option<&str>,
        cost: u64,
        now: Option<u64>,
        rum: bool,
    ) {
        let _ = (
            authorization,
            peer,
            headers,
            action,
            agent,
            service,
            cost,
            now,
            rum,
        );
    }
}

/// Nothing, as fast as PyO3 can.
#[pymodule(gil_used = false)]
fn tollbar_bench_empty(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Empty>()
}
