//! Text for the caller, in the manner of `snprintf`.
//!
//! Invariants: no allocation; never more than the buffer holds; always a NUL at the end, if there is room for any; cut between two characters.

use std::ffi::c_char;
use std::fmt::{self, Write as _};

/// A buffer of the caller's.
pub(crate) struct Buffer {
    data: *mut u8,
    /// Without the NUL.
    room: usize,
    written: usize,
    /// The whole text's length.
    needed: usize,
}

impl Buffer {
    /// `capacity` bytes at `data`, the NUL included; NULL: the text is only measured.
    ///
    /// # Safety
    /// Unless it is NULL, `data` points to as many bytes, which nobody else uses while this is used.
    pub(crate) unsafe fn new(data: *mut c_char, capacity: usize) -> Self {
        let none = data.is_null() || capacity == 0;
        let mut buffer = Self {
            data: if none {
                std::ptr::null_mut()
            } else {
                data.cast()
            },
            room: if none { 0 } else { capacity - 1 },
            written: 0,
            needed: 0,
        };
        buffer.terminate();
        buffer
    }

    /// Writes the text, and returns how long it is.
    pub(crate) fn print(mut self, text: impl fmt::Display) -> usize {
        // Writing to a buffer can't fail; a text that fails to tell itself is cut.
        let _ = write!(self, "{text}");
        self.needed
    }

    fn terminate(&mut self) {
        if !self.data.is_null() {
            // SAFETY: `written` is at most `room`, and there is one byte more.
            unsafe { self.data.add(self.written).write(0) };
        }
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Once something was left out, nothing follows.
        if self.written == self.needed {
            let mut len = text.len().min(self.room - self.written);
            while !text.is_char_boundary(len) {
                len -= 1;
            }
            if len > 0 {
                // SAFETY: `written` + `len` is at most `room`; nobody else uses the buffer, so it is not `text`'s.
                unsafe {
                    self.data
                        .add(self.written)
                        .copy_from_nonoverlapping(text.as_ptr(), len)
                };
                self.written += len;
                self.terminate();
            }
        }
        self.needed = self.needed.saturating_add(text.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(capacity: usize, text: &str) -> (Vec<u8>, usize) {
        let mut bytes = vec![0xaa_u8; 32];
        // SAFETY: `capacity` is at most 32.
        let buffer = unsafe { Buffer::new(bytes.as_mut_ptr().cast(), capacity) };
        let needed = buffer.print(text);
        assert!(bytes[capacity..].iter().all(|byte| *byte == 0xaa));
        (bytes[..capacity].to_vec(), needed)
    }

    #[test]
    fn text_is_cut_between_characters_and_always_ends() {
        for capacity in 0..12 {
            let (bytes, needed) = printed(capacity, "aüb€c");
            assert_eq!(needed, 8);
            if capacity > 0 {
                let end = bytes.iter().position(|byte| *byte == 0).unwrap();
                let text = std::str::from_utf8(&bytes[..end]).unwrap();
                assert!("aüb€c".starts_with(text));
                assert!(capacity <= 8 || text.len() == 8);
            }
        }
    }

    #[test]
    fn nothing_follows_a_cut() {
        let mut bytes = [0xaa_u8; 4];
        // SAFETY: four bytes.
        let buffer = unsafe { Buffer::new(bytes.as_mut_ptr().cast(), 4) };
        assert_eq!(buffer.print(format_args!("{}{}", "ab€", "c")), 6);
        assert_eq!(&bytes, b"ab\0\xaa");
    }
}
