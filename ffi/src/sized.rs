//! Structs that begin with their size, so that a program and a library of different ages can talk.
//!
//! # Invariants
//!
//! - Nothing is read or written beyond the size that the caller gives.
//! - A caller that is newer is understood as long as it asks for nothing that this library does not know: what lies beyond must
//!   be zero in what comes in, and is zeroed in what goes out.
//! - A struct only ever grows at its end; what a caller may leave out then are fields whose zero means their default.

use crate::boundary::{Checked, fits, usable};
use crate::status::tollbar_status;

/// No struct of this ABI will ever be larger: what says so was not initialised, and walking through so much would end the program.
const LARGEST: usize = 1 << 16;

/// A struct that begins with its size.
///
/// # Safety
/// It is `repr(C)`, its first field is the size as a `usize`, and every pattern of bits is valid in all its fields.
pub(crate) unsafe trait Versioned: Copy {}

/// The size that the caller gives; at least that of the struct as it is known here.
///
/// # Safety
/// `pointer` is NULL, misaligned, or points to a struct of the size that it says.
#[inline]
unsafe fn size<T: Versioned>(pointer: *const T) -> Checked<usize> {
    usable(pointer)?;
    // SAFETY: every such struct has a `usize` first.
    let size = unsafe { pointer.cast::<usize>().read() };
    if size == size_of::<T>() {
        Ok(size)
    } else {
        unusual(size, size_of::<T>())
    }
}

/// A size that is not `known`.
// Apart: of a range beside a comparison the compiler makes one way for all, and that is the longer.
#[cold]
#[inline(never)]
fn unusual(size: usize, known: usize) -> Checked<usize> {
    if size < known || size > LARGEST {
        return Err(tollbar_status::TOLLBAR_STATUS_INVALID_SIZE);
    }
    Ok(size)
}

/// A struct that comes in.
///
/// # Safety
/// As [`size`]; nobody changes it during `'a`.
#[inline]
pub(crate) unsafe fn input<'a, T: Versioned>(pointer: *const T) -> Checked<&'a T> {
    // SAFETY: the caller's promise.
    let size = unsafe { size(pointer) }?;
    if size != size_of::<T>() {
        // SAFETY: the struct is as large as it says.
        unsafe { only_zeros_beyond(pointer, size) }?;
    }
    // SAFETY: it is neither NULL nor misaligned, and large enough.
    Ok(unsafe { &*pointer })
}

/// As [`input`], where NULL stands for the default.
///
/// # Safety
/// As [`input`].
#[inline]
pub(crate) unsafe fn optional_input<'a, T: Versioned>(pointer: *const T) -> Checked<Option<&'a T>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { input(pointer) }.map(Some)
}

/// # Safety
/// `pointer` points to `size` bytes, at least as many as a `T` has.
#[cold]
unsafe fn only_zeros_beyond<T>(pointer: *const T, size: usize) -> Checked<()> {
    let known = size_of::<T>();
    // SAFETY: the caller's promise.
    let beyond =
        unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known) };
    if beyond.iter().any(|byte| *byte != 0) {
        return Err(tollbar_status::TOLLBAR_STATUS_INVALID_SIZE);
    }
    Ok(())
}

/// Structs side by side that come in, each as large as the first says.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<T> {
    first: *const T,
    stride: usize,
}

impl<T: Versioned> Inputs<T> {
    /// # Safety
    /// If it is neither NULL nor misaligned, `first` points to `len` structs of the size that the first says, which nobody changes
    /// while this is used.
    #[inline]
    pub(crate) unsafe fn new(first: *const T, len: usize) -> Checked<Self> {
        let stride = if len == 0 {
            size_of::<T>()
        } else {
            // SAFETY: the caller's promise.
            unsafe { self::stride(first, len) }?
        };
        if stride != size_of::<T>() {
            for i in 0..len {
                // SAFETY: the structs are as large as the first says.
                unsafe { only_zeros_beyond(first.byte_add(i * stride), stride) }?;
            }
        }
        Ok(Self { first, stride })
    }

    /// This one, as often as it takes.
    pub(crate) fn same(one: &'static T) -> Self {
        Self {
            first: one,
            stride: 0,
        }
    }

    /// The i-th of them.
    ///
    /// # Safety
    /// There are more than `i`, and they live during `'a`. `USUAL` is true only if [`Inputs::is_usual`].
    #[inline]
    pub(crate) unsafe fn at<'a, const USUAL: bool>(&self, i: usize) -> &'a T {
        let stride = if USUAL { size_of::<T>() } else { self.stride };
        // SAFETY: within what the caller of `new` promised, and aligned as its size is a multiple of its alignment.
        unsafe { &*self.first.byte_add(i * stride) }
    }

