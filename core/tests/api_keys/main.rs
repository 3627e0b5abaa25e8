//! API keys through the public API: verifiers of the embedder's own, and Elasticsearch.

#![allow(clippy::unwrap_used, clippy::panic)]

#[cfg(feature = "elasticsearch")]
mod elasticsearch;
#[cfg(feature = "elasticsearch")]
mod stand_in;
#[cfg(feature = "elasticsearch")]
mod tls;
mod verifier;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tollbar::{Engine, Reason, Request};

/// The authorization header of a key.
fn header(id: &str, key: &str) -> String {
    format!("ApiKey {}", STANDARD.encode(format!("{id}:{key}")))
}

fn request(authorization: &str) -> Request<'_> {
    Request {
        authorization: Some(authorization.as_bytes()),
        ..Request::from_peer([203, 0, 113, 9].into())
    }
}

/// What authentication without waiting comes to.
fn authenticated(engine: &Engine, authorization: &str) -> Reason {
    engine
        .authenticate(&request(authorization))
        .decision()
        .reason
}

/// What authentication comes to for those who wait.
fn verified(engine: &Engine, authorization: &str) -> Reason {
    engine
        .verify(&request(authorization), None)
        .decision()
        .reason
}
