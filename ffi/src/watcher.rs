//! Watching the configuration's files.

use std::time::Duration;

use tollbar::{WatchOptions, Watcher};

use crate::boundary::{self, guarded};
use crate::engine::{counted, tollbar_engine};
use crate::error::{Report, tollbar_error};
use crate::sized::{self, Versioned};
use crate::status::tollbar_status;

/// Watches the configuration's files until it is stopped.
pub struct tollbar_watcher {
    /// Watches until it is dropped.
    _watcher: Watcher,
}

/// How files are watched. Begin with TOLLBAR_WATCH_OPTIONS_INIT: 100 ms of quiet, and a look every 10 s.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_watch_options {
    /// sizeof(tollbar_watch_options)
    pub size: usize,
    /// How long the files must be quiet before they are read, in nanoseconds.
    pub debounce_ns: u64,
    /// How often the files are looked at even though nothing was reported, as on network file systems, in nanoseconds. 0: never.
    pub poll_ns: u64,
}

// SAFETY: `repr(C)`, the size first, and nothing but numbers.
unsafe impl Versioned for tollbar_watch_options {}

/// Reloads whenever a file of the configuration changes, in a thread of its own, until tollbar_watch_stop(). A configuration that is wrong, or
/// that would switch all authentication off, is refused; see tollbar_engine_reloads_json(). `options` NULL: as
/// TOLLBAR_WATCH_OPTIONS_INIT.
///
/// `*watcher` is to be stopped with tollbar_watch_stop(), or NULL if the status is not TOLLBAR_STATUS_OK. TOLLBAR_STATUS_NO_FILE: the
/// configuration came from a text or a program. TOLLBAR_STATUS_SYSTEM: why is in `*error`, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_watch_start(
    engine: *const tollbar_engine,
    options: *const tollbar_watch_options,
    watcher: *mut *mut tollbar_watcher,
    error: *mut tollbar_error,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        Report::to(error, || {
            boundary::write(watcher, std::ptr::null_mut())?;
            let engine = counted(engine)?;
            let options = match sized::optional_input(options)? {
                None => WatchOptions::default(),
                Some(options) => WatchOptions {
                    debounce: Duration::from_nanos(options.debounce_ns),
                    poll: match options.poll_ns {
                        0 => None,
                        ns => Some(Duration::from_nanos(ns)),
                    },
                },
            };
            let watching = Box::new(tollbar_watcher {
                _watcher: engine.watch(options)?,
            });
            Ok(boundary::write(watcher, Box::into_raw(watching))?)
        })
    }
}

/// Stops watching and frees the watcher; waits for a reload that is under way. NULL is fine. No other call on it may be under way
/// or follow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_watch_stop(watcher: *mut tollbar_watcher) {
    guarded((), || {
        if boundary::usable(watcher).is_ok() {
            // SAFETY: it came from `Box::into_raw`, and the caller gives it up.
            drop(unsafe { Box::from_raw(watcher) });
        }
    });
}
