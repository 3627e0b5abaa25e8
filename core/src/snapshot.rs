//! A configuration, ready to decide with. Every decision is made under exactly one of these.
//!
//! Invariant: a snapshot never changes (but for the counters that its limiter holds).

use std::sync::Arc;

use crate::allow_list::AllowList;
use crate::client::{Identity, Proof};
use crate::client_ip::{self, CanonicalIp, ClientKey, TrustedProxies};
use crate::config::Config;
use crate::credential::api_key::{ApiKeys, Privileges};
use crate::credential::{self, Credential, TokenSet};
use crate::decision::Action;
use crate::ratelimit::{Limits, RateLimiter};
use crate::reason::{Method, Reason};
use crate::request::{Incoming, Resource};
use crate::rum_cors::RumCors;

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
    pub(crate) rum_cors: Arc<RumCors>,
}

impl Snapshot {
    /// The snapshot of a valid configuration that comes after `previous`.
    pub(crate) fn new(
        config: &Config,
        limiter: RateLimiter,
        api_keys: Arc<ApiKeys>,
        previous: Option<&Self>,
    ) -> Self {
        let tokens = TokenSet::new(
            &config.secret_tokens,
            previous.map(|before| &*before.tokens),
        );
        Self {
            generation: previous.map_or(0, |before| before.generation) + 1,
            limiter,
            api_keys,
            tokens: tokens.into(),
            auth_configured: config.auth_configured(),
            anonymous_enabled: config.anonymous_enabled(),
            rum_enabled: config.rum_enabled,
            allow_agent: AllowList::new(&config.anonymous.allow_agent),
            allow_service: AllowList::new(&config.anonymous.allow_service),
            trusted_proxies: TrustedProxies::new(&config.trusted_proxies),
            ipv6_prefix: config.ipv6_prefix,
            rum_cors: RumCors::new(config).into(),
        }
    }

    /// The same configuration with other API keys. Not while a handover of counters is under way.
    pub(crate) fn with_api_keys(&self, api_keys: Arc<ApiKeys>) -> Self {
        let limiter = self.limiter.reconfigured(self.limiter.limits());
        self.with(limiter, api_keys)
    }

    /// The same configuration with other tokens. Not while a handover of counters is under way.
    #[cfg(feature = "measuring")]
    pub(crate) fn with_tokens(&self, tokens: TokenSet) -> Self {
        Self {
            tokens: tokens.into(),
            ..self.with_api_keys(Arc::clone(&self.api_keys))
        }
    }

    /// The same configuration, after the handover of its counters, which is completed here.
    pub(crate) fn after_handover(&self) -> Self {
        self.with(self.limiter.complete_handover(), Arc::clone(&self.api_keys))
    }

