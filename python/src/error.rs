//! `tollbar.ConfigError` and `tollbar.Problem`: a configuration that was refused, with all that is wrong with it.
//!
//! Invariant: they say what the core says. No secret's value is ever part of a problem.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

create_exception!(
    tollbar,
    ConfigError,
    PyException,
    "A configuration was refused. `problems` lists everything that is wrong with it; `str()` has a line for each."
);

/// One thing that is wrong with a configuration.
#[pyclass(frozen, module = "tollbar")]
pub(crate) struct Problem(pub(crate) tollbar::config::Problem);

#[pymethods]
impl Problem {
    /// The file, or what stands for the text; None if a program built the configuration.
    #[getter]
    fn file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// The line, from 1; None where no line is to blame.
    #[getter]
    fn line(&self) -> Option<u32> {
        self.0.line
    }

    /// The column, from 1, in characters; None where no column is to blame.
    #[getter]
    fn column(&self) -> Option<u32> {
        self.0.column
    }

    /// The full dotted name of the key; None where the file is to blame, not a key.
    #[getter]
    fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// What was found. Of a secret this says what kind of value it is, never the value.
    #[getter]
    fn found(&self) -> &str {
        &self.0.found
    }

    /// What is accepted instead.
    #[getter]
    fn accepted(&self) -> &str {
        &self.0.accepted
    }

    /// What was probably meant; None if there is no guess.
    #[getter]
    fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// All of it on one line.
    #[getter]
    fn message(&self) -> String {
        self.0.to_string()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<tollbar.Problem {}>", self.0)
    }
}

/// The core's error as Python's exception.
pub(crate) fn to_python(py: Python<'_>, error: &tollbar::config::ConfigError) -> PyErr {
    let exception = ConfigError::new_err(error.to_string());
    let problems = error
        .problems
        .iter()
        .map(|problem| Bound::new(py, Problem(problem.clone())))
        .collect::<PyResult<Vec<_>>>()
        .and_then(|problems| PyTuple::new(py, problems));
    match problems.and_then(|problems| exception.value(py).setattr("problems", problems)) {
        Ok(()) => exception,
        Err(out_of_memory) => out_of_memory,
    }
}
