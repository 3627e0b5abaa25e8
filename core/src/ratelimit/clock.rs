//! The engine's own monotonic clock: nanoseconds since it was made.
//!
//! The source is the processor's time-stamp counter where that is safe, the system's monotonic clock otherwise; `quanta`
//! decides when the clock is made. Safe means on x86-64 that CPUID reports an invariant TSC and RDTSCP (8000_0007h EDX bit 8,
//! 8000_0001h EDX bit 27), on aarch64 always (the architecture's own system counter); its rate is measured against the
//! system's clock once and never again, so both drift apart by what that measurement was off. Whatever the source does, a counter never runs backwards: that is
//! GCRA's own doing, since it takes the later of TAT and now.

/// A monotonic clock. Cheap to read, safe to share.
#[derive(Clone, Debug)]
pub struct Clock {
    clock: quanta::Clock,
    origin: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock that starts at 0. The first one in a process takes up to 200 ms to calibrate the processor's counter.
    #[must_use]
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        let origin = clock.raw();
        Self { clock, origin }
    }

    /// Nanoseconds since this clock was made.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.delta_as_nanos(self.origin, self.clock.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use std::time::{Duration, Instant};

    #[test]
    fn runs_as_fast_as_the_system_clock() {
        let (clock, system) = (Clock::new(), Instant::now());
        let start = clock.now();
        std::thread::sleep(Duration::from_millis(50));
        let (ours, theirs) = (clock.now() - start, system.elapsed().as_nanos() as u64);
        assert!(ours >= 49_000_000, "{ours} ns passed in at least 50 ms");
        assert!(
            ours <= theirs + theirs / 20,
            "{ours} ns passed in {theirs} ns"
        );
    }

    #[test]
    fn never_runs_backwards_in_a_thread() {
        let clock = Clock::new();
        let mut last = 0;
        for _ in 0..100_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
