//! The snapshot in force: where decisions read it, and where a reload replaces it.
//!
//! `arc-swap` holds it, and lends it to whoever asks at the cost of two locked operations, which is a quarter of a decision. So threads that
//! have a stripe of their own go a shorter way: they mark themselves as reading, with plain stores ([`Readers`]), and read a pointer. Whoever
//! replaces the snapshot waits, before the old one goes, until each of those who were reading then has finished, which takes as long as the
//! decisions that are under way. Neither way ever waits for a reload.
//!
//! Invariant: what `quick` points to is alive, and so is what it pointed to before, as long as anybody reads it: in `swap`, in the hands of
//! [`InForce::store`], or in `retired`.

#[cfg(all(test, loom))]
mod models;
mod readers;

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use self::readers::{Readers, Reading};
use crate::stripe::{OWN, stripe};

/// How long a reload waits for decisions that are under way. They take nanoseconds, but a thread may be stopped in the midst of one, or be gone: in
/// the parent of a process that was forked. Then the old snapshot is kept until the next reload finds that all have finished.
const PATIENCE: Duration = Duration::from_millis(500);

/// See the module's documentation.
pub(crate) struct InForce<T> {
    swap: ArcSwap<T>,
    /// What is in `swap`, for the shorter way.
    quick: AtomicPtr<T>,
    readers: Readers,
    /// Whether the shorter way is open.
    open: AtomicBool,
    /// What was replaced while somebody was reading it who did not finish.
    retired: Mutex<Vec<Arc<T>>>,
}

/// The snapshot, lent for one decision.
pub(crate) enum Lent<'a, T> {
    /// On the shorter way.
    Marked(
        &'a T,
        #[expect(dead_code, reason = "it ends when this is dropped")] Reading<'a>,
    ),
    /// By `arc-swap`.
    Counted(arc_swap::Guard<Arc<T>>),
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        match self {
            Self::Marked(snapshot, _) => snapshot,
            Self::Counted(snapshot) => snapshot,
        }
    }
}

impl<T> InForce<T> {
    pub(crate) fn new(snapshot: T) -> Self {
        let snapshot = Arc::new(snapshot);
        Self {
            quick: AtomicPtr::new(Arc::as_ptr(&snapshot).cast_mut()),
            swap: ArcSwap::new(snapshot),
            readers: Readers::new(OWN),
            open: AtomicBool::new(readers::supported()),
            retired: Mutex::default(),
        }
    }

