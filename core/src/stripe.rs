//! What each thread has of its own: a number, and by it a place in arrays that are striped by thread.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The first so many threads that come here have a stripe each, for as long as the process lasts: no other thread ever writes to it.
pub(crate) const OWN: usize = 48;
/// All later ones share this many.
const SHARED: usize = 16;
/// How many there are.
pub(crate) const STRIPES: usize = OWN + SHARED;

/// The stripe of a thread, the same in all engines. It stays in its thread. To find it is a call in a shared library: once for a decision.
#[derive(Clone, Copy)]
pub(crate) struct Stripe {
    number: usize,
    _not_send: PhantomData<*const ()>,
}

impl Stripe {
    #[inline]
    pub(crate) fn of_this_thread() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        let number = STRIPE.with(|stripe| {
            if stripe.get() == usize::MAX {
                // Relaxed: each number is handed out once, whatever the order.
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                stripe.set(if number < OWN {
                    number
                } else {
                    OWN + number % SHARED
                });
            }
            stripe.get()
        });
        Self {
            number,
            _not_send: PhantomData,
        }
    }

    /// Its number, below [`STRIPES`].
    #[inline]
    pub(crate) fn number(self) -> usize {
        // The bound is known, but not to the compiler.
        self.number % STRIPES
    }

    /// Whether no other thread has it.
    #[inline]
    pub(crate) fn is_own(self) -> bool {
        self.number < OWN
    }
}
