//! One configuration after another, good and bad: what is good comes into force whole, what is bad leaves the old one as it was.
//!
//! An input is the texts, each but the last followed by a line of three equal signs. Decisions are asked for after each of them,
//! and compared with what the configuration that ought to be in force says.

use std::net::IpAddr;

use tollbar::client_ip::{TrustedProxies, client_ip};
use tollbar::config::Config;
use tollbar::{
    Action, Decision, Engine, Method, Question, Reason, ReloadOutcome, Request, Resource, RumCors,
};

const FIRST: &str = "
apm-server:
  auth:
    secret_token: first-token
    anonymous: {enabled: true, allow_service: [shop], rate_limit: {ip_limit: 4, event_limit: 10}}
tollbar.trusted_proxies: [10.0.0.0/8]
";
const MOST_RELOADS: usize = 16;
/// Larger tables take their time.
const LARGEST: u32 = 10_000;
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// See the module's documentation.
pub fn reload(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let engine = Engine::from_yaml(FIRST).unwrap();
    let mut in_force = parse(FIRST).unwrap();
    let (mut generation, mut errors) = (1, 0);
    check(&engine, &in_force, generation, errors);

    for yaml in text.split("\n===\n").take(MOST_RELOADS) {
        let parsed = parse(yaml);
        if let Some(config) = &parsed
            && (config.anonymous.ip_limit > LARGEST || config.api_key.limit > LARGEST)
        {
            continue;
        }
        let before = probes(&engine);
        match engine.reload_yaml(yaml) {
            Ok(new) => {
                generation += 1;
                assert_eq!(new, generation);
                in_force = parsed.expect("what can't be read was taken");
            }
            Err(error) => {
                errors += 1;
                assert!(!error.problems.is_empty());
                assert_eq!(
                    probes(&engine),
                    before,
                    "a refused configuration had an effect"
                );
                let hosts =
                    parsed.is_some_and(|config| !config.api_key.elasticsearch.hosts.is_empty());
                assert!(
                    hosts || parse(yaml).is_none(),
                    "what can be read was refused"
                );
            }
        }
        check(&engine, &in_force, generation, errors);
        let last = engine.stats().reloads.pop().unwrap();
        let taken = matches!(last.outcome, ReloadOutcome::Taken { .. });
        assert_eq!(
            (last.generation, taken),
            (generation, before[0].generation < generation)
        );
    }
}

fn parse(yaml: &str) -> Option<Config> {
    let env = |variable: &str| std::env::var(variable).ok();
    Config::parse(yaml, "configuration", &env, None)
        .ok()
        .map(|loaded| loaded.config)
}

/// Decisions that depend on everything that a configuration can change. They charge nothing.
fn probes(engine: &Engine) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for authorization in AUTHORIZATIONS {
        for (headers, agent, service) in [
            (NO_HEADERS, Some("rum-js"), Some("shop")),
            (FORWARDED, Some("otlp"), None),
        ] {
            let request = Request {
                authorization,
                peer: PEER,
                headers,
            };
            let resource = Resource { agent, service };
            for action in [Action::Ingest, Action::AgentConfig, Action::Sourcemap] {
                decisions.push(engine.check(
                    &request,
                    &Question {
                        action,
                        resource,
                        rum: true,
                        cost: 0,
                    },
                    Some(NOW),
                ));
            }
        }
    }
    decisions
}

const NOW: u64 = 1_000_000_000_000;
const AUTHORIZATIONS: [Option<&[u8]>; 5] = [
    None,
    Some(b"Bearer first-token"),
    Some(b"Bearer second-token"),
    Some(b"Basic x"),
    // fuzz:not-a-secret-0123456789
    Some(b"ApiKey ZnV6ejpub3QtYS1zZWNyZXQtMDEyMzQ1Njc4OQ=="),
];
type Headers = &'static [(&'static [u8], &'static [u8])];
const NO_HEADERS: Headers = &[];
const FORWARDED: Headers = &[(b"X-Forwarded-For", b"2001:db8:1:2:3:4:5:6")];

/// Everything follows from the one configuration.
fn check(engine: &Engine, config: &Config, generation: u64, errors: u64) {
    let stats = engine.stats_at(Some(NOW));
    assert_eq!(
        (stats.generation, stats.reload_errors),
        (generation, errors)
    );
    assert_eq!(stats.ip_limit, config.anonymous.ip_limit);
    assert_eq!(*engine.rum_cors(), RumCors::new(config));

    for decision in probes(engine) {
        assert_eq!(decision.generation, generation);
        if let Some(rate) = decision.rate {
            let burst =
                u64::from(config.anonymous.event_limit) * u64::from(config.burst_multiplier);
            assert_eq!(rate.burst(), burst);
        }
    }
    let trusted = TrustedProxies::new(&config.trusted_proxies);
    let ask = |authorization, headers| {
        let request = Request {
            authorization,
            peer: PEER,
            headers,
        };
        let decision = engine.authenticate_at(&request, Some(NOW)).decision();
        let ip = client_ip(PEER, headers, &trusted);
        let key = tollbar::client_ip::ClientKey::new(ip, config.ipv6_prefix);
        assert_eq!(decision.client, key);
        decision
    };
    for headers in [NO_HEADERS, FORWARDED] {
        let anonymous = ask(None, headers);
        let expected = if !config.auth_configured() {
            (Some(Method::None), Reason::Allowed)
        } else if config.anonymous_enabled() {
            (Some(Method::Anonymous), Reason::Allowed)
        } else {
            (None, Reason::MissingCredential)
        };
        assert_eq!((anonymous.method, anonymous.reason), expected);

        let other = ask(Some(b"Basic x"), headers);
        let expected = if config.auth_configured() {
            Reason::UnknownScheme
        } else {
            Reason::Allowed
        };
        assert_eq!(other.reason, expected);

        let token = ask(Some(b"Bearer first-token"), headers);
        if config.auth_configured() && config.secret_tokens.is_empty() {
            assert_eq!(token.reason, Reason::InvalidToken);
        }
        let key = ask(AUTHORIZATIONS[4], headers);
        if config.auth_configured() && !config.api_key.enabled {
            assert_eq!(key.reason, Reason::ApiKeyNotConfigured);
        }
    }
    let rum = engine.client(
        engine
            .authenticate_at(&Request::from_peer(PEER), Some(NOW))
            .identity(),
    );
    if rum.decision().allowed() {
        assert_eq!(rum.rum_route().allowed(), config.rum_enabled);
    }
    resources(engine, config);
}

/// Whom anonymous clients may name.
fn resources(engine: &Engine, config: &Config) {
    if !config.auth_configured() || !config.anonymous_enabled() {
        return;
    }
    let client = engine.authenticate_at(&Request::from_peer(PEER), Some(NOW));
    let allows = |list: &[String], name: &str| list.is_empty() || list.iter().any(|it| it == name);
    for agent in ["rum-js", "js-base", "otlp"] {
        for service in ["shop", "cart"] {
            let resource = Resource {
                agent: Some(agent),
                service: Some(service),
            };
            let expected = allows(&config.anonymous.allow_agent, agent)
                && allows(&config.anonymous.allow_service, service);
            assert_eq!(
                client.authorize(Action::Ingest, resource).allowed(),
                expected
            );
        }
    }
}
