//! The edge between C and Rust: panics end here, and pointers become references here.
//!
//! Invariants: no panic leaves. No reference is made of a pointer that is NULL or misaligned, and no slice is longer than memory
//! can be.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::status::tollbar_status;

/// What goes wrong before anything is asked.
pub(crate) type Checked<T> = Result<T, tollbar_status>;

/// Runs the body of a function of the ABI; `on_panic` is returned if it panics.
#[inline]
pub(crate) fn guarded<R>(on_panic: R, body: impl FnOnce() -> R) -> R {
    // What a panic leaves half done is a decision or a reload that was not made; the core's locks outlive panics.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => {
            // Dropping it could panic again.
            std::mem::forget(payload);
            on_panic
        }
    }
}

/// As [`guarded`], for functions that return a status.
#[inline]
pub(crate) fn status(body: impl FnOnce() -> Checked<()>) -> tollbar_status {
    guarded(tollbar_status::TOLLBAR_STATUS_PANIC, || match body() {
        Ok(()) => tollbar_status::TOLLBAR_STATUS_OK,
        Err(status) => status,
    })
}

/// Refuses pointers that nothing can lie behind.
#[inline]
pub(crate) fn usable<T>(pointer: *const T) -> Checked<()> {
    if pointer.is_null() {
        Err(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT)
    } else if !pointer.is_aligned() {
        Err(tollbar_status::TOLLBAR_STATUS_MISALIGNED)
    } else {
        Ok(())
    }
}

/// The value behind a pointer.
///
/// # Safety
/// If it is neither NULL nor misaligned, it points to a `T` that nobody changes during `'a`.
#[inline]
pub(crate) unsafe fn shared<'a, T>(pointer: *const T) -> Checked<&'a T> {
    usable(pointer)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { &*pointer })
}

/// As [`shared`], where NULL stands for none.
///
/// # Safety
/// As [`shared`].
#[inline]
pub(crate) unsafe fn optional<'a, T>(pointer: *const T) -> Checked<Option<&'a T>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { shared(pointer) }.map(Some)
}

/// The values behind a pointer; NULL is fine where there are none.
///
/// # Safety
/// If it is neither NULL nor misaligned, it points to `len` of `T` that nobody changes during `'a`.
#[inline]
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, len: usize) -> Checked<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    usable(pointer)?;
    fits::<T>(len)?;
    // SAFETY: the caller's promise; it is no longer than memory can be.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// Refuses lengths that no memory has.
#[inline]
pub(crate) fn fits<T>(len: usize) -> Checked<()> {
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(tollbar_status::TOLLBAR_STATUS_TOO_LONG);
    }
    Ok(())
}

/// Writes to a place that may hold anything before.
///
/// # Safety
/// If it is neither NULL nor misaligned, there is room for a `T` that nobody else uses meanwhile.
#[inline]
pub(crate) unsafe fn write<T>(place: *mut T, value: T) -> Checked<()> {
    usable(place)?;
    // SAFETY: the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// A pointer of the caller's that is only passed on, to another thread perhaps.
#[derive(Clone, Copy)]
pub(crate) struct Userdata(pub(crate) *mut std::ffi::c_void);

// SAFETY: nothing here looks behind it; the header tells the caller which threads its callbacks run in.
unsafe impl Send for Userdata {}
// SAFETY: as above.
unsafe impl Sync for Userdata {}
