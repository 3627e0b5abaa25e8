//! The primitives that the lock-free parts are built on: the standard ones, or loom's when models are checked
//! (`core/tests/loom/`); and the switch by which models are shown to notice broken code.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::OnceLock;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Counts what orders nothing: models need not explore it, so it is the standard one under loom too.
pub(crate) use std::sync::atomic::AtomicU64 as Statistic;

/// Whether the code is to be broken on purpose in the way of this name. Constant, and gone, in all that is not a model.
#[cfg(not(all(test, loom)))]
#[inline(always)]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}

/// Whether the code is to be broken on purpose in the way of this name: `TOLLBAR_MUTANT` says so.
#[cfg(test)]
#[cfg(loom)]
pub(crate) fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("TOLLBAR_MUTANT").ok());
    CHOSEN.as_deref() == Some(name)
}

/// `right`, or what this mutant does instead.
#[inline(always)]
pub(crate) fn unless_mutant<T>(name: &str, right: T, wrong: T) -> T {
    if mutant(name) { wrong } else { right }
}

/// The standard `OnceLock`, whose value becomes visible to a thread only as C11 promises.
#[cfg(loom)]
pub(crate) struct OnceLock<T> {
    cell: std::sync::OnceLock<T>,
    set: loom::sync::atomic::AtomicBool,
}

#[cfg(loom)]
impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            cell: std::sync::OnceLock::new(),
            set: loom::sync::atomic::AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        // Acquire, and release below: what the standard one does.
        self.set
            .load(Ordering::Acquire)
            .then(|| self.cell.get())
            .flatten()
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let value = self.cell.get_or_init(make);
        self.set.store(true, Ordering::Release);
        value
    }
}
