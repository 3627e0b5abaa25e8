//! Who is reading something that is about to be replaced, told by marks that cost the reader no locked operation.
//!
//! This is the read-copy-update of Desnoyers et al. ("User-Level Implementations of Read-Copy Update", 2012), with membarrier(2).
//!
//! # Why nothing is dropped while it is read
//!
//! A reader stores its mark, then loads the pointer; the replacer stores the pointer, then loads the marks. If each had a full barrier in between, the
//! reader would see the new pointer or the replacer the mark. The reader's barrier is the compiler's alone: the replacer has the
//! system execute a full one on every processor that runs a thread of this process, at some point of that thread's program. Where that
//! point is before the reader's load, the load sees the new pointer; where it is after, the store of the mark was before, and is seen.
//! A reader that has finished stores its mark with Release, which the replacer loads with Acquire: all that was read, was before.

use std::marker::PhantomData;
use std::time::Duration;
#[cfg(not(loom))]
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering, mutant, unless_mutant};

/// A mark is odd while its thread reads, and another one each time.
const READING: u64 = 1;

/// A mark for each thread.
pub(super) struct Readers {
    marks: Box<[CachePadded<AtomicU64>]>,
}

/// A thread reads, until this is dropped.
pub(crate) struct Reading<'a> {
    /// None: it was reading already, and will be when this is dropped.
    mark: Option<(&'a AtomicU64, u64)>,
    /// It stays in its thread.
    _not_send: PhantomData<*const ()>,
}

/// Why a wait was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StillReading {
    /// Somebody takes too long.
    Somebody,
    /// It can't be told: the system gave no barrier.
    Unknown,
}

impl Readers {
    /// For so many threads.
    pub(super) fn new(threads: usize) -> Self {
        let marks = (0..threads).map(|_| AtomicU64::new(0).into());
        Self {
            marks: marks.collect(),
        }
    }

    /// Marks a thread as reading, from before whatever it loads next. To be called by that thread only: no other one may have its number.
    #[inline(always)]
    pub(super) fn enter(&self, thread: usize) -> Reading<'_> {
        let mark = &*self.marks[thread];
        // Relaxed: this thread's own.
        let idle = mark.load(Ordering::Relaxed);
        if idle & READING != 0 {
            return Reading {
                mark: None,
                _not_send: PhantomData,
            };
        }
        // Release: whoever waits for this thread's reading before may see this mark only. For what it reads now, the light barrier.
        let again = unless_mutant("enter_relaxed", Ordering::Release, Ordering::Relaxed);
        mark.store(idle + READING, again);
        light_barrier();
        Reading {
            mark: Some((mark, idle)),
            _not_send: PhantomData,
        }
    }

    /// Waits until everybody who was reading when this was called has finished, but not for ever.
    pub(super) fn wait(&self, patience: Duration) -> Result<(), StillReading> {
        if !heavy_barrier() {
            return Err(StillReading::Unknown);
        }
        let finished = |mark: &AtomicU64| {
            // Acquire, here and below: what the reader read was before it finished.
            let seen = mark.load(Ordering::Acquire);
            let reads = seen & READING != 0 && !mutant("nobody_waits");
            !reads || eventually(patience, || mark.load(Ordering::Acquire) != seen)
        };
        // One after the other: patience is for a thread that is stopped, and one of those is enough.
        if self.marks.iter().all(|mark| finished(mark)) {
            Ok(())
        } else {
            Err(StillReading::Somebody)
        }
    }

    /// In a process that was forked: the threads of all other marks than `own` are gone. If there is another thread here, or it can't be
    /// told, nothing is forgotten: it might be reading.
    pub(super) fn forget_others(&self, own: usize) {
        if alone() {
            self.forget_others_for_sure(own);
        }
    }

    fn forget_others_for_sure(&self, own: usize) {
        for (_, mark) in self.marks.iter().enumerate().filter(|(i, _)| *i != own) {
            // Relaxed: there are no other threads.
            let seen = mark.load(Ordering::Relaxed);
            mark.store(seen + (seen & READING), Ordering::Relaxed);
        }
    }
}

impl Drop for Reading<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some((mark, idle)) = self.mark {
            // Release: whatever was read, was before.
            let finished = unless_mutant("finish_relaxed", Ordering::Release, Ordering::Relaxed);
            mark.store(idle + 2 * READING, finished);
        }
    }
}

