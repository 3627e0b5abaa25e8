//! `Engine::enter`, which bindings call: it says, charges, counts and records what its two steps would have.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::sync::LazyLock;

use proptest::prelude::*;
use tollbar::api_key::{GeneratedKey, generate_with_id};
use tollbar::{Action, Engine, Question, Request, Resource};

/// May read the configuration and no more. Of its id, a client that is kept knows the first 22 bytes.
static READER: LazyLock<GeneratedKey> =
    LazyLock::new(|| generate_with_id("a-reader-whose-id-is-a-long-one").unwrap());

fn engine() -> Engine {
    Engine::from_yaml(&format!(
        "
apm-server.auth:
  secret_token: hunter2
  api_key:
    enabled: true
    keys: [{{id: a-reader-whose-id-is-a-long-one, hash: {}, privileges: ['config_agent:read']}}]
  anonymous: {{enabled: true, allow_service: [shop], rate_limit: {{ip_limit: 100, event_limit: 2}}}}
",
        READER.hash
    ))
    .unwrap()
}

const ACTIONS: [Action; 3] = [Action::Ingest, Action::AgentConfig, Action::Sourcemap];

proptest! {
    #[test]
    fn it_comes_to_what_the_steps_come_to(
        calls in prop::collection::vec(
            (0..6usize, 0..3u8, 0..3usize, any::<bool>(), any::<bool>(), 0..9u64),
            1..60,
        ),
    ) {
        let reader = format!("ApiKey {}", *READER.credential);
        let credentials: [Option<&[u8]>; 6] = [
            None,
            Some(b"Bearer hunter2"),
            Some(b"Bearer hunter3"),
            Some(b"Basic eDp5"),
            Some(b"ApiKey cmVhZGVyOnMzY3JldA=="),
            Some(reader.as_bytes()),
        ];
        let (steps, whole) = (engine(), engine());
        for (now, (credential, peer, action, rum, shop, cost)) in (1..).zip(calls) {
            let request = Request {
                authorization: credentials[credential],
                ..Request::from_peer(IpAddr::from([203, 0, 113, peer]))
            };
            let service = if shop { "shop" } else { "theirs" };
            let question = Question {
                action: ACTIONS[action],
                resource: Resource { agent: Some("rum-js"), service: Some(service) },
                rum,
                cost,
            };
            let client = steps.authenticate_at(&request, Some(now));
            let expected = match client.decision() {
                allowed if allowed.allowed() => client.check(&question, Some(now)),
                refused => refused,
            };
            let (entered, decision) = whole.enter(&request, &question, Some(now), |client, decision| (*client, *decision));
            prop_assert_eq!(decision, expected);
            prop_assert_eq!(entered.decision(), client.decision());
            prop_assert_eq!(entered.admit(1, Some(now)), client.admit(1, Some(now)));
        }
        let (a, b) = (steps.stats_at(Some(100)), whole.stats_at(Some(100)));
        prop_assert_eq!(a.allowed, b.allowed);
        prop_assert_eq!(a.refused, b.refused);
        // Of too many in a second, some are left out.
        if (a.refusals_not_recorded, b.refusals_not_recorded) == (0, 0) {
            prop_assert_eq!(recorded(&steps), recorded(&whole));
        }
    }
}

/// What the records of refusals say, but for the time.
fn recorded(engine: &Engine) -> Vec<String> {
    let told = |it: &tollbar::Refusal| {
        let names = (it.agent, it.service, it.credential_id);
        format!("{:?}", (it.reason, it.action, it.method, it.client, names))
    };
    engine.recent_refusals().iter().map(told).collect()
}
