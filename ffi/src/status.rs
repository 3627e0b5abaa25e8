//! What a function says of itself.

use std::ffi::c_char;

use crate::boundary::guarded;
use crate::raw::raw_status;
use crate::text::c_text;

/// Whether a function did what it was asked to. It says nothing of the decision: a request that is refused is decided all the same.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum tollbar_status {
    /// Done.
    TOLLBAR_STATUS_OK = 0,
    /// A pointer is NULL that must not be, or a text has a length but no data.
    TOLLBAR_STATUS_NULL_ARGUMENT = 1,
    /// The `size` of a struct is too small, or larger than any will be (was it initialised by its TOLLBAR_..._INIT?), or there is
    /// something in it that this version of the library does not know.
    TOLLBAR_STATUS_INVALID_SIZE = 2,
    /// A pointer is not aligned as its type has to be.
    TOLLBAR_STATUS_MISALIGNED = 3,
    /// A length is larger than any memory.
    TOLLBAR_STATUS_TOO_LONG = 4,
    /// A text is not UTF-8. Where it is the name of an agent or a service, the decision is "not allowed".
    TOLLBAR_STATUS_INVALID_UTF8 = 5,
    /// An address is of no family, or a text is no address.
    TOLLBAR_STATUS_INVALID_ADDRESS = 6,
    /// A number stands for nothing: an action, for instance.
    TOLLBAR_STATUS_INVALID_VALUE = 7,
    /// A client was made by no call of this library, or by one on another engine.
    TOLLBAR_STATUS_INVALID_CLIENT = 8,
    /// The configuration is wrong: see the tollbar_error.
    TOLLBAR_STATUS_CONFIG = 9,
    /// There is no file to watch.
    TOLLBAR_STATUS_NO_FILE = 10,
    /// The operating system refused.
    TOLLBAR_STATUS_SYSTEM = 11,
    /// The verification has not ended yet.
    TOLLBAR_STATUS_PENDING = 12,
    /// Something went wrong in the library. It can be used on; please report it.
    TOLLBAR_STATUS_PANIC = 13,
}

/// What a status means, in a few words: static text, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tollbar_status_str(status: raw_status) -> *const c_char {
    guarded(std::ptr::null(), || match status {
        0 => c_text!("ok"),
        1 => c_text!("a pointer is NULL that must not be"),
        2 => c_text!("a struct's size is too small or too large, or it holds something unknown"),
        3 => c_text!("a pointer is not aligned"),
        4 => c_text!("a length is larger than any memory"),
        5 => c_text!("a text is not UTF-8"),
        6 => c_text!("not an IP address"),
        7 => c_text!("a number stands for nothing that is known"),
        8 => c_text!("a client that was not made by this engine"),
        9 => c_text!("the configuration is wrong"),
        10 => c_text!("there is no file to watch"),
        11 => c_text!("the operating system refused"),
        12 => c_text!("the verification has not ended yet"),
        13 => c_text!("a defect of the library"),
        _ => c_text!("an unknown status"),
    })
}
