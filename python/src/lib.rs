//! The Python module `tollbar._tollbar`: the core's types, translated. A file per Python type.
//!
//! Invariants: no rule lives here. Nothing here panics on what Python passes in: a value of the wrong
//! form is a `TypeError` or `ValueError` that names what was found and what is accepted. Every class is
//! frozen and holds only `Send + Sync` data, so the module needs no GIL of its own.

mod arrow;
mod batch;
mod client;
mod column;
mod convert;
mod decision;
mod decisions;
mod ending;
mod engine;
mod error;
mod fork;
mod key;
mod program;
mod question;
mod refusal;
mod scope;
mod stats;
mod verification;
mod verifier;
mod watcher;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Lock-free authentication and per-IP rate limiting for telemetry intake servers.
#[pymodule(gil_used = false)]
fn _tollbar(module: &Bound<'_, PyModule>) -> PyResult<()> {
    refuse_subinterpreters()?;
    let at_exit = wrap_pyfunction!(ending::at_exit, module)?;
    module
        .py()
        .import("atexit")?
        .call_method1("register", (at_exit,))?;
    let begin_anew = wrap_pyfunction!(fork::begin_anew, module)?;
    // Only where there is a fork.
    if let Some(register) = module.py().import("os")?.getattr_opt("register_at_fork")? {
        let arguments = PyDict::new(module.py());
        arguments.set_item("after_in_child", begin_anew)?;
        register.call((), Some(&arguments))?;
    }
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("ConfigError", module.py().get_type::<error::ConfigError>())?;
    module.add_class::<error::Problem>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<client::Client>()?;
    module.add_class::<decision::Decision>()?;
    module.add_class::<decisions::Decisions>()?;
    module.add_class::<question::Question>()?;
    module.add_class::<refusal::Refusal>()?;
    module.add_class::<watcher::Watcher>()?;
    module.add_class::<key::GeneratedKey>()?;
    module.add_function(wrap_pyfunction!(program::main, module)?)?;
    module.add_function(wrap_pyfunction!(key::generate_api_key, module)?)?;
    module.add_function(wrap_pyfunction!(key::hash_api_key, module)?)
}

/// The classes and the engine's threads belong to the main interpreter: PyO3 keeps one of each type for the whole process.
fn refuse_subinterpreters() -> PyResult<()> {
    // SAFETY: this thread is attached to an interpreter, whose state this reads.
    let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "tollbar runs in the main interpreter, not in subinterpreters; under mod_wsgi, set `WSGIApplicationGroup %{GLOBAL}`",
    ))
}
