//! The `RateLimit-Policy` and `RateLimit` fields of HTTP (draft-ietf-httpapi-ratelimit-headers-10), for servers that tell
//! anonymous clients how much room they have.
//!
//! The quota is the burst, and the window the time in which a burst refills: `burst_multiplier` seconds.

use std::fmt;

use crate::decision::Decision;

/// The largest integer of a structured field (RFC 9651).
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// What the two fields say. `Display` of [`RateLimitFields::policy`] and [`RateLimitFields::limit`] writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitFields {
    /// `q`: the largest batch that ever fits, in events.
    pub quota: u64,
    /// `w`: seconds until an empty counter has room for the whole quota.
    pub window: u64,
    /// `r`: events that would fit now.
    pub remaining: u64,
    /// `t`: whole seconds, rounded up, until the refused batch would fit; until the whole quota would, if it was not refused.
    pub reset: u64,
}

impl RateLimitFields {
    /// The name of the policy, of which there is one.
    pub const POLICY: &str = "events";

    /// The value of `RateLimit-Policy`.
    #[must_use]
    pub fn policy(&self) -> impl fmt::Display + use<> {
        Field {
            first: ('q', self.quota),
            second: ('w', self.window),
        }
    }

    /// The value of `RateLimit`.
    #[must_use]
    pub fn limit(&self) -> impl fmt::Display + use<> {
        Field {
            first: ('r', self.remaining),
            second: ('t', self.reset),
        }
    }
}

struct Field {
    first: (char, u64),
    second: (char, u64),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((a, first), (b, second)) = (self.first, self.second);
        let (first, second) = (first.min(MAX_INTEGER), second.min(MAX_INTEGER));
        write!(
            f,
            "\"{}\";{a}={first};{b}={second}",
            RateLimitFields::POLICY
        )
    }
}

impl Decision {
    /// The `RateLimit` fields; `None` where no counter was consulted: clients that are not anonymous have no limit.
    ///
    /// ```
    /// use tollbar::{Engine, Question, Request};
    ///
    /// # fn main() -> Result<(), tollbar::config::ConfigError> {
    /// let engine = Engine::from_yaml("
    /// apm-server.auth: {secret_token: abcdefgh, anonymous: {enabled: true, allow_agent: [], rate_limit.event_limit: 10}}
    /// ")?;
    /// let decision = engine.check(&Request::from_peer([203, 0, 113, 9].into()), &Question::default(), Some(0));
    /// let fields = decision.rate_limit_fields().map(|fields| (fields.policy().to_string(), fields.limit().to_string()));
    /// assert_eq!(fields, Some((r#""events";q=30;w=3"#.into(), r#""events";r=29;t=1"#.into())));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn rate_limit_fields(&self) -> Option<RateLimitFields> {
        self.rate.map(|rate| {
            let full = rate.tat.saturating_sub(rate.now).div_ceil(1_000_000_000);
            RateLimitFields {
                quota: rate.burst(),
                window: u64::from(rate.limits.burst_multiplier),
                remaining: rate.remaining(),
                reset: self.retry_after_seconds().unwrap_or(full),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_hold_integers_that_structured_fields_know() {
        let fields = RateLimitFields {
            quota: u64::MAX,
            window: 3,
            remaining: u64::MAX,
            reset: 0,
        };
        assert_eq!(
            fields.policy().to_string(),
            "\"events\";q=999999999999999;w=3"
        );
        assert_eq!(
            fields.limit().to_string(),
            "\"events\";r=999999999999999;t=0"
        );
    }
}
