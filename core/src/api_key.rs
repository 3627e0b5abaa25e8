//! API keys: making them, and verifying those that the configuration does not list.
//!
//! `Authorization: ApiKey base64(id:key)`. A key that `apm-server.auth.api_key.keys` lists is verified on the spot, against its
//! hash. Any other one is put to Elasticsearch, or to a [`Verifier`] of the embedder's own, off the decision path:
//! [`Engine::check`](crate::Engine::check) says [`Reason::Pending`](crate::Reason::Pending), and the caller waits where it can afford to,
//! in [`Engine::verify`](crate::Engine::verify) or by [`Engine::start_verification`](crate::Engine::start_verification). Verdicts hold for a minute.

pub use crate::credential::api_key::{
    GeneratedKey, KeygenError, PresentedKey, Privileges, VerificationStats, Verifier, VerifyError,
    generate, generate_with_id, hash_key,
};
