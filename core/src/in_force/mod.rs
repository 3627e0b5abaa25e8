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
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use self::readers::{Readers, Reading, StillReading};
use crate::stripe::{OWN, Stripe};

/// How long a reload waits for decisions that are under way. They take nanoseconds, but a thread may be stopped in the midst of one. Then the old
/// snapshot is kept until a later reload finds that all have finished.
const PATIENCE: Duration = Duration::from_millis(500);

/// See the module's documentation.
pub(crate) struct InForce<T> {
    swap: ArcSwap<T>,
    /// What is in `swap`, for the shorter way.
    quick: AtomicPtr<T>,
    readers: Readers,
    /// Whether the shorter way was ever open.
    marked: bool,
    /// Whether it is open still.
    open: AtomicBool,
    /// What was replaced and may still be read.
    retired: Mutex<Vec<Arc<T>>>,
}

/// The snapshot, lent to a thread for one decision.
pub(crate) struct Lent<'a, T> {
    /// In an `Arc` that lives as long as the loan.
    snapshot: NonNull<T>,
    stripe: Stripe,
    #[expect(dead_code, reason = "the loan ends when this is dropped")]
    loan: Loan<'a, T>,
}

/// What keeps the snapshot alive.
#[expect(dead_code, reason = "as above")]
enum Loan<'a, T> {
    /// On the shorter way.
    Marked(Reading<'a>),
    /// By `arc-swap`.
    Counted(arc_swap::Guard<Arc<T>>),
}

impl<T> Lent<'_, T> {
    /// The stripe of the thread that it was lent to.
    #[inline(always)]
    pub(crate) fn stripe(&self) -> Stripe {
        self.stripe
    }
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: it lives as long as the loan, which ends with `self`.
        unsafe { self.snapshot.as_ref() }
    }
}

impl<T> InForce<T> {
    pub(crate) fn new(snapshot: T) -> Self {
        Self::with(snapshot, readers::supported())
    }

    /// `marked`: whether the shorter way is open.
    fn with(snapshot: T, marked: bool) -> Self {
        let snapshot = Arc::new(snapshot);
        Self {
            quick: AtomicPtr::new(Arc::as_ptr(&snapshot).cast_mut()),
            swap: ArcSwap::new(snapshot),
            readers: Readers::new(OWN),
            marked,
            open: AtomicBool::new(marked),
            retired: Mutex::default(),
        }
    }

