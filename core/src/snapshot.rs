//! A configuration, ready to decide with. Every decision is made under exactly one of these.
//!
//! Invariant: a snapshot never changes (but for the counters that its limiter holds).

use std::sync::Arc;

use crate::client_ip::{self, ClientKey, TrustedProxies};
use crate::config::Config;
use crate::credential::api_key::{ApiKeys, Privileges};
use crate::credential::{self, Credential, TokenSet};
use crate::decision::{Action, Method, Reason};
use crate::engine::{Identity, Request, Resource};
use crate::ratelimit::{Limits, RateLimiter};

pub(crate) struct Snapshot {
    pub(crate) generation: u64,
    pub(crate) limiter: RateLimiter,
    pub(crate) api_keys: Arc<ApiKeys>,
    tokens: Arc<TokenSet>,
    auth_configured: bool,
    anonymous_enabled: bool,
    rum_enabled: bool,
    allow_agent: AllowList,
    allow_service: AllowList,
    trusted_proxies: TrustedProxies,
    ipv6_prefix: u8,
}

impl Snapshot {
    /// The snapshot of a valid configuration.
    pub(crate) fn new(
        config: &Config,
        limiter: RateLimiter,
        api_keys: Arc<ApiKeys>,
        generation: u64,
    ) -> Self {
        Self {
            generation,
            limiter,
            api_keys,
            tokens: TokenSet::new(&config.secret_tokens).into(),
            auth_configured: config.auth_configured(),
            anonymous_enabled: config.anonymous_enabled(),
            rum_enabled: config.rum_enabled,
            allow_agent: AllowList::new(&config.anonymous.allow_agent),
            allow_service: AllowList::new(&config.anonymous.allow_service),
            trusted_proxies: TrustedProxies::new(&config.trusted_proxies),
            ipv6_prefix: config.ipv6_prefix,
        }
    }

    /// The same configuration with other API keys. Not while a handover of counters is under way.
    pub(crate) fn with_api_keys(&self, api_keys: Arc<ApiKeys>) -> Self {
        Self {
            generation: self.generation,
            limiter: self.limiter.reconfigured(self.limiter.limits()),
            api_keys,
            tokens: Arc::clone(&self.tokens),
            allow_agent: self.allow_agent.clone(),
            allow_service: self.allow_service.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            ..*self
        }
    }

    /// The limits that a configuration asks for.
    pub(crate) fn limits(config: &Config) -> Limits {
        Limits {
            ip_limit: config.anonymous.ip_limit,
            event_limit: config.anonymous.event_limit,
            burst_multiplier: config.burst_multiplier,
        }
    }

    /// Who is this? Authentication, and the key that the rate limit counts. `now` is asked where a cached verdict counts.
    #[inline]
    pub(crate) fn identify(&self, request: &Request<'_>, now: impl FnOnce() -> u64) -> Identity {
        let ip = client_ip::client_ip(request.peer, request.headers, &self.trusted_proxies);
        let anonymous = Identity {
            method: None,
            reason: Reason::Allowed,
            privileges: Privileges::NONE,
            client: ClientKey::new(ip, self.ipv6_prefix),
            generation: self.generation,
        };
        match self.authenticate(request.authorization(), now) {
            Ok((method, privileges)) => anonymous.identified(method, privileges),
            Err(reason) => anonymous.refused(reason),
        }
    }

    /// A credential that is present and wrong never falls back to anonymous.
    fn authenticate(
        &self,
        authorization: Option<&[u8]>,
        now: impl FnOnce() -> u64,
    ) -> Result<(Method, Privileges), Reason> {
        if !self.auth_configured {
            return Ok((Method::None, Privileges::ALL));
        }
        match credential::parse(authorization) {
            Credential::None if self.anonymous_enabled => Ok((Method::Anonymous, Privileges::NONE)),
            Credential::None => Err(Reason::MissingCredential),
            Credential::Bearer(token) if self.tokens.contains(token) => {
                Ok((Method::SecretToken, Privileges::ALL))
            }
            Credential::Bearer(_) => Err(Reason::InvalidToken),
            Credential::ApiKey(key) => {
                let privileges = self.api_keys.lookup(key, now)?;
                Ok((Method::ApiKey, privileges))
            }
            Credential::Unknown => Err(Reason::UnknownScheme),
        }
    }

    /// Is the RUM route open?
    #[inline]
    pub(crate) fn rum_route(&self) -> Reason {
        if self.rum_enabled {
            Reason::Allowed
        } else {
            Reason::RumDisabled
        }
    }

    /// May this client, which was identified, do this?
    #[inline]
    pub(crate) fn authorize(
        &self,
        identity: &Identity,
        action: Action,
        resource: Resource<'_>,
    ) -> Reason {
        if identity.method != Some(Method::Anonymous) {
            return if identity.privileges.contains(action.privilege()) {
                Reason::Allowed
            } else {
                Reason::MissingPrivilege
            };
        }
        match action {
            Action::Sourcemap => Reason::AnonymousNotPermitted,
            Action::Ingest if !self.allow_agent.allows(resource.agent) => Reason::AgentNotAllowed,
            Action::Ingest | Action::AgentConfig
                if !self.allow_service.allows(resource.service) =>
            {
                Reason::ServiceNotAllowed
            }
            Action::Ingest | Action::AgentConfig => Reason::Allowed,
        }
    }
}

/// Names that are let in; an empty list lets all in, named or not.
#[derive(Clone)]
struct AllowList(Vec<Box<str>>);

impl AllowList {
    /// Up to this many names are compared one by one: most differ in length already.
    const FEW: usize = 8;

    fn new(names: &[String]) -> Self {
        let mut names: Vec<Box<str>> = names.iter().map(|name| name.as_str().into()).collect();
        names.sort_unstable();
        Self(names)
    }

    #[inline]
    fn allows(&self, name: Option<&str>) -> bool {
        let listed = |name: &str| {
            if self.0.len() <= Self::FEW {
                self.0.iter().any(|known| **known == *name)
            } else {
                self.0.binary_search_by(|known| (**known).cmp(name)).is_ok()
            }
        };
        self.0.is_empty() || name.is_some_and(listed)
    }
}
