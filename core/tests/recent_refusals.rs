//! The ring of recent refusals, seen from outside: every way to be refused leaves a record.
//! That none allocates is in `decision_path.rs`.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tollbar::{Action, Decision, Engine, Question, Reason, Request, Resource};

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

fn engine() -> Engine {
    Engine::from_yaml(
        "
apm-server.auth:
  secret_token: hunter2
  anonymous:
    enabled: true
    allow_service: [shop]
    rate_limit.event_limit: 1
",
    )
    .unwrap()
}

fn check(engine: &Engine, authorization: Option<&[u8]>, service: &str, rum: bool) -> Decision {
    let request = Request {
        authorization,
        ..Request::from_peer(IP)
    };
    let resource = Resource {
        agent: Some("rum-js"),
        service: Some(service),
    };
    engine.check(
        &request,
        &Question {
            resource,
            rum,
            ..Question::default()
        },
        Some(0),
    )
}

#[test]
fn every_refusal_is_recorded_with_what_is_known_of_it_and_nothing_secret() {
    let engine = engine();
    // base64 of "key-id:s3cret".
    let api_key = b"ApiKey a2V5LWlkOnMzY3JldA==";
    let refused = [
        check(&engine, Some(b"Bearer hunter3"), "shop", false),
        check(&engine, Some(api_key), "shop", false),
        check(&engine, None, "shop", true),
        check(&engine, None, "other", false),
        check(&engine, None, "shop", false),
        check(&engine, None, "shop", false),
    ];
    let recent = engine.recent_refusals();
    let reasons: Vec<Reason> = recent.iter().map(|refusal| refusal.reason).collect();
    assert_eq!(
        reasons,
        [
            Reason::InvalidToken,
            refused[1].reason,
            Reason::RumDisabled,
            Reason::ServiceNotAllowed,
            Reason::RateLimited
        ],
        "the fifth was allowed"
    );
    assert_eq!(recent[3].service.unwrap().as_str(), "other");
    assert_eq!(recent[1].credential_id.unwrap().as_str(), "key-id");
    assert!(
        recent
            .iter()
            .all(|r| r.client.ip() == IP && r.generation == 1)
    );
    let shown = format!("{recent:?}");
    for secret in ["hunter2", "hunter3", "s3cret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(engine.stats().refusals_not_recorded, 0);
}

#[test]
fn a_client_that_is_decided_in_steps_is_recorded_with_its_resource() {
    let engine = engine();
    let client = engine.authenticate(&Request::from_peer(IP));
    let other = Resource {
        agent: Some("rum-js"),
        service: Some("other"),
    };
    assert!(!client.authorize(Action::Ingest, other).allowed());
    assert!(!client.admit(1000, None).allowed());
    let recent = engine.recent_refusals();
    assert_eq!(recent.len(), 2);
    assert_eq!(recent[0].service.unwrap().as_str(), "other");
    assert_eq!(recent[1].reason, Reason::ExceedsBurst);
}

#[test]
fn a_step_that_refuses_an_api_key_names_its_id() {
    let key = tollbar::api_key::generate_with_id("reader").unwrap();
    let engine = Engine::from_yaml(&format!(
        "{{apm-server.auth.api_key: {{enabled: true, keys: [{{id: reader, hash: {}, privileges: ['config_agent:read']}}]}}}}",
        key.hash
    ))
    .unwrap();
    let header = format!("ApiKey {}", *key.credential);
    let request = Request {
        authorization: Some(header.as_bytes()),
        ..Request::from_peer(IP)
    };
    let shop = Resource {
        agent: Some("java"),
        service: Some("shop"),
    };
    let client = engine.authenticate(&request);
    assert_eq!(
        client.authorize(Action::Ingest, shop).reason,
        Reason::MissingPrivilege
    );
    // As bindings keep it; and after a reload that refuses everything.
    let kept = client.identity();
    assert!(!engine.client(kept).rum_route().allowed());
    engine
        .reload_yaml("apm-server.auth.secret_token: hunter2")
        .unwrap();
    assert!(!engine.client(kept).admit(1, None).allowed());
    let mut decision = [Decision::default()];
    engine
        .admit_batch(&[(kept, 1)], None, &mut decision)
        .unwrap();
    let refused = engine.check_blocking(&request, &Question::default(), None);
    let recent = engine.recent_refusals();
    let reasons: Vec<Reason> = recent.iter().map(|refusal| refusal.reason).collect();
    assert_eq!(
        reasons,
        [
            Reason::MissingPrivilege,
            Reason::RumDisabled,
            Reason::ApiKeyNotConfigured,
            Reason::ApiKeyNotConfigured,
            refused.reason
        ]
    );
    for refusal in &recent[..4] {
        assert_eq!(refusal.credential_id.unwrap().as_str(), "reader");
    }
    assert_eq!(recent[0].service.unwrap().as_str(), "shop");
    assert!(!format!("{recent:?}").contains(key.key.as_str()));
}

#[test]
fn a_flood_is_counted_whole_and_recorded_in_part() {
    let engine = engine();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..50_000 {
                    let _ = check(&engine, Some(b"Bearer wrong"), "shop", false);
                }
            });
        }
    });
    let stats = engine.stats();
    let invalid = stats
        .refused
        .iter()
        .find(|(reason, _)| *reason == Reason::InvalidToken);
    assert_eq!(invalid, Some(&(Reason::InvalidToken, 100_000)));
    assert!(stats.refusals_not_recorded > 50_000);
    assert!((1..=64).contains(&engine.recent_refusals().len()));
}
