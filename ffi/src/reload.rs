//! Reloads that somebody asks for, and what came of all of them.

use std::ffi::c_char;

use crate::boundary::{self, guarded};
use crate::buffer::Buffer;
use crate::config::{self, tollbar_config};
use crate::engine::{core, tollbar_engine};
use crate::error::{Failure, Report, tollbar_error};
use crate::json;
use crate::status::tollbar_status;
use crate::text::tollbar_str;

/// Replaces the configuration with that of a file, whole or not at all. `path` NULL: of the file that the one in force came from.
///
/// Live counters are kept: nobody is refilled, and changed limits hold at once. Decisions go on meanwhile. `*generation`, unless it is
/// NULL, is the number of the new configuration. TOLLBAR_STATUS_CONFIG: the one before stays in force, the failure is counted, and
/// everything that is wrong is in `*error`, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_reload_file(
    engine: *const tollbar_engine,
    path: tollbar_str,
    generation: *mut u64,
    error: *mut tollbar_error,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        reloaded(generation, error, || {
            let path = match path.bytes()? {
                Some(_) => Some(config::path(path)?),
                None => None,
            };
            Ok(core(engine)?.reload_file(path.as_deref())?)
        })
    }
}

/// As tollbar_reload_file(), with a configuration as YAML text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_reload_yaml(
    engine: *const tollbar_engine,
    yaml: tollbar_str,
    generation: *mut u64,
    error: *mut tollbar_error,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        reloaded(generation, error, || {
            Ok(core(engine)?.reload_yaml(yaml.required()?)?)
        })
    }
}

/// As tollbar_reload_file(), with a configuration that the program builds; NULL stands for TOLLBAR_CONFIG_INIT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_reload_config(
    engine: *const tollbar_engine,
    config: *const tollbar_config,
    generation: *mut u64,
    error: *mut tollbar_error,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        reloaded(generation, error, || {
            Ok(core(engine)?.reload(config::config(config)?)?)
        })
    }
}

/// # Safety
/// `generation` and `error` are as the header asks.
unsafe fn reloaded(
    generation: *mut u64,
    error: *mut tollbar_error,
    reload: impl FnOnce() -> Result<u64, Failure>,
) -> tollbar_status {
    // SAFETY: the caller's promise.
    unsafe {
        Report::to(error, || {
            if !generation.is_null() {
                boundary::usable(generation)?;
            }
            let reloaded = reload()?;
            if !generation.is_null() {
                boundary::write(generation, reloaded)?;
            }
            Ok(())
        })
    }
}

/// The last 32 reloads as JSON, oldest first: `[{"time_unix_ns", "generation", "taken", "changed": [keys], "problem_count",
/// "problems": [as in a tollbar_error]}]`. Keys of secrets are named, never their values.
///
/// Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_reloads_json(
    engine: *const tollbar_engine,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        told(engine, buffer, capacity, |core| {
            json::reloads(&core.stats().reloads)
        })
    }
}

/// What works in the configuration in force but deserves a word, a line each: deprecated keys, keys without effect.
///
/// Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_warnings(
    engine: *const tollbar_engine,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        told(engine, buffer, capacity, |core| {
            let lines: Vec<String> = core.warnings().iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }
}

/// The files that the configuration in force was read from, a line each.
///
/// Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_files(
    engine: *const tollbar_engine,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        told(engine, buffer, capacity, |core| {
            let files = core.files();
            let lines: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
            lines.join("\n")
        })
    }
}

/// # Safety
/// `engine` and the buffer are as the header asks.
pub(crate) unsafe fn told(
    engine: *const tollbar_engine,
    buffer: *mut c_char,
    capacity: usize,
    tell: impl FnOnce(&tollbar::Engine) -> String,
) -> usize {
    guarded(0, || {
        // SAFETY: the caller's promise.
        let (buffer, core) = unsafe { (Buffer::new(buffer, capacity), core(engine)) };
        core.map_or(0, |core| buffer.print(tell(core)))
    })
}