/// Whether this thread is the only one of its process.
fn alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Asks until it is so: at once for as long as decisions take, then less often.
#[cfg(not(loom))]
pub(super) fn eventually(patience: Duration, so: impl Fn() -> bool) -> bool {
    const AT_ONCE: u32 = 1000;
    let begun = Instant::now();
    for attempt in 0_u32.. {
        if so() {
            return true;
        }
        if attempt < AT_ONCE {
            std::hint::spin_loop();
        } else if begun.elapsed() < patience {
            std::thread::sleep(Duration::from_micros(50));
        } else {
            break;
        }
    }
    false
}

#[cfg(loom)]
pub(super) fn eventually(_: Duration, so: impl Fn() -> bool) -> bool {
    while !so() {
        loom::thread::yield_now();
    }
    true
}

/// Keeps the compiler from moving a load before it above a store after it. The processor may: see the heavy one.
#[cfg(not(loom))]
#[inline(always)]
fn light_barrier() {
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// Loom knows no barrier that others execute: both sides have one of their own, which is what the heavy one is worth.
#[cfg(loom)]
fn light_barrier() {
    if !mutant("no_light_barrier") {
        crate::sync::fence(Ordering::SeqCst);
    }
}

#[cfg(loom)]
fn heavy_barrier() -> bool {
    if !mutant("no_heavy_barrier") {
        crate::sync::fence(Ordering::SeqCst);
    }
    true
}

/// Has every thread of this process execute a full barrier. False: the system doesn't.
#[cfg(all(target_os = "linux", not(loom)))]
fn heavy_barrier() -> bool {
    use rustix::thread::{MembarrierCommand, membarrier};
    membarrier(MembarrierCommand::PrivateExpedited).is_ok()
}

/// Whether there is a heavy barrier. Asks the system once, which takes some milliseconds.
#[cfg(all(target_os = "linux", not(loom)))]
pub(super) fn supported() -> bool {
    use rustix::thread::{MembarrierCommand, membarrier};
    use std::sync::LazyLock;
    static SUPPORTED: LazyLock<bool> = LazyLock::new(|| {
        membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok() && heavy_barrier()
    });
    *SUPPORTED
}

#[cfg(all(not(target_os = "linux"), not(loom)))]
fn heavy_barrier() -> bool {
    false
}

#[cfg(any(not(target_os = "linux"), loom))]
pub(super) fn supported() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
#[cfg(not(loom))]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const BRIEFLY: Duration = Duration::from_millis(20);

    fn readers(threads: usize) -> Readers {
        assert!(supported(), "Linux has had membarrier(2) since 4.14");
        Readers::new(threads)
    }

    #[test]
    fn who_does_not_read_is_not_waited_for() {
        let readers = readers(3);
        assert_eq!(readers.wait(BRIEFLY), Ok(()));
        drop(readers.enter(1));
        assert_eq!(readers.wait(BRIEFLY), Ok(()));
    }

    #[test]
    fn who_reads_is_waited_for_but_not_for_ever() {
        let readers = readers(3);
        let reading = readers.enter(2);
        assert_eq!(readers.wait(BRIEFLY), Err(StillReading::Somebody));
        drop(reading);
        assert_eq!(readers.wait(BRIEFLY), Ok(()));
    }

    #[test]
    fn the_outermost_of_those_in_one_thread_counts() {
        let readers = readers(1);
        let outer = readers.enter(0);
        drop(readers.enter(0));
        assert_eq!(readers.wait(BRIEFLY), Err(StillReading::Somebody));
        drop(outer);
        assert_eq!(readers.wait(BRIEFLY), Ok(()));
    }

    #[test]
    fn who_finishes_and_reads_again_is_not_waited_for_any_more() {
        let readers = readers(1);
        let end = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    let _reading = readers.enter(0);
                    std::hint::spin_loop();
                }
            });
            let waits: Vec<_> = (0..100)
                .map(|_| readers.wait(Duration::from_secs(60)))
                .collect();
            end.store(true, Ordering::Relaxed);
            assert_eq!(waits, [Ok(()); 100]);
        });
    }

    #[test]
    fn the_threads_of_a_parent_are_forgotten() {
        let readers = readers(2);
        std::mem::forget(readers.enter(1));
        assert_eq!(readers.wait(BRIEFLY), Err(StillReading::Somebody));
        // There are other threads here: the test's own harness.
        readers.forget_others(0);
        assert_eq!(readers.wait(BRIEFLY), Err(StillReading::Somebody));
        readers.forget_others_for_sure(1);
        assert_eq!(readers.wait(BRIEFLY), Err(StillReading::Somebody));
        readers.forget_others_for_sure(0);
        assert_eq!(readers.wait(BRIEFLY), Ok(()));
        drop(readers.enter(1));
        assert_eq!(readers.wait(BRIEFLY), Ok(()));
    }
}
