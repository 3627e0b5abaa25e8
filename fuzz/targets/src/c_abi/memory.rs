//! Memory as a C program hands it over: right, of another size, misaligned, or none at all; and what that must be called.
//!
//! Invariants: whatever is passed is as large as it says it is and no larger, so that a sanitizer sees every byte too many. What is
//! not there is never passed as if it were: no library can check that.

use std::ffi::c_char;

use tollbar_ffi::{tollbar_status, tollbar_str};

use crate::bytes::Bytes;

/// What is wrong with the arguments of a call, each of which may be what it returns.
pub(super) type Wrongs = Vec<tollbar_status>;

/// Sizes above this are refused, before anything beyond is looked at.
const LARGEST: usize = 1 << 16;
const WORD: usize = size_of::<usize>();
/// Behind what is written to; nobody may touch it.
const CANARY: [u8; 16] = [0xc5; 16];

/// Structs side by side that begin with their size, of which all but the first leave it unset.
pub(super) struct Structs<T> {
    /// More than enough, so that every alignment is there.
    memory: Box<[u64]>,
    /// Where the first begins: a byte late, if it is to be misaligned.
    shift: usize,
    /// The size that the first says, and its distance to the next.
    size: usize,
    /// How many bytes the structs have, before the canary.
    len: usize,
    null: bool,
    kind: std::marker::PhantomData<T>,
}

impl<T: Copy> Structs<T> {
    /// A struct that comes in.
    pub(super) fn input(bytes: &mut Bytes<'_>, value: T, wrongs: &mut Wrongs) -> Self {
        Self::new(bytes, &[value], false, false, wrongs)
    }

    /// Structs that come in side by side.
    pub(super) fn inputs(bytes: &mut Bytes<'_>, values: &[T], wrongs: &mut Wrongs) -> Self {
        Self::new(bytes, values, false, true, wrongs)
    }

    /// Room for structs that go out, which hold these before.
    pub(super) fn outputs(bytes: &mut Bytes<'_>, values: &[T], wrongs: &mut Wrongs) -> Self {
        Self::new(bytes, values, true, true, wrongs)
    }

    fn new(
        bytes: &mut Bytes<'_>,
        values: &[T],
        out: bool,
        batch: bool,
        wrongs: &mut Wrongs,
    ) -> Self {
        let known = size_of::<T>();
        let kind = bytes.u8();
        // The usual ones are the most usual.
        let (size, junk) = match kind {
            0..=199 => (known, false),
            200..=207 => (known + 8, false),
            208..=211 => (known + 64, false),
            212..=219 => (known + 8, true),
            220..=223 => (known + 1, false),
            224..=227 => (known - 1, false),
            228..=231 => (known - 8, false),
            232..=235 => (WORD, false),
            236..=238 => (0, false),
            239..=241 => (LARGEST + 8, false),
            242..=244 => (usize::MAX, false),
            _ => (known, false),
        };
        let null = kind >= 250;
        let shift = usize::from((245..250).contains(&kind));
        if null {
            wrongs.push(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT);
        } else if shift != 0 {
            wrongs.push(tollbar_status::TOLLBAR_STATUS_MISALIGNED);
        } else if size < known || size > LARGEST || junk && !out {
            wrongs.push(tollbar_status::TOLLBAR_STATUS_INVALID_SIZE);
        } else if size % WORD != 0 && (out || batch) {
            // Side by side, the next would be misaligned. One alone that comes in may have any size.
            wrongs.push(tollbar_status::TOLLBAR_STATUS_INVALID_SIZE);
        }

        // What claims to be larger than anything is as large as it is.
        let stride = if size > LARGEST {
            known
        } else {
            size.max(WORD)
        };
        let len = stride * values.len().max(1);
        let room = len + shift + if out { CANARY.len() } else { 0 };
        let mut memory = vec![0_u64; room.div_ceil(WORD)].into_boxed_slice();
        let first = memory.as_mut_ptr().cast::<u8>();
        for (i, value) in values.iter().enumerate() {
            // SAFETY: each lies within `len`, of which at most `stride` is written.
            unsafe {
                let place = first.add(shift + i * stride);
                std::ptr::copy_nonoverlapping((&raw const *value).cast(), place, known.min(stride));
                if junk {
                    place.add(known).write(1);
                }
                place
                    .cast::<usize>()
                    .write_unaligned(if i == 0 { size } else { usize::MAX });
            }
        }
        if out {
            // SAFETY: there is room for it.
            unsafe {
                std::ptr::copy_nonoverlapping(CANARY.as_ptr(), first.add(shift + len), CANARY.len())
            };
        }
        Self {
            memory,
            shift,
            size,
            len: len + shift,
            null,
            kind: std::marker::PhantomData,
        }
    }

