//! What went wrong, in words: into the caller's buffers.

use std::ffi::c_char;
use std::fmt;

use tollbar::WatchError;
use tollbar::config::ConfigError;

use crate::boundary::{self, Checked};
use crate::buffer::Buffer;
use crate::json;
use crate::raw::raw_status;
use crate::sized::{Output, Versioned};
use crate::status::{tollbar_status, tollbar_status_str};

/// What went wrong, in words. Begin with TOLLBAR_ERROR_INIT, point `text` or `json` or both to buffers of yours, and hand it to a
/// function that takes one. It is written in any case; after success the text is empty.
///
/// Texts end with a NUL, and are cut if they don't fit: their full length is told, so that you can try again with a larger buffer. No
/// secret is ever part of them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_error {
    /// sizeof(tollbar_error)
    pub size: usize,
    /// Where the text goes: a line for each problem, `file:line:column: key: found ...; accepted ...; did you mean ...?`. Or NULL.
    pub text: *mut c_char,
    /// How many bytes there are at `text`, the NUL included.
    pub text_capacity: usize,
    /// Written: the length of the whole text without its NUL.
    pub text_len: usize,
    /// Where the same goes as JSON: `{"status": 9, "message": ..., "problems": [{"file", "line", "column", "key", "found",
    /// "accepted", "hint"}]}`, where each may be null but `found` and `accepted`. Or NULL.
    pub json: *mut c_char,
    /// How many bytes there are at `json`, the NUL included.
    pub json_capacity: usize,
    /// Written: the length of the whole JSON without its NUL.
    pub json_len: usize,
    /// Written: how many problems the configuration has, at most 1000.
    pub problems: usize,
    /// Written: what the function returned.
    pub status: raw_status,
}

// SAFETY: `repr(C)`, the size first, and nothing but numbers and pointers.
unsafe impl Versioned for tollbar_error {}

/// Why a function that takes a [`tollbar_error`] did not do what it was asked to.
pub(crate) enum Failure {
    Status(tollbar_status),
    Config(Box<ConfigError>),
    Watch(Box<WatchError>),
}

impl Failure {
    fn status(&self) -> tollbar_status {
        match self {
            Self::Status(status) => *status,
            Self::Config(_) => tollbar_status::TOLLBAR_STATUS_CONFIG,
            Self::Watch(error) => match **error {
                WatchError::NoFile => tollbar_status::TOLLBAR_STATUS_NO_FILE,
                _ => tollbar_status::TOLLBAR_STATUS_SYSTEM,
            },
        }
    }

    fn json(&self) -> String {
        let problems = match self {
            Self::Config(error) => error.problems.as_slice(),
            _ => &[],
        };
        json::error(self.status(), &self.to_string(), problems)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => f.write_str(words(*status)),
            Self::Config(error) => error.fmt(f),
            Self::Watch(error) => error.fmt(f),
        }
    }
}

/// What a status means.
fn words(status: tollbar_status) -> &'static str {
    // SAFETY: static text with a NUL at its end.
    let text = unsafe { std::ffi::CStr::from_ptr(tollbar_status_str(status as u32)) };
    text.to_str().unwrap_or_default()
}

impl From<tollbar_status> for Failure {
    fn from(status: tollbar_status) -> Self {
        Self::Status(status)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.into())
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        Self::Watch(error.into())
    }
}

/// Where a function says what went wrong.
pub(crate) struct Report {
    place: Output<tollbar_error>,
    given: tollbar_error,
}

impl Report {
    /// Does something, and reports what came of it. If there is no way to report, nothing is done.
    ///
    /// # Safety
    /// NULL, or an error as the header asks, whose buffers are there.
    pub(crate) unsafe fn to(
        error: *mut tollbar_error,
        action: impl FnOnce() -> Result<(), Failure>,
    ) -> tollbar_status {
        // SAFETY: the caller's promise.
        let report = match boundary::guarded(Err(tollbar_status::TOLLBAR_STATUS_PANIC), || unsafe {
            Self::new(error)
        }) {
            Ok(report) => report,
            Err(status) => return status,
        };
        let panicked = tollbar_status::TOLLBAR_STATUS_PANIC;
        let result = boundary::guarded(Err(Failure::Status(panicked)), action);
        boundary::guarded(panicked, || {
            if let Some(report) = report {
                report.write(result.as_ref().err());
            }
            match &result {
                Ok(()) => tollbar_status::TOLLBAR_STATUS_OK,
                Err(failure) => failure.status(),
            }
        })
    }

    /// # Safety
    /// As [`Report::to`].
    unsafe fn new(error: *mut tollbar_error) -> Checked<Option<Self>> {
        if error.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        let place = unsafe { Output::new(error) }?;
        // SAFETY: it is neither NULL nor misaligned, and large enough.
        let given = unsafe { error.read() };
        Ok(Some(Self { place, given }))
    }

    fn write(&self, failure: Option<&Failure>) {
        let given = self.given;
        // SAFETY: the caller of `to` promised that the buffers are there.
        let (text, json) = unsafe {
            (
                Buffer::new(given.text, given.text_capacity),
                Buffer::new(given.json, given.json_capacity),
            )
        };
        let (text_len, json_len) = match failure {
            None => (text.print(""), json.print("")),
            Some(failure) => (text.print(failure), json.print(failure.json())),
        };
        let problems = match failure {
            Some(Failure::Config(error)) => error.problems.len(),
            _ => 0,
        };
        let status = failure.map_or(tollbar_status::TOLLBAR_STATUS_OK, Failure::status);
        self.place.set(tollbar_error {
            text_len,
            json_len,
            problems,
            status: status as u32,
            ..given
        });
    }
}
