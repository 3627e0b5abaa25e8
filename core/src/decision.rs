//! What comes out of the engine: allowed or not, when the client may come back, and the HTTP and gRPC codes that say so.
//!
//! Invariant: a [`Decision`] is a plain value. It holds no reference, no allocation and no secret.

use std::fmt;
use std::time::Duration;

use crate::client_ip::ClientKey;
use crate::config::Privilege;
use crate::ratelimit::Gcra;
use crate::reason::{GrpcStatus, Method, Reason};
use crate::refusals::ShortText;
use crate::request::Resource;

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
    /// The limits that it was decided under.
    pub limits: RateLimits,
    /// The counter's TAT and the instant of the decision, both on the time line of [`Gcra::instant`].
    pub(crate) tat: u64,
    pub(crate) now: u64,
}

/// The limits that a [`Rate`] was decided under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Events a second.
    pub event_limit: u32,
    /// Burst = `event_limit` x this.
    pub burst_multiplier: u32,
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

    /// The counter's TAT, after this batch if it was admitted: nanoseconds of the same clock as [`Rate::now_ns`].
    #[must_use]
    pub fn tat_ns(&self) -> u64 {
        Gcra::on_the_callers_clock(self.tat, self.limits.burst_multiplier)
    }

    /// The instant of the decision, in nanoseconds of the clock that it was made by.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        Gcra::on_the_callers_clock(self.now, self.limits.burst_multiplier)
    }

    /// As it was, from what [`Rate::tat_ns`] and [`Rate::now_ns`] said: for bindings that hold it in a form of their own.
    #[doc(hidden)]
    #[must_use]
    pub fn at(self, tat_ns: u64, now_ns: u64) -> Self {
        let origin = self.gcra().instant(0);
        Self {
            // That of a counter that was never used has no place in time.
            tat: if tat_ns == 0 {
                0
            } else {
                tat_ns.saturating_add(origin)
            },
            now: now_ns.saturating_add(origin),
            ..self
        }
    }

    fn gcra(&self) -> Gcra {
        Gcra::new(self.limits.event_limit, self.limits.burst_multiplier)
    }
}

/// What a decision holds before it is made, as in the memory that a batch writes to: refused, nothing is known.
impl Default for Decision {
    fn default() -> Self {
        Self {
            reason: Reason::Unavailable,
            action: Action::Ingest,
            method: None,
            client: ClientKey::default(),
            rate: None,
            generation: 0,
        }
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
        // Not by way of `Duration`, whose nanoseconds take 128 bits, and a division of those several times as long.
        match self.rate {
            Some(Rate {
                retry_after_ns: Some(ns @ 1..),
                ..
            }) => Some(ns.div_ceil(1_000_000_000)),
            _ => None,
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

    /// Why, as a sentence for the client. It names the agent or service that is not permitted, with the first
    /// [`ShortText::MAX_LEN`] bytes, escaped; and no secret. `resource` is what was asked about.
    #[must_use]
    pub fn message(&self, resource: Resource<'_>) -> Message {
        let name = match self.reason {
            Reason::AgentNotAllowed => resource.agent,
            Reason::ServiceNotAllowed => resource.service,
            _ => None,
        };
        Message {
            reason: self.reason,
            name: name.map(ShortText::new),
        }
    }
}

/// Why a decision came out as it did, for the client: `Display` writes it. See [`Decision::message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    reason: Reason,
    name: Option<ShortText>,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.message())?;
        match self.name {
            Some(name) => write!(f, ": {name:?}"),
            None => Ok(()),
        }
    }
}
