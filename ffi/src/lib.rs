//! The C ABI of Tollbar: the core's types, translated. A file per C type.
//!
//! No rule lives here. The documentation of each item is the header's, so it speaks C.
//!
//! | file | what it does |
//! |---|---|
//! | `boundary.rs` | panics end here, and pointers become references: all that is dangerous, once |
//! | `sized.rs` | structs that begin with their size |
//! | `text.rs`, `buffer.rs` | text of the caller's, and text for the caller |
//! | `status.rs`, `error.rs` | what went wrong, as a code and in words |
//!
//! # Invariants
//!
//! - Nothing that C passes in is undefined but what no library can check: memory that is not there, or that another thread changes meanwhile.
//! - Where no decision could be made, the decision is written all the same, if there is room for one, and refuses.
//! - On the way of a request: no allocation, no lock, no copy of what the caller holds.

#![allow(
    clippy::missing_safety_doc,
    reason = "what C must see to is said once, at the top of the header"
)]
#![allow(
    non_camel_case_types,
    reason = "the types bear the names that they have in C"
)]

mod boundary;
mod buffer;
mod json;
mod raw;
mod sized;

// In the order in which the header tells of them.
mod version;

mod status;

mod text;

mod ip;

mod engine;

mod request;

mod decision;

mod client;

mod admit;

mod verification;

mod verifier;

mod reload;

mod watcher;

mod stats;

mod refusal;

mod error;

mod config;

mod cors;

pub use admit::*;
pub use client::*;
pub use config::*;
pub use cors::*;
pub use decision::*;
pub use engine::*;
pub use error::*;
pub use ip::*;
pub use raw::*;
pub use refusal::*;
pub use reload::*;
pub use request::*;
pub use stats::*;
pub use status::*;
pub use text::*;
pub use verification::*;
pub use verifier::*;
pub use version::*;
pub use watcher::*;
