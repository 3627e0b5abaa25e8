//! Which library this is.

use std::ffi::c_char;

use crate::boundary::guarded;
use crate::text::{c_text, tollbar_str};

/// The version of the ABI that this header describes: it changes with each break, as the shared library's name does.
pub const TOLLBAR_ABI_VERSION: u32 = 0;

/// The TOLLBAR_ABI_VERSION that the library was built with: a program that loads it at run time compares the two.
#[unsafe(no_mangle)]
pub extern "C" fn tollbar_abi_version() -> u32 {
    TOLLBAR_ABI_VERSION
}

/// The library's version, such as "0.1.0": static text.
#[unsafe(no_mangle)]
pub extern "C" fn tollbar_version() -> *const c_char {
    c_text!(env!("CARGO_PKG_VERSION"))
}

/// Whether the library can do this: "elasticsearch" (verify API keys against Elasticsearch), "watch" (reload when files change),
/// "prometheus". Unknown names are false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_has_feature(name: tollbar_str) -> bool {
    guarded(false, || {
        // SAFETY: the header asks for a text that is there.
        let name = unsafe { name.utf8() };
        matches!(name, Ok(Some("elasticsearch" | "watch" | "prometheus")))
    })
}
