//! What each thread has of its own: a number, and by it a place in arrays that are striped by thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The first so many threads that come here have a stripe each, for as long as the process lasts: no other thread ever writes to it.
pub(crate) const OWN: usize = 48;
/// All later ones share this many.
const SHARED: usize = 16;
/// How many there are.
pub(crate) const STRIPES: usize = OWN + SHARED;

/// The stripe of this thread, the same in all engines: its own below [`OWN`], one that is shared above.
#[inline]
pub(crate) fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            // Relaxed: each number is handed out once, whatever the order.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            stripe.set(if number < OWN {
                number
            } else {
                OWN + number % SHARED
            });
        }
        // The bound is known, but not to the compiler.
        stripe.get() % STRIPES
    })
}
