//! What comes out of the engine: allowed or not, how the client was identified, why it was refused,
//! when it may come back, and the HTTP and gRPC codes that say so.
//!
//! Invariant: a [`Decision`] is a plain value. It holds no reference, no allocation and no secret.

use std::fmt;
use std::time::Duration;

use crate::client_ip::ClientKey;
use crate::config::Privilege;
use crate::ratelimit::Gcra;

/// How a client was identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// No authentication is configured: everybody gets in, without a rate limit.
    None,
    /// `Authorization: Bearer <secret token>`.
    SecretToken,
    /// `Authorization: ApiKey base64(id:key)`.
    ApiKey,
    /// No credential was sent, and anonymous clients are allowed.
    Anonymous,
}

impl Method {
    /// The stable name used in logs, statistics and bindings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SecretToken => "secret_token",
            Self::ApiKey => "api_key",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Every method, in the order of [`Method::index`].
pub(crate) const METHODS: [Method; 4] = [
    Method::None,
    Method::SecretToken,
    Method::ApiKey,
    Method::Anonymous,
];

impl Method {
    /// Position in per-method arrays such as the statistics.
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a decision came out as it did. The names ([`Reason::as_str`]) are interface and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The request is allowed.
    Allowed,
    /// No credential was sent, and anonymous clients are not allowed.
    MissingCredential,
    /// The scheme of the authorization header is neither `Bearer` nor `ApiKey`.
    UnknownScheme,
    /// `Bearer`, but the token equals none of the secret tokens.
    InvalidToken,
    /// `ApiKey`, but the key is malformed, unknown or holds no privilege.
    InvalidApiKey,
    /// `ApiKey`, but API keys are not configured.
    ApiKeyNotConfigured,
    /// The route is a RUM route and `apm-server.rum.enabled` is false.
    RumDisabled,
    /// An anonymous client named an agent that is not in `allow_agent`.
    AgentNotAllowed,
    /// An anonymous client named a service that is not in `allow_service`.
    ServiceNotAllowed,
    /// An anonymous client asked for something that needs a credential.
    AnonymousNotPermitted,
    /// The credential is valid but lacks the privilege for this action.
    MissingPrivilege,
    /// The client's counter has no room now; it will have after `retry_after`.
    RateLimited,
    /// More events at once than the burst: they never fit, whatever the client waits.
    ExceedsBurst,
    /// The credential cannot be verified now. Not an authentication failure.
    Unavailable,
    /// The API key has to be verified first, which would block: ask with [`Engine::verify`](crate::Engine::verify), or
    /// start it with [`Engine::start_verification`](crate::Engine::start_verification).
    Pending,
}

/// Every reason, in the order of [`Reason::index`].
pub(crate) const REASONS: [Reason; 15] = [
    Reason::Allowed,
    Reason::MissingCredential,
    Reason::UnknownScheme,
    Reason::InvalidToken,
    Reason::InvalidApiKey,
    Reason::ApiKeyNotConfigured,
    Reason::RumDisabled,
    Reason::AgentNotAllowed,
    Reason::ServiceNotAllowed,
    Reason::AnonymousNotPermitted,
    Reason::MissingPrivilege,
    Reason::RateLimited,
    Reason::ExceedsBurst,
    Reason::Unavailable,
    Reason::Pending,
];

impl Reason {
    /// The stable name used in logs, statistics and bindings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::MissingCredential => "missing_credential",
            Self::UnknownScheme => "unknown_scheme",
            Self::InvalidToken => "invalid_token",
            Self::InvalidApiKey => "invalid_api_key",
            Self::ApiKeyNotConfigured => "api_key_not_configured",
            Self::RumDisabled => "rum_disabled",
            Self::AgentNotAllowed => "agent_not_allowed",
            Self::ServiceNotAllowed => "service_not_allowed",
            Self::AnonymousNotPermitted => "anonymous_not_permitted",
            Self::MissingPrivilege => "missing_privilege",
            Self::RateLimited => "rate_limited",
            Self::ExceedsBurst => "exceeds_burst",
            Self::Unavailable => "unavailable",
            Self::Pending => "pending",
        }
    }

    /// A sentence for the client. It names no secret.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::MissingCredential => {
                "authentication required: send `Authorization: Bearer <secret token>` or `Authorization: ApiKey <base64 of id:key>`"
            }
            Self::UnknownScheme => {
                "unknown authorization scheme: accepted are `Bearer <secret token>` and `ApiKey <base64 of id:key>`"
            }
            Self::InvalidToken => "the secret token is not valid",
            Self::InvalidApiKey => "the API key is not valid",
            Self::ApiKeyNotConfigured => "API keys are not configured on this server",
            Self::RumDisabled => {
                "RUM is disabled: set `apm-server.rum.enabled: true` to open this endpoint"
            }
            Self::AgentNotAllowed => "anonymous access is not permitted for this agent",
            Self::ServiceNotAllowed => "anonymous access is not permitted for this service",
            Self::AnonymousNotPermitted => "anonymous access is not permitted for this action",
            Self::MissingPrivilege => "the credential lacks the privilege for this action",
            Self::RateLimited => "rate limit exceeded",
            Self::ExceedsBurst => "more events at once than the burst allows",
            Self::Unavailable => "the credential cannot be verified now",
            Self::Pending => "the API key is not verified yet: try again",
        }
    }

    /// Position in per-reason arrays such as the statistics.
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The gRPC status code.
    #[must_use]
    pub const fn grpc_status(self) -> GrpcStatus {
        match self {
            Self::Allowed => GrpcStatus::Ok,
            Self::MissingCredential
            | Self::UnknownScheme
            | Self::InvalidToken
            | Self::InvalidApiKey
            | Self::ApiKeyNotConfigured => GrpcStatus::Unauthenticated,
            Self::RumDisabled
            | Self::AgentNotAllowed
            | Self::ServiceNotAllowed
            | Self::AnonymousNotPermitted
            | Self::MissingPrivilege => GrpcStatus::PermissionDenied,
            Self::RateLimited | Self::ExceedsBurst => GrpcStatus::ResourceExhausted,
            Self::Unavailable | Self::Pending => GrpcStatus::Unavailable,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The gRPC status codes that a decision can have; the values are gRPC's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum GrpcStatus {
    /// `OK`
    Ok = 0,
    /// `PERMISSION_DENIED`
    PermissionDenied = 7,
    /// `RESOURCE_EXHAUSTED`
    ResourceExhausted = 8,
    /// `UNAVAILABLE`
    Unavailable = 14,
    /// `UNAUTHENTICATED`
    Unauthenticated = 16,
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send events. Needs `event:write`; anonymous clients need an allowed agent and an allowed service.
    #[default]
    Ingest,
    /// Read the agent's central configuration. Needs `config_agent:read`; anonymous clients need an allowed service.
    AgentConfig,
    /// Upload a source map. Needs `sourcemap:write`; never anonymous.
    Sourcemap,
}

impl Action {
    /// The stable name, as bindings accept it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::AgentConfig => "agent_config",
            Self::Sourcemap => "sourcemap",
        }
    }

    /// The privilege that an API key needs for it.
    #[must_use]
    pub const fn privilege(self) -> Privilege {
        match self {
            Self::Ingest => Privilege::EventWrite,
            Self::AgentConfig => Privilege::ConfigAgentRead,
            Self::Sourcemap => Privilege::SourcemapWrite,
        }
    }

    /// The action of this name: `ingest`, `agent_config` or `sourcemap`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ingest, Self::AgentConfig, Self::Sourcemap]
            .into_iter()
            .find(|action| action.as_str() == name)
    }
}

