//! The table's memory: how it is allocated, and how it is asked for before it is needed.

use super::slot::Slot;
use crate::sync::AtomicU64;
#[cfg(loom)]
use crate::sync::Ordering;

/// Counters, all unused.
#[cfg(not(loom))]
pub(super) fn zeroed_slots(n: usize) -> Box<[Slot]> {
    zeroed(n)
}

/// Words, all 0.
#[cfg(not(loom))]
pub(super) fn zeroed_words(n: usize) -> Box<[AtomicU64]> {
    zeroed(n)
}

/// Zeroed memory as the system hands it out: pages are touched when first used.
#[cfg(not(loom))]
fn zeroed<T>(n: usize) -> Box<[T]>
where
    T: zerocopy::FromZeros,
    [T]: zerocopy::FromZeros + zerocopy::KnownLayout<PointerMetadata = usize>,
{
    match <[T] as zerocopy::FromZeros>::new_box_zeroed_with_elems(n) {
        Ok(memory) => memory,
        // What `Vec` does when memory runs out.
        Err(_) => std::alloc::handle_alloc_error(std::alloc::Layout::new::<T>()),
    }
}

#[cfg(loom)]
pub(super) fn zeroed_slots(n: usize) -> Box<[Slot]> {
    let slot = || {
        let owner = AtomicU64::new(0);
        // In loom a SeqCst load can't miss a newer SeqCst store, but only if the older one was SeqCst too.
        owner.store(0, Ordering::SeqCst);
        Slot {
            owner,
            tat: AtomicU64::new(0),
        }
    };
    (0..n).map(|_| slot()).collect()
}

#[cfg(loom)]
pub(super) fn zeroed_words(n: usize) -> Box<[AtomicU64]> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

/// Has this value's cache line fetched while other work goes on.
#[inline(always)]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    // SAFETY: a prefetch changes nothing that a program could notice, whatever the address; this one is a reference's.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    // There is no stable way to do it elsewhere.
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    let _ = value;
}
