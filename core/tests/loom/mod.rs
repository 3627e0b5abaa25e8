//! Models of the counter table: loom runs each one in every order of its threads' atomic operations, and with every value that
//! C11's memory model lets a load return. `core/tests/loom/run.sh` runs them.
//!
//! Part of the crate's own unit tests (`core/src/ratelimit/table/mod.rs` includes this), since the table is not public.
//! Under `--cfg loom` a window has two counters, so that three and four counters make two windows.
//!
//! Each model says which promise of the specification it checks, and names the mutants that it kills: places where
//! the table's code is broken on purpose if `TOLLBAR_MUTANT` says so (`crate::sync::mutant`). `run.sh mutants` runs
//! them all and fails if one survives; it takes the list from the lines `Kills:` here.
//!
//! Every model is also watched for P2 at every moment (`watch.rs`).

mod charge;
mod handover;
mod insert;
mod takeover;
pub(super) mod watch;

use std::sync::Arc;

use super::{Batch, KeyHash, Table};
use crate::ratelimit::gcra::{Conformance, Gcra, SECOND};

/// The instant of all charges, unless a model says otherwise.
const NOW: u64 = 1_000 * SECOND;

/// Runs the model in every interleaving, with P2 watched.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_within(usize::MAX, model);
}

/// As [`explore`], for a model that is too large for more than so many preemptions an execution: fewer than
/// `LOOM_MAX_PREEMPTIONS` allows, where that is more. (Where a thread is switched since it ended is no preemption.)
fn explore_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(3).min(preemptions));
    builder.check(move || {
        watch::start();
        model();
    });
}

/// A key. All are candidates for all counters in these small tables: of one window, or of two that are each other's second choice.
fn key(number: u32) -> KeyHash {
    KeyHash::new(0x1234_5678 << 32 | u64::from(number) << 18)
}

fn table(capacity: usize) -> Arc<Table> {
    Arc::new(Table::new(capacity))
}

/// `burst` events at once, and one a second.
fn limit(burst: u32) -> Gcra {
    Gcra::new(1, burst)
}

fn batch(hash: KeyHash, n: u64) -> Batch {
    Batch {
        hash,
        n,
        now: NOW,
        max_wait: 0,
    }
}

/// Charges n events at [`NOW`] in a table that replaces none, and returns how many were admitted: all or none.
fn charge(table: &Table, gcra: &Gcra, hash: KeyHash, n: u64) -> u64 {
    charge_with(table, gcra, hash, n, None)
}

/// As [`charge`], in a table that may be replacing another one.
fn charge_with(table: &Table, gcra: &Gcra, hash: KeyHash, n: u64, previous: Option<&Table>) -> u64 {
    let charge = table.charge(&batch(hash, n), gcra, previous);
    match charge.conformance() {
        Conformance::Conforming { .. } => n,
        _ => 0,
    }
}

/// The counters that the key owns.
fn owned(table: &Table, hash: KeyHash) -> Vec<usize> {
    (0..table.capacity)
        .filter(|&index| table.slot(index).owner_seqcst().is_owned_by(hash))
        .collect()
}

/// Runs the work in a thread of its own.
fn spawn<T: 'static>(work: impl FnOnce() -> T + 'static) -> loom::thread::JoinHandle<T> {
    loom::thread::spawn(work)
}

fn joined<T>(thread: loom::thread::JoinHandle<T>) -> T {
    thread.join().unwrap()
}
