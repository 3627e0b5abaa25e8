//! `tollbar.Watcher`: reloads when the configuration's files change, for as long as it lives.
//!
//! Invariants: stopping waits for a reload that is going on, without the GIL. A forked process watches with a thread of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tollbar::{Engine, WatchError, WatchOptions};

use crate::{convert, fork};

/// Reloads the engine whenever a file of its configuration changes. A context manager. Watching ends with `stop`, at the end of
/// the `with` block, and when nothing refers to this any more.
#[pyclass(frozen, module = "tollbar")]
pub(crate) struct Watcher(Arc<Watching>);

/// A watcher, and what it takes to start it once more.
pub(crate) struct Watching {
    engine: Weak<Engine>,
    options: WatchOptions,
    /// `None`: it was stopped.
    watcher: Mutex<Option<tollbar::Watcher>>,
}

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
        let watcher = py
            .detach(|| engine.watch(options))
            .map_err(|error| to_python(&error))?;
        let watching = Arc::new(Watching {
            engine: Arc::downgrade(engine),
            options,
            watcher: Mutex::new(Some(watcher)),
        });
        fork::register_watcher(&watching);
        Ok(Self(watching))
    }
}

impl Watching {
    /// In a forked process, where the thread does not exist: starts another one, if this was not stopped.
    pub(crate) fn again(&self) -> PyResult<()> {
        let mut watcher = self.watcher();
        // Dropping it would wait for its thread.
        let Some(()) = watcher.take().map(std::mem::forget) else {
            return Ok(());
        };
        let Some(engine) = self.engine.upgrade() else {
            return Ok(());
        };
        *watcher = Some(
            engine
                .watch(self.options)
                .map_err(|error| to_python(&error))?,
        );
        Ok(())
    }

    fn watcher(&self) -> MutexGuard<'_, Option<tollbar::Watcher>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_python(error: &WatchError) -> PyErr {
    match error {
        WatchError::NoFile => PyValueError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

#[pymethods]
impl Watcher {
    /// Stops watching. A second time does nothing.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| {
            let watcher = self.0.watcher().take();
            drop(watcher);
        });
    }

    fn __enter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    #[pyo3(signature = (*_exception), text_signature = "($self, kind, error, traceback, /)")]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.stop(py);
    }
}