    /// Lends it, to be given back soon: for a decision. What takes longer asks for [`InForce::full`], and so does whoever replaces it.
    #[inline(always)]
    pub(crate) fn load(&self) -> Lent<'_, T> {
        let stripe = stripe();
        // Relaxed: whoever misses that it was closed finds what he reads kept all the same.
        if stripe < OWN && self.open.load(Ordering::Relaxed) {
            let reading = self.readers.enter(stripe);
            // Acquire: what is behind the pointer was written before it was stored.
            let snapshot = self.quick.load(Ordering::Acquire);
            // SAFETY: it came from an `Arc` that `swap` holds or held. Nobody drops it before this thread is seen not to be reading any
            // more (`store`), and the reference lives no longer than the mark.
            return Lent::Marked(unsafe { &*snapshot }, reading);
        }
        self.counted()
    }

    #[inline(never)]
    fn counted(&self) -> Lent<'_, T> {
        Lent::Counted(self.swap.load())
    }

    /// A share in it.
    pub(crate) fn full(&self) -> Arc<T> {
        self.swap.load_full()
    }

    /// Replaces it: whoever asks from now on gets this one. Waits for those who were lent the one before, and must therefore not be called by one
    /// of them. One at a time.
    pub(crate) fn store(&self, snapshot: Arc<T>) {
        let pointer = Arc::as_ptr(&snapshot).cast_mut();
        let before = self.swap.swap(snapshot);
        // Release: as above. That readers' marks are seen, or they see this, is up to the barriers in `readers`.
        self.quick.store(pointer, Ordering::Release);
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push(before);
        match self.readers.wait(PATIENCE) {
            Ok(()) => retired.clear(),
            Err(readers::StillReading::Somebody) => {}
            // Nor can it be said of anybody from now on.
            Err(readers::StillReading::Unknown) => self.open.store(false, Ordering::Relaxed),
        }
    }

    /// For a process that was forked: only the thread that calls this is left, and it reads nothing.
    pub(crate) fn after_fork(&self) {
        self.readers.forget();
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    /// A snapshot that says when it goes.
    struct Noted<'a> {
        generation: usize,
        gone: &'a AtomicUsize,
    }

    impl Drop for Noted<'_> {
        fn drop(&mut self) {
            self.generation = usize::MAX;
            self.gone.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_was_replaced_goes_at_once_if_nobody_reads_it() {
        let gone = AtomicUsize::new(0);
        let noted = |generation| Noted {
            generation,
            gone: &gone,
        };
        let in_force = InForce::new(noted(1));
        let share = in_force.full();
        assert_eq!((in_force.load().generation, share.generation), (1, 1));
        drop(share);
        for generation in 2..10 {
            in_force.store(Arc::new(noted(generation)));
            assert_eq!(in_force.load().generation, generation);
            assert_eq!(in_force.full().generation, generation);
            assert_eq!(gone.load(Ordering::SeqCst), generation - 1);
        }
        drop(in_force);
        assert_eq!(gone.load(Ordering::SeqCst), 9);
    }

    #[test]
    fn what_is_read_stays_until_it_is_given_back() {
        let gone = AtomicUsize::new(0);
        let noted = |generation| Noted {
            generation,
            gone: &gone,
        };
        let in_force = InForce::new(noted(1));
        let ((lent, is_lent), (replaced, is_replaced)) = (channel(), channel());
        std::thread::scope(|scope| {
            let (in_force, gone) = (&in_force, &gone);
            scope.spawn(move || {
                let snapshot = in_force.load();
                lent.send(()).unwrap();
                is_replaced.recv().unwrap();
                // Twice what the compiler and the processor might have put off.
                std::thread::sleep(Duration::from_millis(20));
                assert_eq!((snapshot.generation, gone.load(Ordering::SeqCst)), (1, 0));
                // Within the first one, so it is lent no longer than that.
                assert_eq!(in_force.load().generation, 2);
            });
            is_lent.recv().unwrap();
            replaced.send(()).unwrap();
            in_force.store(Arc::new(noted(2)));
        });
        // The first one goes with the second one, at the latest: the thread may have been kept from its work for longer than patience.
        in_force.store(Arc::new(noted(3)));
        assert_eq!(gone.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_thread_that_never_gives_back_holds_up_no_reload_for_long() {
        let gone = AtomicUsize::new(0);
        let noted = |generation| Noted {
            generation,
            gone: &gone,
        };
        let in_force = InForce::new(noted(1));
        std::mem::forget(in_force.load());
        let begun = Instant::now();
        in_force.store(Arc::new(noted(2)));
        assert!(begun.elapsed() < 10 * PATIENCE);
        assert_eq!(in_force.load().generation, 2);
        assert_eq!(gone.load(Ordering::SeqCst), 0, "it might still be read");
        // As in a child process.
        in_force.after_fork();
        in_force.store(Arc::new(noted(3)));
        assert_eq!(gone.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn many_threads_read_while_it_is_replaced() {
        const LAST: usize = 50;
        let gone = AtomicUsize::new(0);
        let in_force = InForce::new(Noted {
            generation: 1,
            gone: &gone,
        });
        // More than have stripes of their own, so that both ways are gone.
        let readers = OWN + 8;
        std::thread::scope(|scope| {
            for _ in 0..readers {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < LAST {
                        let snapshot = in_force.load();
                        assert!((last..=LAST).contains(&snapshot.generation));
                        last = snapshot.generation;
                        drop(snapshot);
                        std::thread::yield_now();
                    }
                });
            }
            for generation in 2..=LAST {
                in_force.store(Arc::new(Noted {
                    generation,
                    gone: &gone,
                }));
            }
        });
        assert_eq!(in_force.load().generation, LAST);
    }
}
