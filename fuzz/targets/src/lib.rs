//! The bodies of the fuzz targets, apart from the fuzzer: `fuzz/fuzz_targets` feeds them what libFuzzer thinks up, and
//! `tests/replay.rs` the corpora, without anything of nightly.
//!
//! Invariants: a target accepts any bytes, and panics if and only if the engine broke a promise. What an input means depends on
//! nothing but its bytes. References are written from the specification and share no code with what they check.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authorization;
mod bytes;
mod c_abi;
mod client_ip;
mod config;
mod gcra;
mod ratelimit;
mod reload;

pub use authorization::authorization;
pub use c_abi::c_abi;
pub use client_ip::client_ip;
pub use config::config;
pub use ratelimit::ratelimit;
pub use reload::reload;

/// A target: it panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("authorization", authorization),
    ("c_abi", c_abi),
    ("client_ip", client_ip),
    ("config", config),
    ("ratelimit", ratelimit),
    ("reload", reload),
];