    /// All of them.
    ///
    /// # Safety
    /// There are `len` of them, they live during `'a`, and [`Inputs::is_usual`].
    pub(crate) unsafe fn all<'a>(&self, len: usize) -> &'a [T] {
        // SAFETY: the caller's promise; where there are none, `first` may be anything.
        unsafe {
            if len == 0 {
                return &[];
            }
            std::slice::from_raw_parts(self.first, len)
        }
    }

    /// Whether each has the size that is known here: then `USUAL` may be true.
    pub(crate) fn is_usual(&self) -> bool {
        self.stride == size_of::<T>()
    }
}

/// # Safety
/// As [`size`]; `len` is not 0.
unsafe fn stride<T: Versioned>(first: *const T, len: usize) -> Checked<usize> {
    // SAFETY: the caller's promise.
    let stride = unsafe { size(first) }?;
    if stride != size_of::<T>() && !stride.is_multiple_of(align_of::<T>()) {
        return Err(tollbar_status::TOLLBAR_STATUS_INVALID_SIZE);
    }
    fits::<u8>(stride.saturating_mul(len))?;
    Ok(stride)
}

/// Room for a struct that goes out, as large as it says. What lies beyond what is known here is zeroed already.
#[derive(Clone, Copy)]
pub(crate) struct Output<T> {
    place: *mut T,
}

impl<T: Versioned> Output<T> {
    /// # Safety
    /// If it is neither NULL nor misaligned, `place` points to room for a struct of the size that it says, which nobody else uses while
    /// this is used.
    #[inline]
    pub(crate) unsafe fn new(place: *mut T) -> Checked<Self> {
        // SAFETY: the caller's promise.
        let size = unsafe { stride(place, 1) }?;
        // SAFETY: the caller's struct is that large.
        unsafe { clear_beyond(place, size) };
        Ok(Self { place })
    }

    /// The size that it says.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        // SAFETY: every such struct has a `usize` first, and this one was set.
        unsafe { self.place.cast::<usize>().read() }
    }

    /// Where it is: writable, and but for the size it may hold anything.
    #[inline]
    pub(crate) fn place(&self) -> *mut T {
        self.place
    }

    /// Writes it, its size included.
    #[inline]
    pub(crate) fn set(&self, value: T) {
        // SAFETY: the place is writable.
        unsafe { self.place.write(value) };
    }
}

/// Room for structs that go out side by side, each as large as the first says.
#[derive(Clone, Copy)]
pub(crate) struct Outputs<T> {
    first: *mut T,
    stride: usize,
    len: usize,
}

impl<T: Versioned> Outputs<T> {
    /// # Safety
    /// If it is neither NULL nor misaligned, `first` points to room for `len` structs of the size that the first says, which
    /// nobody else uses while this is used.
    #[inline]
    pub(crate) unsafe fn new(first: *mut T, len: usize) -> Checked<Self> {
        let stride = if len == 0 {
            size_of::<T>()
        } else {
            // SAFETY: the caller's promise.
            unsafe { self::stride(first, len) }?
        };
        Ok(Self { first, stride, len })
    }

    /// Whether each has the size that is known here: then `USUAL` may be true.
    pub(crate) fn is_usual(&self) -> bool {
        self.stride == size_of::<T>()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The i-th, if there is such room, with its size.
    #[inline(always)]
    pub(crate) fn at<const USUAL: bool>(&self, i: usize) -> Option<Output<T>> {
        if i >= self.len {
            return None;
        }
        let size = if USUAL { size_of::<T>() } else { self.stride };
        // SAFETY: within what the caller of `new` promised, and aligned; every such struct has a `usize` first.
        let place = unsafe {
            let place = self.first.byte_add(i * size);
            place.cast::<usize>().write(size);
            clear_beyond(place, size);
            place
        };
        Some(Output { place })
    }
}

/// Zeroes what a struct has beyond what is known here.
///
/// # Safety
/// `place` points to `size` writable bytes, at least as many as a `T` has.
#[inline]
unsafe fn clear_beyond<T>(place: *mut T, size: usize) {
    if size != size_of::<T>() {
        // SAFETY: the caller's promise.
        unsafe { zero_beyond(place, size) };
    }
}

/// # Safety
/// `place` points to `size` writable bytes, at least as many as a `T` has.
#[cold]
unsafe fn zero_beyond<T>(place: *mut T, size: usize) {
    let known = size_of::<T>();
    // SAFETY: the caller's promise.
    unsafe { place.cast::<u8>().add(known).write_bytes(0, size - known) };
}
