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
    pub(crate) const NONE: Self = Self {
        data: std::ptr::null(),
        len: 0,
    };

    /// The bytes of a text that passed [`tollbar_str::bytes`] before.
    ///
    /// # Safety
    /// As there; and it let it pass.
    #[inline]
    pub(crate) unsafe fn checked_bytes<'a>(self) -> Option<&'a [u8]> {
        let present = !self.data.is_null();
        // SAFETY: the caller's promise.
        present.then(|| unsafe { std::slice::from_raw_parts(self.data.cast(), self.len) })
    }

    /// The text of one that passed [`tollbar_str::utf8`] before.
    ///
    /// # Safety
    /// As there; and it let it pass.
    #[inline]
    pub(crate) unsafe fn checked_utf8<'a>(self) -> Option<&'a str> {
        // SAFETY: the caller's promise.
        unsafe {
            let bytes = self.checked_bytes()?;
            Some(std::str::from_utf8_unchecked(bytes))
        }
    }

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

impl tollbar_str {
    /// Whether both are texts of none, or of 4 to 16 bytes of ASCII, as most names are. It says so in a few instructions, while
    /// `from_utf8` is a call.
    ///
    /// # Safety
    /// As [`tollbar_str::bytes`].
    #[inline(always)]
    pub(crate) unsafe fn are_plain(one: Self, other: Self) -> bool {
        const HIGH: u64 = 0x8080_8080_8080_8080;
        // One after the other: of both at once, compilers make flags to look at later.
        // SAFETY: the caller's promise.
        let Some(one) = (unsafe { one.bits() }) else {
            return false;
        };
        // SAFETY: as above.
        let Some(other) = (unsafe { other.bits() }) else {
            return false;
        };
        (one | other) & HIGH == 0
    }

    /// The bits of all bytes of a text of none, or of 4 to 16 bytes, or-ed together: two words cover such a text, and overlap.
    ///
    /// # Safety
    /// As [`tollbar_str::bytes`].
    #[inline(always)]
    unsafe fn bits(self) -> Option<u64> {
        if self.len.wrapping_sub(4) > 12 {
            return (self.len == 0).then_some(0);
        }
        if self.data.is_null() {
            return None;
        }
        // SAFETY: `first` and `last` lie within the text.
        Some(unsafe {
            if self.len >= 8 {
                let first = self.data.cast::<u64>();
                first.read_unaligned() | first.byte_add(self.len - 8).read_unaligned()
            } else {
                let first = self.data.cast::<u32>();
                (first.read_unaligned() | first.byte_add(self.len - 4).read_unaligned()).into()
            }
        })
    }
}

fn utf8(bytes: &[u8]) -> Checked<&str> {
    std::str::from_utf8(bytes).map_err(|_| tollbar_status::TOLLBAR_STATUS_INVALID_UTF8)
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
        let plain = |bytes: &[u8]| {
            let text = tollbar_str {
                data: bytes.as_ptr().cast(),
                len: bytes.len(),
            };
            // SAFETY: the text is there.
            let plain = |one, other| unsafe { tollbar_str::are_plain(one, other) };
            let both = [
                plain(text, tollbar_str::NONE),
                plain(tollbar_str::NONE, text),
            ];
            assert_eq!(both[0], both[1]);
            both[0]
        };
        for len in 0..40 {
            let ascii = vec![b'x'; len];
            assert_eq!(plain(&ascii), matches!(len, 0 | 4..=16), "{len}");
            for i in 0..len {
                let mut bytes = ascii.clone();
                bytes[i] = 0xff;
                assert!(!plain(&bytes), "{len} {i}");
            }
        }
        let lost = tollbar_str {
            data: std::ptr::null(),
            len: 5,
        };
        // SAFETY: nothing is there to be read.
        assert!(!unsafe { tollbar_str::are_plain(lost, tollbar_str::NONE) });
    }
}
