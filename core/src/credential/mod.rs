//! What a client presents to be let in: the authorization header, and the secret tokens that it may hold.
//!
//! Invariant: nothing here shows a secret, be it in an error, in `Debug` or through the time that a comparison takes.

pub(crate) mod api_key;
mod claimed_id;
mod header;
mod secret_token;

pub(crate) use claimed_id::{KeyId, claimed_key_id};
pub(crate) use header::{Credential, parse};
#[doc(hidden)]
pub use secret_token::TokenComparison;
pub(crate) use secret_token::{TokenId, TokenSet};
