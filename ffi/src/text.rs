//! Text of the caller's: a pointer and a length.
//!
//! Invariant: borrowed, never copied.

use std::ffi::c_char;

use crate::boundary::Checked;
use crate::status::tollbar_status;

/// Text or bytes of the caller's, borrowed for the duration of the call. It need not end with a NUL, and may hold some.
///
/// `data` NULL with `len` 0 means that there is none; `data` not NULL with `len` 0 is empty. tollbar_str_of() makes one of a C string.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_str {
    /// The first byte.
    pub data: *const c_char,
    /// How many bytes.
    pub len: usize,
}

impl tollbar_str {
    /// The bytes; `None` if there are none.
    ///
    /// # Safety
    /// Unless `data` is NULL, it points to `len` bytes that nobody changes during `'a`.
    #[inline]
    pub(crate) unsafe fn bytes<'a>(self) -> Checked<Option<&'a [u8]>> {
        if self.len > isize::MAX as usize {
            return Err(tollbar_status::TOLLBAR_STATUS_TOO_LONG);
        }
        if self.data.is_null() {
            return if self.len == 0 {
                Ok(None)
            } else {
                Err(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT)
            };
        }
        // SAFETY: the caller's promise; it is no longer than memory can be.
        Ok(Some(unsafe {
            std::slice::from_raw_parts(self.data.cast(), self.len)
        }))
    }

    /// As [`tollbar_str::bytes`], if it is UTF-8.
    ///
    /// # Safety
    /// As [`tollbar_str::bytes`].
    #[inline]
    pub(crate) unsafe fn utf8<'a>(self) -> Checked<Option<&'a str>> {
        // SAFETY: the caller's promise.
        unsafe { self.bytes() }?.map(utf8).transpose()
    }

    /// As [`tollbar_str::utf8`], where there must be one.
    ///
    /// # Safety
    /// As [`tollbar_str::bytes`].
    pub(crate) unsafe fn required<'a>(self) -> Checked<&'a str> {
        // SAFETY: the caller's promise.
        unsafe { self.utf8() }?.ok_or(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT)
    }
}

/// Names are short and mostly ASCII, for which a call of `from_utf8` costs more than the whole check here.
#[inline]
fn utf8(bytes: &[u8]) -> Checked<&str> {
    if short_ascii(bytes) {
        // SAFETY: ASCII is UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    long_utf8(bytes)
}

#[inline(never)]
fn long_utf8(bytes: &[u8]) -> Checked<&str> {
    std::str::from_utf8(bytes).map_err(|_| tollbar_status::TOLLBAR_STATUS_INVALID_UTF8)
}

/// Whether these are at most 16 bytes, all of them ASCII. From 4 bytes on, two words cover them all, and overlap.
#[inline]
fn short_ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let high_bits = match bytes.len() {
        0..4 => bytes.iter().fold(0, |all, byte| all | u64::from(*byte)),
        4..8 => {
            let words = bytes.first_chunk().zip(bytes.last_chunk());
            let Some((first, last)) = words else {
                return false;
            };
            u64::from(u32::from_le_bytes(*first) | u32::from_le_bytes(*last))
        }
        8..=16 => {
            let words = bytes.first_chunk().zip(bytes.last_chunk());
            let Some((first, last)) = words else {
                return false;
            };
            u64::from_le_bytes(*first) | u64::from_le_bytes(*last)
        }
        _ => return false,
    };
    high_bits & HIGH == 0
}

/// A constant text with a NUL at its end, for `const char *`.
macro_rules! c_text {
    ($text:expr) => {{
        const TEXT: &str = $text;
        static BYTES: [u8; TEXT.len() + 1] = crate::text::terminated(TEXT);
        BYTES.as_ptr().cast::<std::ffi::c_char>()
    }};
}
pub(crate) use c_text;

/// The text, and zeros for the rest.
pub(crate) const fn terminated<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < text.len() && i < N {
        bytes[i] = text.as_bytes()[i];
        i += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_place_of_a_byte_is_looked_at() {
        for len in 0..40 {
            let ascii = vec![b'x'; len];
            assert_eq!(short_ascii(&ascii), len <= 16, "{len}");
            assert!(utf8(&ascii).is_ok());
            for i in 0..len {
                let mut bytes = ascii.clone();
                bytes[i] = 0xff;
                assert!(!short_ascii(&bytes), "{len} {i}");
                assert!(utf8(&bytes).is_err(), "{len} {i}");
            }
        }
        assert_eq!(utf8("Prüfung".as_bytes()).ok(), Some("Prüfung"));
    }
}
