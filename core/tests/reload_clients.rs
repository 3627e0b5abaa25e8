//! A client that was identified before a reload is decided under the configuration that is in force: SPEC 5, never a mix of two.

#![allow(clippy::unwrap_used)]

use tollbar::{Action, Engine, Question, Reason, Request, Resource};

fn yaml(tokens: &str, anonymous: bool) -> String {
    format!(
        "apm-server.auth: {{secret_token: {tokens}, anonymous: {{enabled: {anonymous}, allow_agent: []}}}}"
    )
}

fn bearer(token: &str) -> Vec<u8> {
    format!("Bearer {token}").into_bytes()
}

#[test]
fn a_revoked_token_is_refused_in_the_middle_of_a_stream() {
    let engine = Engine::from_yaml(&yaml("[old, kept]", false)).unwrap();
    let (old, kept) = (bearer("old"), bearer("kept"));
    let request = |authorization| Request {
        authorization: Some(authorization),
        ..Request::from_peer([203, 0, 113, 9].into())
    };
    let old = engine.authenticate(&request(&old));
    let kept = engine.authenticate(&request(&kept));
    // Reordered, limits changed, another token added: both stay.
    for tokens in ["[kept, old]", "[new, old, kept, kept]"] {
        engine.reload_yaml(&yaml(tokens, true)).unwrap();
        assert!(old.admit(1, None).allowed() && kept.admit(1, None).allowed());
    }
    engine.reload_yaml(&yaml("[new, kept]", true)).unwrap();
    for decision in [
        old.admit(1, None),
        old.authorize(Action::Sourcemap, Resource::default()),
        old.check(&Question::default(), None),
    ] {
        assert_eq!(
            (decision.reason, decision.generation),
            (Reason::InvalidToken, 4)
        );
    }
    assert!(kept.admit(1, None).allowed());
    // It is a new token when it comes back.
    engine.reload_yaml(&yaml("[old, kept]", true)).unwrap();
    assert_eq!(old.admit(1, None).reason, Reason::InvalidToken);
    assert!(kept.admit(1, None).allowed());
}

#[test]
fn an_anonymous_client_is_refused_once_anonymous_access_ends() {
    let engine = Engine::from_yaml(&yaml("token", true)).unwrap();
    let client = engine.authenticate(&Request::from_peer([203, 0, 113, 9].into()));
    assert!(client.check(&Question::default(), None).allowed());
    engine.reload_yaml(&yaml("token", false)).unwrap();
    assert_eq!(client.admit(1, None).reason, Reason::MissingCredential);
    engine.reload_yaml(&yaml("token", true)).unwrap();
    assert!(client.admit(1, None).allowed());
}

#[test]
fn who_was_let_in_without_a_question_is_asked_after_a_reload_that_asks() {
    let engine = Engine::from_yaml("").unwrap();
    let client = engine.authenticate(&Request::from_peer([203, 0, 113, 9].into()));
    assert!(client.admit(1_000_000, None).allowed());
    engine.reload_yaml(&yaml("token", true)).unwrap();
    assert_eq!(client.admit(1, None).reason, Reason::MissingCredential);
    // And nobody is asked when nothing is configured any more.
    engine.reload_yaml("").unwrap();
    assert!(client.admit(1_000_000, None).allowed());
}
