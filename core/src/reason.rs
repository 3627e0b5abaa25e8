//! The vocabulary of outcomes: how a client was identified, why it was refused, and the gRPC code that says so.
//!
//! Invariant: the names are interface and stay.

use std::fmt;

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
