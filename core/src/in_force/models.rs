//! Loom models: nothing is dropped while it is read.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::readers::Readers;

/// Two values, one of which a pointer names; dropping the first one is a write that loom lets nobody read beside.
struct Model {
    readers: Readers,
    pointer: AtomicUsize,
    values: [loom::cell::UnsafeCell<u64>; 2],
}

impl Model {
    fn new(readers: usize) -> Arc<Self> {
        Arc::new(Self {
            readers: Readers::new(readers),
            pointer: AtomicUsize::new(0),
            values: [
                loom::cell::UnsafeCell::new(1),
                loom::cell::UnsafeCell::new(1),
            ],
        })
    }

    /// What `InForce::load` does, and a decision.
    fn read(&self, thread: usize) {
        let _reading = self.readers.enter(thread);
        let named = self.pointer.load(Ordering::Acquire);
        // SAFETY: loom fails the model if this is beside a write.
        let value = self.values[named].with(|value| unsafe { *value });
        assert_eq!(value, 1, "it was dropped");
    }

    /// What `InForce::store` does.
    fn replace(&self) {
        self.pointer.store(1, Ordering::Release);
        self.readers.wait(std::time::Duration::ZERO).unwrap();
        // SAFETY: loom fails the model if this is beside a reading.
        self.values[0].with_mut(|value| unsafe { *value = 0 });
    }
}

/// Kills: nobody_waits, no_light_barrier, no_heavy_barrier, enter_relaxed, finish_relaxed
#[test]
fn nothing_is_dropped_while_it_is_read() {
    loom::model(|| {
        let model = Model::new(1);
        let reader = Arc::clone(&model);
        let reader = thread::spawn(move || {
            reader.read(0);
            reader.read(0);
        });
        model.replace();
        reader.join().unwrap();
    });
}

/// Kills: nobody_waits, no_light_barrier, no_heavy_barrier
#[test]
fn nothing_is_dropped_while_either_of_two_reads_it() {
    loom::model(|| {
        let model = Model::new(2);
        let readers = [0, 1].map(|number| {
            let model = Arc::clone(&model);
            thread::spawn(move || model.read(number))
        });
        model.replace();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
