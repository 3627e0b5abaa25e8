//! What happens to engines and watchers in a forked process (gunicorn's workers, `multiprocessing` by fork, `os.fork`).
//!
//! Invariants: every engine that there is begins anew what no fork copies ([`tollbar::Engine::after_fork`]), every watcher that
//! watched does so again, and no thread of the parent's is ever waited for. Nothing here keeps an engine or a watcher alive.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;

use crate::error::to_python;
use crate::watcher::Watching;

#[derive(Default)]
struct Known {
    engines: Vec<Weak<tollbar::Engine>>,
    watchers: Vec<Weak<Watching>>,
}

/// Locked only by threads that hold the GIL and do nothing else meanwhile, as the one that forks does: it is free at a fork. (Without a
/// GIL, a fork may fall into another thread's addition, and is then not noticed here: see [`begin_anew`].)
static KNOWN: Mutex<Known> = Mutex::new(Known {
    engines: Vec::new(),
    watchers: Vec::new(),
});

/// This engine will begin anew in forked processes.
pub(crate) fn register_engine(engine: &Arc<tollbar::Engine>) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.engines.retain(|engine| engine.strong_count() > 0);
    known.engines.push(Arc::downgrade(engine));
}

/// This watcher will watch in forked processes, too.
pub(crate) fn register_watcher(watching: &Arc<Watching>) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known
        .watchers
        .retain(|watching| watching.strong_count() > 0);
    known.watchers.push(Arc::downgrade(watching));
}

/// Registered with `os.register_at_fork`, for the child. What it raises, Python reports as unraisable.
#[pyfunction]
pub(crate) fn begin_anew(py: Python<'_>) -> PyResult<()> {
    let Ok(known) = KNOWN.try_lock() else {
        return Err(pyo3::exceptions::PyRuntimeError::new_err(
            "tollbar: forked while another thread made an engine; make this process's engines anew",
        ));
    };
    let mut result = Ok(());
    for engine in known.engines.iter().filter_map(Weak::upgrade) {
        result = result.and(engine.after_fork().map_err(|error| to_python(py, &error)));
    }
    for watching in known.watchers.iter().filter_map(Weak::upgrade) {
        result = result.and(watching.again());
    }
    result
}
