//! `tollbar.Refusal`: one of the recent refusals, read-only.
//!
//! Invariant: it holds no secret. Names are what the client sent: escape them where that matters, as `repr` does.

use std::time::SystemTime;

use pyo3::prelude::*;
use tollbar::{Method, ShortText};

/// A request, a stream or a batch that was refused.
#[pyclass(frozen, module = "tollbar")]
pub(crate) struct Refusal(pub(crate) tollbar::Refusal);

#[pymethods]
impl Refusal {
    /// When: a `datetime` in UTC.
    #[getter]
    fn time(&self) -> SystemTime {
        self.0.time
    }

    /// Why, as a stable name.
    #[getter]
    fn reason(&self) -> &'static str {
        self.0.reason.as_str()
    }

    /// What the client wanted to do.
    #[getter]
    fn action(&self) -> &'static str {
        self.0.action.as_str()
    }

    /// How the client was identified; None if it was not.
    #[getter]
    fn method(&self) -> Option<&'static str> {
        self.0.method.map(Method::as_str)
    }

    /// Whom the rate limit counts.
    #[getter]
    fn client(&self) -> String {
        self.0.client.to_string()
    }

    /// The agent that was named, as far as it was known; at most 64 bytes of it.
    #[getter]
    fn agent(&self) -> Option<&str> {
        self.0.agent.as_ref().map(ShortText::as_str)
    }

    /// The service that was named, as far as it was known; at most 64 bytes of it.
    #[getter]
    fn service(&self) -> Option<&str> {
        self.0.service.as_ref().map(ShortText::as_str)
    }

    /// The id of the API key that was presented, never its secret. If the key was not valid, the id is what the client claims.
    #[getter]
    fn credential_id(&self) -> Option<&str> {
        self.0.credential_id.as_ref().map(ShortText::as_str)
    }

    /// The number of the configuration under which this was decided.
    #[getter]
    fn generation(&self) -> u64 {
        self.0.generation
    }

    fn __repr__(&self) -> String {
        format!(
            "<tollbar.Refusal {} client={} agent={} service={} credential_id={}>",
            self.0.reason,
            self.0.client,
            shown(self.agent()),
            shown(self.service()),
            shown(self.credential_id())
        )
    }
}

fn shown(text: Option<&str>) -> String {
    text.map_or("None".into(), |text| format!("{text:?}"))
}
