//! `tollbar.Decision`: the core's decision, read-only.
//!
//! Invariant: immutable. It holds no secret and nothing that keeps the engine alive.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use tollbar::{GrpcStatus, Message, Reason, Resource};

const NANOSECONDS: f64 = 1e9;

/// The engine's answer to one question. Immutable; true in a boolean context if and only if `allowed`.
#[pyclass(frozen, eq, module = "tollbar")]
#[derive(PartialEq)]
pub(crate) struct Decision {
    inner: tollbar::Decision,
    /// Of those that were forbidden, whose message may name what is not permitted.
    message: Option<Box<Message>>,
}

impl From<tollbar::Decision> for Decision {
    fn from(inner: tollbar::Decision) -> Self {
        Self {
            inner,
            message: None,
        }
    }
}

impl Decision {
    /// A decision on a resource: its message names what is not permitted.
    #[inline(always)]
    pub(crate) fn new(inner: &tollbar::Decision, resource: Resource<'_>) -> Self {
        let message = match inner.grpc_status() {
            GrpcStatus::PermissionDenied => worded(inner, resource),
            _ => None,
        };
        Self {
            inner: *inner,
            message,
        }
    }

    /// A decision whose message is known already.
    #[cold]
    pub(crate) fn with_message(inner: tollbar::Decision, message: Message) -> Self {
        Self {
            inner,
            message: Some(Box::new(message)),
        }
    }
}

#[cold]
fn worded(inner: &tollbar::Decision, resource: Resource<'_>) -> Option<Box<Message>> {
    Some(Box::new(inner.message(resource)))
}

#[pymethods]
impl Decision {
    /// Whether the request may go on.
    #[getter]
    fn allowed(&self) -> bool {
        self.inner.allowed()
    }

    /// Whether the API key has to be verified first: ask `Engine.verify` or `Engine.verify_async`. Not allowed yet: 503.
    #[getter]
    fn pending(&self) -> bool {
        self.inner.reason == Reason::Pending
    }

    /// The HTTP status: 202 (200 for agent configuration), 401, 403, 429 or 503.
    #[getter]
    fn status(&self) -> u16 {
        self.inner.http_status()
    }

    /// The gRPC status code: 0 OK, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED, 14 UNAVAILABLE, 16 UNAUTHENTICATED.
    #[getter]
    fn grpc_status(&self) -> i32 {
        self.inner.grpc_status() as i32
    }

    /// How the client was identified: "none", "secret_token", "api_key", "anonymous"; None where it was not.
    #[getter]
    fn method(&self) -> Option<&'static str> {
        self.inner.method.map(tollbar::Method::as_str)
    }

    /// Why, as a stable name: "allowed", "invalid_token", "rate_limited", …
    #[getter]
    fn reason(&self) -> &'static str {
        self.inner.reason.as_str()
    }

    /// Why, as a sentence for the client. It names the agent or service that is not permitted, with the first
    /// 64 bytes, and no secret.
    #[getter]
    fn message(&self) -> String {
        match &self.message {
            Some(message) => message.to_string(),
            None => self.inner.message(Resource::default()).to_string(),
        }
    }

    /// Seconds until the refused batch would fit, exact; None if it was allowed, never fits, or was refused for another reason.
    #[getter]
    pub(crate) fn retry_after(&self) -> Option<f64> {
        self.inner
            .retry_after()
            .map(|wait| wait.as_nanos() as f64 / NANOSECONDS)
    }

    /// The value of HTTP's `Retry-After`: whole seconds, rounded up, at least 1.
    #[getter]
    fn retry_after_header(&self) -> Option<u64> {
        self.inner.retry_after_seconds()
    }

    /// Events that would still fit now; None where no counter was consulted.
    #[getter]
    fn remaining(&self) -> Option<u64> {
        self.inner.rate.map(|rate| rate.remaining())
    }

    /// Seconds that the caller of `reserve` must sleep before it accepts the batch; 0.0 otherwise.
    #[getter]
    fn wait(&self) -> f64 {
        self.inner
            .rate
            .map_or(0.0, |rate| rate.wait_ns as f64 / NANOSECONDS)
    }

    /// Whom the rate limit counts: "203.0.113.9", "2001:db8::/64".
    #[getter]
    fn client(&self) -> String {
        self.inner.client.to_string()
    }

    /// The number of the configuration under which this was decided: 1 at start, one more at each reload.
    #[getter]
    fn generation(&self) -> u64 {
        self.inner.generation
    }

    /// The value of HTTP's `WWW-Authenticate`, for 401 only.
    #[getter]
    fn www_authenticate(&self) -> Option<&'static str> {
        self.inner.www_authenticate()
    }

    /// The value of HTTP's `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10): the quota, which is the burst, and the
    /// seconds in which it refills. None where no counter was consulted.
    #[getter]
    fn ratelimit_policy(&self) -> Option<String> {
        let fields = self.inner.rate_limit_fields()?;
        Some(fields.policy().to_string())
    }

    /// The value of HTTP's `RateLimit`: the events that remain, and seconds until there is room again.
    #[getter]
    fn ratelimit(&self) -> Option<String> {
        let fields = self.inner.rate_limit_fields()?;
        Some(fields.limit().to_string())
    }

    fn __bool__(&self) -> bool {
        self.inner.allowed()
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.reason.hash(&mut hasher);
        self.inner.client.hash(&mut hasher);
        self.inner.generation.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        let method = self.method().unwrap_or("none identified");
        format!(
            "<tollbar.Decision {} {} method={method} client={}>",
            self.status(),
            self.reason(),
            self.inner.client
        )
    }
}
