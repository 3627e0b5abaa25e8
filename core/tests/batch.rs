//! A batch says what one call after another would have said.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::IpAddr;

use proptest::prelude::*;
use tollbar::{Action, Decision, Engine, Identity, Question, Request, Resource, RoomMismatch};

const NOW: u64 = 1_000_000_000_000;

/// Every counter is a candidate of every client, so that both engines come to the same whatever their hash keys.
fn engine() -> Engine {
    Engine::from_yaml(
        "
apm-server:
  auth:
    secret_token: correct-horse-battery-staple
    anonymous:
      enabled: true
      allow_service: [shop]
      rate_limit: {ip_limit: 4, event_limit: 2}
",
    )
    .unwrap()
}

fn requests() -> impl Strategy<Value = Vec<(Request<'static>, Question<'static>)>> {
    let authorization = prop_oneof![
        6 => Just(None),
        1 => Just(Some(&b"Bearer correct-horse-battery-staple"[..])),
        1 => Just(Some(&b"Bearer wrong"[..])),
    ];
    let resource = prop_oneof![
        4 => Just(Resource { agent: Some("rum-js"), service: Some("shop") }),
        1 => Just(Resource { agent: Some("rum-js"), service: Some("other") }),
        1 => Just(Resource::default()),
    ];
    let action = prop_oneof![
        4 => Just(Action::Ingest),
        1 => Just(Action::AgentConfig),
        1 => Just(Action::Sourcemap),
    ];
    let one = (
        authorization,
        1_u8..8,
        resource,
        action,
        any::<bool>(),
        0_u64..8,
    )
        .prop_map(|(authorization, host, resource, action, rum, cost)| {
            (
                Request {
                    authorization,
                    ..Request::from_peer(IpAddr::from([203, 0, 113, host]))
                },
                Question {
                    action,
                    resource,
                    rum,
                    cost,
                },
            )
        });
    // Below, at and above what is decided together.
    proptest::collection::vec(one, 0..150)
}

proptest! {
    #[test]
    fn check_batch_is_check_one_after_another(asked in requests()) {
        let (one_by_one, together) = (engine(), engine());
        let expected: Vec<Decision> = asked
            .iter()
            .map(|(request, question)| one_by_one.check(request, question, Some(NOW)))
            .collect();
        let mut decisions = vec![Decision::default(); asked.len()];
        together.check_batch(&asked, Some(NOW), &mut decisions).unwrap();
        prop_assert_eq!(expected, decisions);
        let (one_by_one, together) = (one_by_one.stats_at(Some(NOW)), together.stats_at(Some(NOW)));
        prop_assert_eq!(one_by_one.refused, together.refused);
        prop_assert_eq!(one_by_one.allowed, together.allowed);
        prop_assert_eq!(one_by_one.live_counters, together.live_counters);
    }

    #[test]
    fn admit_batch_is_admit_one_after_another(asked in requests()) {
        let (one_by_one, together) = (engine(), engine());
        let identify = |(request, question): &(Request<'_>, Question<'_>)| {
            (one_by_one.authenticate_at(request, Some(NOW)).identity(), question.cost)
        };
        let batches: Vec<(Identity, u64)> = asked.iter().map(identify).collect();
        let expected: Vec<Decision> = batches
            .iter()
            .map(|&(identity, n)| one_by_one.client(identity).admit(n, Some(NOW)))
            .collect();
        let mut decisions = vec![Decision::default(); asked.len()];
        together.admit_batch(&batches, Some(NOW), &mut decisions).unwrap();
        prop_assert_eq!(expected, decisions);
    }
}

#[test]
fn a_batch_without_room_for_its_decisions_charges_nothing_and_says_so() {
    let engine = engine();
    let asked = [(
        Request::from_peer([203, 0, 113, 1].into()),
        Question::default(),
    ); 2];
    let mut decisions = [Decision::default()];
    let refused = engine.check_batch(&asked, Some(NOW), &mut decisions);
    assert_eq!(refused, Err(RoomMismatch { asked: 2, room: 1 }));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "found 2 questions and room for 1 decisions: accepted is one place for each question"
    );
    assert_eq!(engine.stats_at(Some(NOW)).live_counters, 0);
    assert!(!decisions[0].allowed(), "what was not decided is refused");
}

#[test]
fn a_batch_by_the_engines_clock_is_limited() {
    let engine = engine();
    let asked = [(
        Request::from_peer([203, 0, 113, 1].into()),
        Question {
            resource: Resource {
                agent: Some("rum-js"),
                service: Some("shop"),
            },
            ..Question::default()
        },
    ); 64];
    let mut decisions = [Decision::default(); 64];
    engine.check_batch(&asked, None, &mut decisions).unwrap();
    let allowed = decisions.iter().filter(|decision| decision.allowed());
    assert_eq!(allowed.count(), 6);
}
