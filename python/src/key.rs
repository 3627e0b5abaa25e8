//! `tollbar.GeneratedKey`: a fresh API key, and the hash that goes into the configuration.
//!
//! Invariant: `repr` shows the id only.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use tollbar::api_key::{self, KeygenError};

/// A fresh API key. Hand `credential` to the client, put `id` and `hash` into the configuration, and keep neither `key` nor `credential`.
#[pyclass(frozen, module = "tollbar")]
pub(crate) struct GeneratedKey(api_key::GeneratedKey);

#[pymethods]
impl GeneratedKey {
    /// For `apm-server.auth.api_key.keys[].id`.
    #[getter]
    fn id(&self) -> &str {
        &self.0.id
    }

    /// The secret: 128 random bits in base64.
    #[getter]
    fn key(&self) -> &str {
        &self.0.key
    }

    /// What the client sends: `Authorization: ApiKey <credential>`.
    #[getter]
    fn credential(&self) -> &str {
        &self.0.credential
    }

    /// For `apm-server.auth.api_key.keys[].hash`. No secret that opens anything.
    #[getter]
    fn hash(&self) -> &str {
        &self.0.hash
    }

    fn __repr__(&self) -> String {
        format!("<tollbar.GeneratedKey id={:?}>", self.0.id)
    }
}

/// Makes an API key, with a random id if none is given. Raises `ValueError` if the id is none that the configuration accepts.
#[pyfunction]
#[pyo3(signature = (id = None))]
pub(crate) fn generate_api_key(id: Option<&str>) -> PyResult<GeneratedKey> {
    let generated = match id {
        None => api_key::generate(),
        Some(id) => api_key::generate_with_id(id),
    };
    generated.map(GeneratedKey).map_err(to_python)
}

/// The hash of a key that exists already, with a fresh salt. Raises `ValueError` if the key is plainly weaker than 128 random bits.
#[pyfunction]
pub(crate) fn hash_api_key(id: &str, key: &[u8]) -> PyResult<String> {
    api_key::hash_key(id, key).map_err(to_python)
}

fn to_python(error: KeygenError) -> PyErr {
    match error {
        KeygenError::Random(_) => PyOSError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}
