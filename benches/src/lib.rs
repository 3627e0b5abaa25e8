//! What the benches share: addresses, the order in which they come, and timing over several threads.
//!
//! The rules of a fair bench: the same keys in the same order, the same quota and the same clock source on both sides, admitted
//! and refused calls apart.

pub mod measuring;
pub mod peers;
pub mod plots;
pub mod simulation;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The i-th address.
#[inline]
#[must_use]
pub fn address(i: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + i))
}

/// How many visits [`visits`] makes: a power of two, so that going round costs next to nothing.
pub const VISITS: usize = 1 << 20;

/// A random order of [`VISITS`] visits to `0..n`, the same in each run.
#[must_use]
pub fn visits(n: u32, seed: u64) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..VISITS)
        .map(|_| {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let random = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
            ((random * u64::from(n)) >> 32) as u32
        })
        .collect()
}

/// Runs `work(thread, iterations)` on this many threads at once and returns the wall time from a common start.
pub fn timed(threads: usize, iterations: u64, work: impl Fn(usize, u64) + Sync) -> Duration {
    if threads == 1 {
        let start = Instant::now();
        work(0, iterations);
        return start.elapsed();
    }
    let barrier = Barrier::new(threads);
    let spans: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    work(thread, iterations);
                    (start, Instant::now())
                })
            })
            .collect();
        handles
            .into_iter()
            .filter_map(|handle| handle.join().ok())
            .collect()
    });
    let start = spans.iter().map(|span| span.0).min();
    let end = spans.iter().map(|span| span.1).max();
    match (start, end) {
        (Some(start), Some(end)) => end - start,
        _ => Duration::ZERO,
    }
}
