//! `tollbar.Watcher`: reloads when the configuration's files change, for as long as it lives.
//!
//! Invariant: stopping waits for a reload that is going on, without the GIL.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tollbar::{Engine, WatchError, WatchOptions};

use crate::convert;

/// Reloads the engine whenever a file of its configuration changes. A context manager. Watching ends with `stop`, at the end of
/// the `with` block, and when nothing refers to this any more.
#[pyclass(frozen, module = "tollbar")]
pub(crate) struct Watcher(Mutex<Option<tollbar::Watcher>>);

impl Watcher {
    pub(crate) fn start(
        py: Python<'_>,
        engine: &Arc<Engine>,
        debounce: f64,
        poll: Option<f64>,
    ) -> PyResult<Self> {
        let options = WatchOptions {
            debounce: convert::seconds("debounce", debounce)?,
            poll: poll
                .map(|poll| convert::seconds("poll", poll))
                .transpose()?,
        };
        match py.detach(|| engine.watch(options)) {
            Ok(watcher) => Ok(Self(Mutex::new(Some(watcher)))),
            Err(error @ WatchError::NoFile) => Err(PyValueError::new_err(error.to_string())),
            Err(error) => Err(PyOSError::new_err(error.to_string())),
        }
    }
}

#[pymethods]
impl Watcher {
    /// Stops watching. A second time does nothing.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take()));
    }

    fn __enter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    #[pyo3(signature = (*_exception), text_signature = "($self, kind, error, traceback, /)")]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.stop(py);
    }
}