    /// What C passes.
    pub(super) fn pointer(&mut self) -> *mut T {
        if self.null {
            return std::ptr::null_mut();
        }
        self.memory
            .as_mut_ptr()
            .wrapping_byte_add(self.shift)
            .cast()
    }

    /// The size that the first says.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The i-th, after it was written; `None` if there is no such thing in this memory.
    pub(super) fn read(&self, i: usize) -> Option<T> {
        let fine = !self.null
            && self.shift == 0
            && (size_of::<T>()..=LARGEST).contains(&self.size)
            && self.size.is_multiple_of(WORD);
        // SAFETY: within the memory, which was written as a whole in any case.
        fine.then(|| unsafe {
            self.memory
                .as_ptr()
                .cast::<u8>()
                .add(i * self.size)
                .cast::<T>()
                .read()
        })
    }

    /// Nothing was written beyond.
    pub(super) fn assert_untouched(&self) {
        // SAFETY: there is as much.
        let behind = unsafe {
            std::slice::from_raw_parts(
                self.memory.as_ptr().cast::<u8>().add(self.len),
                CANARY.len(),
            )
        };
        assert_eq!(behind, CANARY, "written beyond the struct");
    }
}

/// Values side by side that have no size, or a single one: there, misaligned, or NULL.
pub(super) struct Values<T> {
    memory: Vec<u64>,
    shift: usize,
    null: bool,
    kind: std::marker::PhantomData<T>,
}

impl<T: Copy> Values<T> {
    /// `optional`: NULL is fine.
    pub(super) fn new(
        bytes: &mut Bytes<'_>,
        values: &[T],
        optional: bool,
        wrongs: &mut Wrongs,
    ) -> Self {
        let kind = bytes.u8();
        let null = kind >= 250;
        let shift = usize::from(align_of::<T>() > 1 && (245..250).contains(&kind));
        if null && !optional {
            wrongs.push(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT);
        } else if shift != 0 {
            wrongs.push(tollbar_status::TOLLBAR_STATUS_MISALIGNED);
        }
        let len = size_of_val(values);
        let mut memory = vec![0_u64; (len + shift).div_ceil(WORD)];
        // SAFETY: there is room for them.
        unsafe {
            let place = memory.as_mut_ptr().cast::<u8>().add(shift);
            std::ptr::copy_nonoverlapping(values.as_ptr().cast(), place, len);
        }
        Self {
            memory,
            shift,
            null,
            kind: std::marker::PhantomData,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.null
    }

    pub(super) fn pointer(&mut self) -> *mut T {
        if self.null {
            return std::ptr::null_mut();
        }
        self.memory
            .as_mut_ptr()
            .wrapping_byte_add(self.shift)
            .cast()
    }

    /// The i-th, after it was written; `None` if nothing could be.
    pub(super) fn read(&self, i: usize) -> Option<T> {
        // SAFETY: within the memory.
        (!self.null && self.shift == 0)
            .then(|| unsafe { self.memory.as_ptr().cast::<T>().add(i).read() })
    }
}

/// A text that is passed.
pub(super) struct Text {
    /// In an allocation of its own, of exactly its length.
    data: Option<Box<[u8]>>,
    /// A length that is not that of the data: only ever with none, or beyond all memory.
    len: Option<usize>,
}

impl Text {
    /// One of these or any, or what is none.
    pub(super) fn new(bytes: &mut Bytes<'_>, usual: &[&[u8]], wrongs: &mut Wrongs) -> Self {
        let kind = bytes.u8();
        let (data, len) = match kind {
            0..=159 => {
                let usual = usual.get(usize::from(kind) % usual.len().max(1));
                (usual.map(|text| Box::from(*text)), None)
            }
            160..=223 => {
                let len = bytes.u8() % 48;
                (Some((0..len).map(|_| bytes.u8()).collect()), None)
            }
            224..=239 => (None, None),
            240..=247 => (None, Some(usize::from(bytes.u8()) + 1)),
            248..=251 => (None, Some(usize::MAX)),
            _ => (Some(Box::from(*b"there")), Some(isize::MAX as usize + 1)),
        };
        match (&data, len) {
            (_, Some(len)) if len > isize::MAX as usize => {
                wrongs.push(tollbar_status::TOLLBAR_STATUS_TOO_LONG);
            }
            (None, Some(_)) => wrongs.push(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT),
            _ => {}
        }
        Self { data, len }
    }

