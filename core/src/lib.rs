//! Tollbar decides, for each request to a telemetry intake server and in nanoseconds, whether the client is
//! authenticated, whether an anonymous client is allowed, and whether its IP has room left.

mod admit_peer;
mod allow_list;
pub mod api_key;
mod batch;
mod client;
pub mod client_ip;
pub mod config;
mod credential;
mod decide;
mod decision;
mod engine;
mod fork;
mod identity_words;
mod in_force;
mod prometheus;
pub mod ratelimit;
mod ratelimit_fields;
mod reason;
mod refusals;
mod reload;
mod reload_history;
mod request;
mod rum_cors;
mod snapshot;
mod stats;
mod stripe;
mod sync;
mod verification;
#[cfg(feature = "watch")]
mod watch;

#[doc(hidden)]
pub use admit_peer::Admission;
pub use batch::RoomMismatch;
pub use client::{Client, Identity};
#[doc(hidden)]
pub use credential::TokenComparison;
pub use decision::{Action, Decision, Message, Rate, RateLimits};
pub use engine::Engine;
pub use prometheus::Prometheus;
pub use ratelimit_fields::RateLimitFields;
pub use reason::{GrpcStatus, Method, Reason};
pub use refusals::{Refusal, ShortText};
pub use reload_history::{Reload, ReloadOutcome};
#[doc(hidden)]
pub use request::{Asked, Incoming};
pub use request::{Question, Request, Resource};
pub use rum_cors::RumCors;
pub use stats::Stats;
pub use verification::Verification;
#[cfg(feature = "watch")]
pub use watch::{WatchError, WatchOptions, Watcher};

/// The examples of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
