//! `tollbar.ConfigError` and `tollbar.Problem`: a configuration that was refused, with all that is wrong with it.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

create_exception!(
    tollbar,
    ConfigError,
    PyException,
    "A configuration was refused. `problems` lists everything that is wrong with it."
);

/// One thing that is wrong with a configuration.
#[pyclass(frozen, get_all, module = "tollbar")]
pub(crate) struct Problem {
    /// The file; None for a string.
    file: Option<String>,
    /// 1-based; None where no line is to blame.
    line: Option<usize>,
    /// 1-based; None where no column is to blame.
    column: Option<usize>,
    /// The dotted key; None where no key is to blame.
    key: Option<String>,
    /// What was found, never a secret.
    found: Option<String>,
    /// What is accepted.
    accepted: Option<String>,
    /// All of it in one sentence.
    message: String,
}