    /// This one, or what is none.
    pub(super) fn one(usual: &[u8], bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> Self {
        let kind = bytes.u8();
        // Never what the fuzzer writes itself.
        let kind = if (160..224).contains(&kind) { 0 } else { kind };
        Self::new(&mut Bytes::new(&[kind, 7]), &[usual], wrongs)
    }

    /// As [`Text::new`], where it has to be UTF-8.
    pub(super) fn utf8(bytes: &mut Bytes<'_>, usual: &[&[u8]], wrongs: &mut Wrongs) -> Self {
        let text = Self::new(bytes, usual, wrongs);
        if text.len.is_none()
            && text
                .bytes()
                .is_some_and(|text| std::str::from_utf8(text).is_err())
        {
            wrongs.push(tollbar_status::TOLLBAR_STATUS_INVALID_UTF8);
        }
        text
    }

    pub(super) fn raw(&self) -> tollbar_str {
        tollbar_str {
            data: self
                .data
                .as_ref()
                .map_or(std::ptr::null(), |data| data.as_ptr().cast()),
            len: self
                .len
                .unwrap_or(self.data.as_ref().map_or(0, |data| data.len())),
        }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    pub(super) fn str(&self) -> Option<&str> {
        self.bytes().and_then(|text| std::str::from_utf8(text).ok())
    }
}

/// Has a text written into buffers of several lengths: it is one text, cut as the header says, and nothing is written beyond.
pub(super) fn assert_like_snprintf(
    bytes: &mut Bytes<'_>,
    write: impl Fn(*mut c_char, usize) -> usize,
) -> String {
    let len = write(std::ptr::null_mut(), usize::from(bytes.u8()));
    let whole = written(len + 1, len, &write);
    let text = String::from_utf8(whole).expect("no UTF-8");
    assert_eq!(text.len(), len);
    for capacity in [
        usize::from(bytes.u8()),
        bytes.u32() as usize % (len + 2),
        0,
        1,
    ] {
        let cut = written(capacity, len, &write);
        assert!(text.as_bytes().starts_with(&cut), "another text");
        assert!(text.is_char_boundary(cut.len()), "cut within a character");
        // As much as fits: less by no more than a part of a character.
        assert!(
            cut.len() == len || cut.len() + 4 >= capacity,
            "cut too early"
        );
    }
    text
}

/// What is written into a buffer of this capacity.
fn written(capacity: usize, len: usize, write: &impl Fn(*mut c_char, usize) -> usize) -> Vec<u8> {
    let mut buffer = vec![0x5a_u8; capacity + CANARY.len()];
    buffer[capacity..].copy_from_slice(&CANARY);
    assert_eq!(
        write(buffer.as_mut_ptr().cast(), capacity),
        len,
        "another length"
    );
    assert_eq!(buffer[capacity..], CANARY, "written beyond the buffer");
    if capacity == 0 {
        return Vec::new();
    }
    buffer.truncate(capacity);
    // A text may hold a NUL of its own, so it is the last one that counts if the text is whole.
    let end = if len < capacity {
        len
    } else {
        buffer
            .iter()
            .rposition(|&byte| byte == 0)
            .expect("no NUL at its end")
    };
    assert_eq!(buffer[end], 0, "no NUL at its end");
    buffer.truncate(end);
    buffer
}
