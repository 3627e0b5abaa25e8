//! The rate limit: who has room left. Pure arithmetic (`gcra.rs`), the lock-free counters (`table/`), and the clock.

mod clock;
mod gcra;
mod hash;
mod limiter;
mod table;

pub use clock::Clock;
pub use gcra::{Conformance, Gcra};
pub(crate) use limiter::AT_ONCE;
pub use limiter::{LengthMismatch, Limits, RateLimiter, Verdict};