    fn with(&self, limiter: RateLimiter, api_keys: Arc<ApiKeys>) -> Self {
        Self {
            limiter,
            api_keys,
            tokens: Arc::clone(&self.tokens),
            allow_agent: self.allow_agent.clone(),
            allow_service: self.allow_service.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            rum_cors: Arc::clone(&self.rum_cors),
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
    pub(crate) fn identify(&self, request: &impl Incoming, now: impl FnOnce() -> u64) -> Identity {
        let ip =
            client_ip::client_ip_among(request.peer(), || request.headers(), &self.trusted_proxies);
        let nobody = Identity {
            method: None,
            reason: Reason::Allowed,
            privileges: Privileges::NONE,
            client: ClientKey::of(ip, self.ipv6_prefix),
            generation: self.generation,
            proof: Proof::Nothing,
        };
        self.authenticate(nobody, request.authorization(), now)
    }

    /// The identity of a peer that sends neither credential nor headers; `None`: it is not anonymous, see [`Self::identify`].
    #[inline]
    pub(crate) fn stranger(&self, peer: CanonicalIp) -> Option<Identity> {
        (self.auth_configured && self.anonymous_enabled).then(|| Identity {
            method: Some(Method::Anonymous),
            reason: Reason::Allowed,
            privileges: Privileges::NONE,
            client: ClientKey::of(peer, self.ipv6_prefix),
            generation: self.generation,
            proof: Proof::Nothing,
        })
    }

    /// A credential that is present and wrong never falls back to anonymous.
    #[inline]
    fn authenticate(
        &self,
        nobody: Identity,
        authorization: Option<&[u8]>,
        now: impl FnOnce() -> u64,
    ) -> Identity {
        if !self.auth_configured {
            return nobody.identified(Method::None, Privileges::ALL);
        }
        let Some(authorization) = authorization else {
            return self.without_credential(nobody);
        };
        match credential::parse(authorization) {
            Credential::None => self.without_credential(nobody),
            Credential::Bearer(token) => match self.tokens.find(token) {
                Some(token) => Identity {
                    proof: Proof::Token(token),
                    ..nobody.identified(Method::SecretToken, Privileges::ALL)
                },
                None => nobody.refused(Reason::InvalidToken),
            },
            Credential::ApiKey(key) => match self.api_keys.lookup(key, now) {
                Ok(privileges) => nobody.identified(Method::ApiKey, privileges),
                Err(reason) => nobody.refused(reason),
            },
            Credential::Unknown => nobody.refused(Reason::UnknownScheme),
        }
    }

    #[inline]
    fn without_credential(&self, nobody: Identity) -> Identity {
        if self.anonymous_enabled {
            nobody.identified(Method::Anonymous, Privileges::NONE)
        } else {
            nobody.refused(Reason::MissingCredential)
        }
    }

    /// An identity as it counts under this configuration: whoever was identified under another one that would not be let in by
    /// this one is refused.
    #[inline]
    pub(crate) fn confirm(&self, identity: Identity) -> Identity {
        if identity.generation == self.generation {
            identity
        } else {
            self.confirm_older(identity)
        }
    }

    #[cold]
    fn confirm_older(&self, identity: Identity) -> Identity {
        let Some(method) = identity.method else {
            return identity;
        };
        if !self.auth_configured {
            return identity.identified(Method::None, Privileges::ALL);
        }
        let refused = match method {
            Method::Anonymous if self.anonymous_enabled => None,
            // What a client presented while nothing was asked for was never looked at.
            Method::Anonymous | Method::None => Some(Reason::MissingCredential),
            Method::SecretToken => match identity.proof {
                Proof::Token(id) if self.tokens.has(id) => None,
                _ => Some(Reason::InvalidToken),
            },
            // A verdict on an API key holds for a while by its nature.
            Method::ApiKey if self.api_keys.enabled() => None,
            Method::ApiKey => Some(Reason::ApiKeyNotConfigured),
        };
        refused.map_or(identity, |reason| identity.refused(reason))
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
    #[inline(always)]
    pub(crate) fn authorize(
        &self,
        identity: &Identity,
        action: Action,
        resource: Resource<'_>,
    ) -> Reason {
        if identity.method == Some(Method::Anonymous) {
            self.authorize_anonymous(action, resource.agent, resource.service)
        } else if identity.privileges.contains(action.privilege()) {
            Reason::Allowed
        } else {
            Reason::MissingPrivilege
        }
    }

    // The names one by one: these fit into registers, a resource goes by way of memory.
    fn authorize_anonymous(
        &self,
        action: Action,
        agent: Option<&str>,
        service: Option<&str>,
    ) -> Reason {
        match action {
            Action::Sourcemap => Reason::AnonymousNotPermitted,
            Action::Ingest if !self.allow_agent.allows(agent) => Reason::AgentNotAllowed,
            Action::Ingest | Action::AgentConfig if !self.allow_service.allows(service) => {
                Reason::ServiceNotAllowed
            }
            Action::Ingest | Action::AgentConfig => Reason::Allowed,
        }
    }
}