/// The engine's answer. A plain value: copy it, keep it, send it to another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody looks at lets everybody in"]
pub struct Decision {
    /// Why. [`Reason::Allowed`] if and only if the request is allowed.
    pub reason: Reason,
    /// What was asked for.
    pub action: Action,
    /// How the client was identified; `None` where it was not.
    pub method: Option<Method>,
    /// Whom the rate limit counts.
    pub client: ClientKey,
    /// The rate limit's part; `None` where no counter was consulted.
    pub rate: Option<Rate>,
    /// The configuration's number under which this was decided: 1 at start, one more at each reload.
    pub generation: u64,
}

/// What the counter said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds until the refused batch (or, for a peek, the next event) would fit; 0 if it fits now.
    /// `None` if it never will ([`Reason::ExceedsBurst`]).
    pub retry_after_ns: Option<u64>,
    /// Nanoseconds that the caller of `reserve` must sleep before it accepts the batch; 0 otherwise.
    pub wait_ns: u64,
    pub(crate) limits: RateLimits,
    /// The counter's TAT, after this batch if it was admitted.
    pub(crate) tat: u64,
    pub(crate) now: u64,
}

/// The limits that a [`Rate`] was decided under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateLimits {
    pub(crate) event_limit: u32,
    pub(crate) burst_multiplier: u32,
}

impl Rate {
    /// Events that would still fit at the instant of the decision. Worked out when asked for: most callers are not
    /// interested.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.gcra().remaining(self.tat, self.now)
    }

    /// The largest batch that ever fits, in events.
    #[must_use]
    pub fn burst(&self) -> u64 {
        self.gcra().burst()
    }

    fn gcra(&self) -> Gcra {
        Gcra::new(self.limits.event_limit, self.limits.burst_multiplier)
    }
}

impl Decision {
    /// Whether the request may go on.
    #[must_use]
    pub const fn allowed(&self) -> bool {
        matches!(self.reason, Reason::Allowed)
    }

    /// The HTTP status: 202 (200 for agent configuration), 401, 403, 429 or 503.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self.reason.grpc_status() {
            GrpcStatus::Ok => match self.action {
                Action::AgentConfig => 200,
                Action::Ingest | Action::Sourcemap => 202,
            },
            GrpcStatus::Unauthenticated => 401,
            GrpcStatus::PermissionDenied => 403,
            GrpcStatus::ResourceExhausted => 429,
            GrpcStatus::Unavailable => 503,
        }
    }

    /// The gRPC status code.
    #[must_use]
    pub const fn grpc_status(&self) -> GrpcStatus {
        self.reason.grpc_status()
    }

    /// How long a rate-limited caller must wait until the same batch would fit, and a peek until the next event would: exact,
    /// to the nanosecond. `None` if it fits now, was refused for another reason, or never fits.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.rate {
            Some(Rate {
                retry_after_ns: Some(ns @ 1..),
                ..
            }) => Some(Duration::from_nanos(ns)),
            _ => None,
        }
    }

    /// The value of HTTP's `Retry-After`: whole seconds, rounded up, at least 1.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u64> {
        match self.retry_after() {
            Some(wait) => {
                let seconds = wait.as_nanos().div_ceil(1_000_000_000) as u64;
                Some(if seconds == 0 { 1 } else { seconds })
            }
            None => None,
        }
    }

    /// The value of HTTP's `WWW-Authenticate`, for 401 only.
    #[must_use]
    pub const fn www_authenticate(&self) -> Option<&'static str> {
        match self.reason.grpc_status() {
            GrpcStatus::Unauthenticated => {
                Some(r#"Bearer realm="tollbar", ApiKey realm="tollbar""#)
            }
            _ => None,
        }
    }
}
