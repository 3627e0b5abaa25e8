//! The Python module `tollbar._tollbar`: the core's types, translated. A file per Python type.
//!
//! Invariants: no rule lives here. Nothing here panics on what Python passes in: a value of the wrong
//! form is a `TypeError` or `ValueError` that names what was found and what is accepted. Every class is
//! frozen and holds only `Send + Sync` data, so the module needs no GIL of its own.

mod client;
mod convert;
mod decision;
mod ending;
mod engine;
mod error;
mod key;
mod refusal;
mod stats;
mod verification;
mod verifier;
mod watcher;

use pyo3::prelude::*;

/// Lock-free authentication and per-IP rate limiting for telemetry intake servers.
#[pymodule(gil_used = false)]
fn _tollbar(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let at_exit = wrap_pyfunction!(ending::at_exit, module)?;
    module
        .py()
        .import("atexit")?
        .call_method1("register", (at_exit,))?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("ConfigError", module.py().get_type::<error::ConfigError>())?;
    module.add_class::<error::Problem>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<client::Client>()?;
    module.add_class::<decision::Decision>()?;
    module.add_class::<refusal::Refusal>()?;
    module.add_class::<watcher::Watcher>()?;
    module.add_class::<key::GeneratedKey>()?;
    module.add_function(wrap_pyfunction!(key::generate_api_key, module)?)?;
    module.add_function(wrap_pyfunction!(key::hash_api_key, module)?)
}
