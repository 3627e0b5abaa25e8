//! The cross-origin rules of the RUM routes, for servers that talk to browsers.

use std::ffi::c_char;

use crate::boundary::{Checked, guarded};
use crate::engine::{core, tollbar_engine};
use crate::reload::told;
use crate::text::tollbar_str;

/// Whether a page of this origin may send to the RUM routes: `apm-server.rum.allow_origins`. `origin` is the value of the header
/// `Origin`; NULL or empty: there is none, which only `*` allows. False if `engine` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_allows_origin(
    engine: *const tollbar_engine,
    origin: tollbar_str,
) -> bool {
    let ask = || -> Checked<bool> {
        // SAFETY: the header asks for what is passed on here.
        unsafe {
            let origin = origin.bytes()?.unwrap_or_default();
            Ok(core(engine)?.rum_cors().allows(origin))
        }
    };
    guarded(false, || ask().unwrap_or(false))
}

/// The headers that pages may send to the RUM routes besides those that RUM agents do, separated by a comma and a space:
/// `apm-server.rum.allow_headers`.
///
/// Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_allow_headers(
    engine: *const tollbar_engine,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        told(engine, buffer, capacity, |core| {
            core.rum_cors().allow_headers().join(", ")
        })
    }
}
