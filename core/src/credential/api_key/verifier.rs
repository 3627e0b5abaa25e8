//! Who verifies API keys that are not local: Elasticsearch, or the embedder itself.

use super::presented::PresentedKey;
use super::privileges::Privileges;

/// Verifies API keys. [`Engine::set_verifier`](crate::Engine::set_verifier) puts one of the embedder's own in place of Elasticsearch.
///
/// ```
/// use std::sync::Arc;
/// use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError};
/// use tollbar::{Engine, Reason, Request};
///
/// struct Directory; // of your own: a database, a file, a service
///
/// impl Verifier for Directory {
///     fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
///         match (presented.id(), presented.key()) {
///             ("ci", b"correct-horse") => Ok(Privileges::ALL),
///             _ => Err(VerifyError::Invalid),
///         }
///     }
/// }
///
/// # fn main() -> Result<(), tollbar::config::ConfigError> {
/// let engine = Engine::from_yaml("apm-server.auth.api_key.enabled: true")?;
/// engine.set_verifier(Some(Arc::new(Directory)))?;
/// let request = Request {
///     authorization: Some(b"ApiKey Y2k6Y29ycmVjdC1ob3JzZQ=="),
///     ..Request::from_peer([203, 0, 113, 9].into())
/// };
/// assert_eq!(engine.authenticate(&request).decision().reason, Reason::Pending);
/// assert!(engine.verify(&request, None).decision().allowed()); // asks the directory
/// assert!(engine.authenticate(&request).decision().allowed()); // knows, for a minute
/// # Ok(())
/// # }
/// ```
pub trait Verifier: Send + Sync {
    /// Verifies a key, and says what it may do. May block; it is called in the thread of whoever waits for the verdict, or
    /// in one of the engine's, and never twice at once for one key. What it returns is kept for a minute, if it is a verdict.
    ///
    /// It must not ask the engine to verify the same key: that would wait for itself.
    ///
    /// # Errors
    /// [`VerifyError::Invalid`] if the key is not valid, [`VerifyError::Unavailable`] if that can't be said now. A key
    /// without any privilege counts as invalid.
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError>;
}

/// Why a key was not found valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The key is not valid: 401, and the verdict is kept for a minute.
    #[error("the API key is not valid")]
    Invalid,
    /// It can't be verified now: 503, and nothing is kept. The text says why, for the operator; it must hold no secret.
    #[error("the API key can't be verified now: {0}")]
    Unavailable(String),
}
