//! A few threads that verify on behalf of callers who do not want to block. They are started when they are first needed, and
//! end when they have had nothing to do for a while.
//!
//! # Invariants
//!
//! - At most [`THREADS`] threads and [`QUEUE`] waiting jobs for unknown keys; one too many is dropped, and dropping a job
//!   lands its flight.
//! - Keys that were good before go first: unknown keys, however many, never make them wait for more than the jobs that run.
//!   (Of those there are at most `api_key.limit`, one flight each.)
//! - A forked process has none of these threads: [`Pool::after_fork`] forgets them, and what waited for them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

const THREADS: usize = 8;
const QUEUE: usize = 1024;
const IDLE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 30_000 });

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The threads of one engine.
#[derive(Default)]
pub(crate) struct Pool(ArcSwap<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    known: VecDeque<Job>,
    unknown: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    /// Runs the job soon, or drops it: if there are too many, or no thread can be started. `known`: before all that are not.
    pub(crate) fn run(&self, job: Job, known: bool) {
        let shared = self.0.load_full();
        let mut state = shared.lock();
        if !known && state.unknown.len() >= QUEUE {
            drop(state);
            // Outside of the lock: landing a flight may call back.
            return drop(job);
        }
        if known {
            state.known.push_back(job);
        } else {
            state.unknown.push_back(job);
        }
        let waiting = state.known.len() + state.unknown.len();
        if waiting > state.idle && state.threads < THREADS {
            state.threads += 1;
            drop(state);
            shared.start();
        } else {
            drop(state);
            shared.work.notify_one();
        }
    }

    /// In a forked process: begins anew, without a thread. What the parent's threads do is no business of this process, so
    /// its copies of their jobs are neither run nor dropped, which would call back; nor is a lock touched that one of them may
    /// have held.
    pub(crate) fn after_fork(&self) {
        std::mem::forget(self.0.swap(Arc::default()));
    }
}

impl Shared {
    fn start(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("tollbar-verify".into());
        if thread.spawn(move || shared.work()).is_ok() {
            return;
        }
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads > 0 {
            return;
        }
        // Nobody would ever come for them.
        let dropped = (
            std::mem::take(&mut state.known),
            std::mem::take(&mut state.unknown),
        );
        drop(state);
        drop(dropped);
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A verifier of the embedder's may panic; its flight has landed as unavailable by then.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job; `None`: the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state
                .known
                .pop_front()
                .or_else(|| state.unknown.pop_front())
            {
                return Some(job);
            }
            if state.closed {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            let waited = self.work.wait_timeout(state, IDLE);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.idle -= 1;
            if timeout.timed_out() && state.known.is_empty() && state.unknown.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let shared = self.0.load_full();
        let mut state = shared.lock();
        state.closed = true;
        let dropped = (
            std::mem::take(&mut state.known),
            std::mem::take(&mut state.unknown),
        );
        drop(state);
        drop(dropped);
        shared.work.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn every_job_runs_or_is_dropped_and_known_keys_go_first() {
        let pool = Pool::default();
        let (done, results) = channel();
        let (open, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        // All threads are kept busy.
        for _ in 0..THREADS {
            let (gate, done) = (Arc::clone(&gate), done.clone());
            let job = move || {
                let _ = gate.lock().unwrap().recv();
                done.send("busy").unwrap();
            };
            pool.run(Box::new(job), false);
        }
        while !pool.0.load().lock().unknown.is_empty() {
            std::thread::yield_now();
        }
        let job = |name: &'static str| {
            let done = done.clone();
            Box::new(move || done.send(name).unwrap())
        };
        for _ in 0..QUEUE + 10 {
            pool.run(job("unknown"), false);
        }
        pool.run(job("known"), true);
        assert_eq!(pool.0.load().lock().unknown.len(), QUEUE);
        open.send(()).unwrap();
        assert_eq!(results.recv().unwrap(), "busy");
        assert_eq!(results.recv().unwrap(), "known");
        drop((open, done));
        let rest: Vec<_> = results.iter().collect();
        assert_eq!(
            rest.iter().filter(|name| **name == "unknown").count(),
            QUEUE
        );
    }

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let pool = Pool::default();
        let (done, results) = channel();
        for _ in 0..3 * THREADS {
            pool.run(Box::new(|| panic!("on purpose")), false);
        }
        pool.run(Box::new(move || done.send(()).unwrap()), false);
        results.recv().unwrap();
        assert!(pool.0.load().lock().threads <= THREADS);
    }

    #[test]
    fn after_a_fork_nobody_waits_for_threads_that_are_not_there() {
        let pool = Pool::default();
        let (done, results) = channel();
        let (open, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        // All threads are busy, and would be for ever in a child; one more job waits for them.
        for name in ["busy"; THREADS].into_iter().chain(["parent's"]) {
            let (gate, done) = (Arc::clone(&gate), done.clone());
            let job = move || {
                let _ = gate.lock().unwrap().recv();
                done.send(name).unwrap();
            };
            pool.run(Box::new(job), true);
        }
        pool.after_fork();
        let child = done.clone();
        pool.run(Box::new(move || child.send("child's").unwrap()), false);
        assert_eq!(results.recv().unwrap(), "child's");
        drop(open);
    }

    /// Waits until so many threads are there, and so many of them have nothing to do.
    fn wait_for(pool: &Pool, threads: usize, idle: usize) {
        let there = || {
            let shared = pool.0.load_full();
            let state = shared.lock();
            (state.threads, state.idle)
        };
        while there() != (threads, idle) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_is_idle_does_the_next_job_and_ends_in_time() {
        let pool = Pool::default();
        let (done, results) = channel();
        let job = |threads: usize| {
            let done = done.clone();
            for _ in 0..threads {
                let done = done.clone();
                pool.run(Box::new(move || done.send(()).unwrap()), true);
                results.recv().unwrap();
            }
            drop(done);
        };
        job(1);
        wait_for(&pool, 1, 1);
        job(1);
        assert_eq!(pool.0.load().lock().threads, 1, "it was idle");
        // With nothing to do for a while.
        wait_for(&pool, 0, 0);
        job(1);
        wait_for(&pool, 1, 1);
        wait_for(&pool, 0, 0);
    }

    #[test]
    fn an_engine_that_goes_drops_what_waits() {
        let pool = Pool::default();
        let (open, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for _ in 0..THREADS {
            let gate = Arc::clone(&gate);
            let job = move || {
                let _ = gate.lock().unwrap().recv();
            };
            pool.run(Box::new(job), false);
        }
        while !pool.0.load().lock().unknown.is_empty() {
            std::thread::yield_now();
        }
        let (waiting, dropped) = channel::<()>();
        for known in [true, false] {
            let waiting = waiting.clone();
            pool.run(Box::new(move || waiting.send(()).unwrap()), known);
        }
        drop((waiting, pool));
        assert!(dropped.recv().is_err(), "neither was run");
        drop(open);
    }

    #[test]
    fn an_engine_that_goes_takes_its_threads_along() {
        let pool = Pool::default();
        let (done, results) = channel();
        pool.run(Box::new(move || done.send(()).unwrap()), false);
        results.recv().unwrap();
        let shared = pool.0.load_full();
        drop(pool);
        while shared.lock().threads > 0 {
            std::thread::yield_now();
        }
    }
}