    /// Lends it, to be given back soon: for a decision. What takes longer asks for [`InForce::full`], and so does whoever replaces it.
    #[inline(always)]
    pub(crate) fn load(&self) -> Lent<'_, T> {
        let stripe = Stripe::of_this_thread();
        // Relaxed: whoever misses that it was closed finds what he reads kept all the same.
        if stripe.is_own() && self.open.load(Ordering::Relaxed) {
            let reading = self.readers.enter(stripe.number());
            // Acquire: what is behind the pointer was written before it was stored. It is never NULL.
            if let Some(snapshot) = NonNull::new(self.quick.load(Ordering::Acquire)) {
                // It came from an `Arc` that `swap` holds or held. Nobody drops that before this thread is seen not to be reading any
                // more (`store`): the mark is the loan.
                return Lent {
                    snapshot,
                    stripe,
                    loan: Loan::Marked(reading),
                };
            }
        }
        self.counted(stripe)
    }

    #[inline(never)]
    fn counted(&self, stripe: Stripe) -> Lent<'_, T> {
        let guard = self.swap.load();
        Lent {
            snapshot: NonNull::from(&**guard),
            stripe,
            loan: Loan::Counted(guard),
        }
    }

    /// A share in it.
    pub(crate) fn full(&self) -> Arc<T> {
        self.swap.load_full()
    }

    /// Replaces it: whoever asks from now on gets this one. Waits for those who were lent the one before, or share in it, so the caller must
    /// not be one of them; it is dropped here, and never on the way of a decision: what goes with it may take long, or call somebody back. One
    /// at a time.
    pub(crate) fn store(&self, snapshot: Arc<T>) {
        let pointer = Arc::as_ptr(&snapshot).cast_mut();
        let before = self.swap.swap(snapshot);
        // Release: as above. That readers' marks are seen, or they see this, is up to the barriers in `readers`.
        self.quick.store(pointer, Ordering::Release);
        let mut retired = self.retired();
        retired.push(before);
        if self.nobody_reads() {
            let shared = |old: &Arc<T>| Arc::strong_count(old) > 1;
            // Who shares in an older one has had patience enough.
            if let Some(before) = retired.last() {
                readers::eventually(PATIENCE, || !shared(before));
            }
            retired.retain(shared);
        }
    }

    /// Waits until what was replaced is read on the shorter way no more; false: that can't be said.
    fn nobody_reads(&self) -> bool {
        if !self.marked {
            return true;
        }
        match self.readers.wait(PATIENCE) {
            Ok(()) => true,
            Err(StillReading::Somebody) => false,
            Err(StillReading::Unknown) => {
                // Nor can it be said of anybody from now on, so whatever is replaced later is kept, too: somebody may have found this
                // open just before, and read any of it.
                self.open.store(false, Ordering::Relaxed);
                false
            }
        }
    }

    /// For a process that was forked: the other threads of its parent, which may have been reading, are not there. What was retired before
    /// is left alone: what goes with it may be shared with the parent.
    pub(crate) fn after_fork(&self) {
        self.readers
            .forget_others(Stripe::of_this_thread().number());
        std::mem::forget(std::mem::take(&mut *self.retired()));
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Arc<T>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
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

    impl<'a> Noted<'a> {
        fn new(generation: usize, gone: &'a AtomicUsize) -> Self {
            Self { generation, gone }
        }
    }

    impl Drop for Noted<'_> {
        fn drop(&mut self) {
            self.generation = usize::MAX;
            self.gone.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_was_replaced_goes_at_once_if_nobody_reads_it() {
        for marked in [readers::supported(), false] {
            let gone = AtomicUsize::new(0);
            let in_force = InForce::with(Noted::new(1, &gone), marked);
            let share = in_force.full();
            assert_eq!((in_force.load().generation, share.generation), (1, 1));
            drop(share);
            for generation in 2..10 {
                in_force.store(Arc::new(Noted::new(generation, &gone)));
                assert_eq!(in_force.load().generation, generation);
                assert_eq!(in_force.full().generation, generation);
                assert_eq!(gone.load(Ordering::SeqCst), generation - 1);
            }
            drop(in_force);
            assert_eq!(gone.load(Ordering::SeqCst), 9);
        }
    }

    #[test]
    fn a_share_is_never_the_last_one() {
        for marked in [readers::supported(), false] {
            let gone = AtomicUsize::new(0);
            let in_force = InForce::with(Noted::new(1, &gone), marked);
            let lent = in_force.swap.load();
            in_force.store(Arc::new(Noted::new(2, &gone)));
            assert_eq!(lent.generation, 1);
            drop(lent);
            assert_eq!(
                gone.load(Ordering::SeqCst),
                0,
                "whoever reads drops nothing"
            );
            in_force.store(Arc::new(Noted::new(3, &gone)));
            assert_eq!(gone.load(Ordering::SeqCst), 2);
        }
    }

    #[test]
    fn what_is_read_stays_until_it_is_given_back() {
        let gone = AtomicUsize::new(0);
        let in_force = InForce::new(Noted::new(1, &gone));
        let ((lent, is_lent), (replaced, is_replaced)) = (channel(), channel());
        std::thread::scope(|scope| {
            let (in_force, gone_yet) = (&in_force, &gone);
            scope.spawn(move || {
                let snapshot = in_force.load();
                lent.send(()).unwrap();
                is_replaced.recv().unwrap();
                // Twice what the compiler and the processor might have put off.
                std::thread::sleep(Duration::from_millis(20));
                assert_eq!(
                    (snapshot.generation, gone_yet.load(Ordering::SeqCst)),
                    (1, 0)
                );
                // Within the first one, so it is lent no longer than that.
                assert_eq!(in_force.load().generation, 2);
            });
            is_lent.recv().unwrap();
            replaced.send(()).unwrap();
            in_force.store(Arc::new(Noted::new(2, &gone)));
        });
        // The first one goes with the second one, at the latest: the thread may have been kept from its work for longer than patience.
        in_force.store(Arc::new(Noted::new(3, &gone)));
        assert_eq!(gone.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_thread_that_never_gives_back_holds_up_no_reload_for_long() {
        let gone = AtomicUsize::new(0);
        let in_force = InForce::new(Noted::new(1, &gone));
        std::mem::forget(in_force.load());
        let begun = Instant::now();
        in_force.store(Arc::new(Noted::new(2, &gone)));
        assert!(begun.elapsed() < 10 * PATIENCE);
        assert_eq!(in_force.load().generation, 2);
        // This process was not forked, so that thread may read on.
        in_force.after_fork();
        in_force.store(Arc::new(Noted::new(3, &gone)));
        assert_eq!(gone.load(Ordering::SeqCst), 0, "it might still be read");
    }

    #[test]
    fn many_threads_read_while_it_is_replaced() {
        const LAST: usize = 50;
        let gone = AtomicUsize::new(0);
        let in_force = InForce::new(Noted::new(1, &gone));
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
                in_force.store(Arc::new(Noted::new(generation, &gone)));
            }
        });
        assert_eq!(in_force.load().generation, LAST);
    }
}
