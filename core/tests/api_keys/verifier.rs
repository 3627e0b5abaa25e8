//! The promises of SPEC section 5 on verdicts, with a verifier that the test controls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError};
use tollbar::config::Privilege;
use tollbar::{Action, Engine, Method, Question, Reason, Request, Resource};

use super::{authenticated, header, request, verified};

const MINUTE: u64 = 60_000_000_000;

/// What a key comes to; unknown ones are invalid.
#[derive(Clone)]
enum Answer {
    Valid(Privileges),
    Invalid,
    Unavailable,
    Slow(Duration),
    Panic,
}

/// Answers from a table of `id:key`, and counts.
#[derive(Default)]
struct Directory {
    keys: Mutex<HashMap<String, Answer>>,
    asked: AtomicU64,
}

impl Directory {
    fn set(&self, id: &str, key: &str, answer: Answer) {
        self.keys
            .lock()
            .unwrap()
            .insert(format!("{id}:{key}"), answer);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Verifier for Directory {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let name = format!(
            "{}:{}",
            presented.id(),
            String::from_utf8_lossy(presented.key())
        );
        let answer = self.keys.lock().unwrap().get(&name).cloned();
        match answer.unwrap_or(Answer::Invalid) {
            Answer::Valid(privileges) => Ok(privileges),
            Answer::Invalid => Err(VerifyError::Invalid),
            Answer::Unavailable => Err(VerifyError::Unavailable("out to lunch".into())),
            Answer::Slow(time) => {
                std::thread::sleep(time);
                Ok(Privileges::ALL)
            }
            Answer::Panic => panic!("on purpose"),
        }
    }
}

fn engine(limit: u32) -> (Arc<Engine>, Arc<Directory>) {
    let yaml = format!("apm-server.auth.api_key: {{enabled: true, limit: {limit}}}");
    let engine = Engine::from_yaml(&yaml).unwrap();
    let directory = Arc::new(Directory::default());
    directory.set("good", "key", Answer::Valid(Privileges::ALL));
    engine
        .set_verifier(Some(Arc::clone(&directory) as _))
        .unwrap();
    (Arc::new(engine), directory)
}

#[test]
fn p5_check_answers_pending_and_never_asks() {
    let (engine, directory) = engine(100);
    let good = header("good", "key");
    let decision = engine.check(&request(&good), &Question::default(), None);
    assert_eq!(decision.reason, Reason::Pending);
    assert_eq!(
        (decision.http_status(), decision.grpc_status() as i32),
        (503, 14)
    );
    assert_eq!((decision.method, decision.www_authenticate()), (None, None));
    assert_eq!(authenticated(&engine, &good), Reason::Pending);
    assert_eq!(directory.asked(), 0);

    let decision = engine.check_blocking(&request(&good), &Question::default(), None);
    assert!(decision.allowed());
    assert_eq!(decision.method, Some(Method::ApiKey));
    let decision = engine.check(&request(&good), &Question::default(), None);
    assert!(decision.allowed());
    assert_eq!(directory.asked(), 1);
}

#[test]
fn p5_a_verdict_holds_for_a_minute_good_or_bad() {
    let (engine, directory) = engine(100);
    for (key, reason) in [("key", Reason::Allowed), ("wrong", Reason::InvalidApiKey)] {
        let (header, before) = (header("good", key), directory.asked());
        let at = |now| {
            engine
                .authenticate_at(&request(&header), Some(now))
                .decision()
                .reason
        };
        let start = 5_000_000_000;
        assert_eq!(
            engine
                .verify(&request(&header), Some(start))
                .decision()
                .reason,
            reason
        );
        assert_eq!(at(start), reason);
        assert_eq!(at(start + MINUTE - 8), reason);
        assert_eq!(at(start + MINUTE), Reason::Pending);
        assert_eq!(
            engine
                .verify(&request(&header), Some(start + MINUTE))
                .decision()
                .reason,
            reason
        );
        assert_eq!(directory.asked() - before, 2);
    }
}

#[test]
fn p5_an_id_alone_proves_nothing() {
    let (engine, directory) = engine(100);
    assert_eq!(verified(&engine, &header("good", "key")), Reason::Allowed);
    for other in ["kez", "keykey", "ke", "key:", "KEY"] {
        let other = header("good", other);
        assert_eq!(authenticated(&engine, &other), Reason::Pending);
        assert_eq!(verified(&engine, &other), Reason::InvalidApiKey);
    }
    // And a bad key takes nothing from the good one.
    assert_eq!(
        authenticated(&engine, &header("good", "key")),
        Reason::Allowed
    );
    assert_eq!(directory.asked(), 6);
    // Where the colon lies is part of it as well.
    assert_eq!(
        verified(&engine, &header("goo", "d:key")),
        Reason::InvalidApiKey
    );
}

#[test]
fn one_key_has_one_verdict_with_and_without_padding() {
    let (engine, directory) = engine(100);
    directory.set("good", "ke", Answer::Valid(Privileges::ALL));
    let padded = header("good", "ke");
    assert!(padded.ends_with('='), "{padded}");
    assert_eq!(verified(&engine, &padded), Reason::Allowed);
    assert_eq!(
        authenticated(&engine, padded.trim_end_matches('=')),
        Reason::Allowed
    );
    assert_eq!(directory.asked(), 1);
}

#[test]
fn p5_one_verification_is_in_flight_per_key() {
    let (engine, directory) = engine(100);
    let slow = header("slow", "key");
    directory.set("slow", "key", Answer::Slow(Duration::from_millis(200)));
    let (threads, barrier) = (8, Barrier::new(8));
    std::thread::scope(|scope| {
        for n in 0..threads {
            let (engine, slow, barrier) = (&engine, &slow, &barrier);
            scope.spawn(move || {
                barrier.wait();
                if n % 2 == 0 {
                    assert_eq!(verified(engine, slow), Reason::Allowed);
                } else {
                    let identity = engine.start_verification(&request(slow), None).wait();
                    assert_eq!(identity.reason, Reason::Allowed);
                }
            });
        }
    });
    assert_eq!(directory.asked(), 1);
    assert_eq!(engine.stats().api_keys.started, 1);
}

#[test]
fn verifications_of_different_keys_do_not_wait_for_each_other() {
    let (engine, directory) = engine(100);
    let (gate, opened) = (header("slow", "key"), header("good", "key"));
    directory.set("slow", "key", Answer::Slow(Duration::from_millis(500)));
    let slow = engine.start_verification(&request(&gate), None);
    assert_eq!(verified(&engine, &opened), Reason::Allowed);
    assert_eq!(slow.poll(), None);
    assert_eq!(slow.wait().reason, Reason::Allowed);
}

#[test]
fn the_async_forms_tell_when_it_is_done() {
    let (engine, directory) = engine(100);
    let slow = header("slow", "key");
    directory.set("slow", "key", Answer::Slow(Duration::from_millis(200)));
    let verification = engine.start_verification(&request(&slow), None);
    assert_eq!(verification.poll(), None);
    assert_eq!(verification.wait_for(Duration::from_millis(1)), None);
    let (done, result) = channel();
    engine
        .start_verification(&request(&slow), None)
        .on_done(move |identity| done.send((identity, std::thread::current().id())).unwrap());
    let identity = verification.wait_for(Duration::MAX).unwrap();
    assert_eq!(verification.poll(), Some(identity));
    let (called_with, thread) = result.recv().unwrap();
    assert_eq!(called_with, identity);
    assert_ne!(thread, std::thread::current().id());
    let client = engine.client(identity);
    let decision = client.check(&Question::default(), None);
    assert!(decision.allowed());
    assert_eq!(decision.method, Some(Method::ApiKey));

    // With nothing to wait for, it is done at once, in this thread.
    for (authorization, reason) in [
        (Some(slow.as_bytes()), Reason::Allowed),
        (Some(b"Bearer wrong"), Reason::InvalidToken),
        (Some(b"ApiKey !"), Reason::InvalidApiKey),
        (None, Reason::MissingCredential),
    ] {
        let request = Request {
            authorization,
            ..request("")
        };
        let verification = engine.start_verification(&request, None);
        assert_eq!(verification.poll().unwrap().reason, reason);
        let (done, result) = channel();
        verification.on_done(move |identity| done.send(identity.reason).unwrap());
        assert_eq!(result.try_recv(), Ok(reason));
    }
    assert_eq!(directory.asked(), 1);
}

#[test]
fn what_cannot_be_verified_now_is_503_and_not_cached() {
    let (engine, directory) = engine(100);
    let key = header("some", "key");
    directory.set("some", "key", Answer::Unavailable);
    for round in 1..=3 {
        let decision = engine.verify(&request(&key), None).decision();
        assert_eq!(decision.reason, Reason::Unavailable);
        assert_eq!(
            (decision.http_status(), decision.grpc_status() as i32),
            (503, 14)
        );
        assert_eq!(authenticated(&engine, &key), Reason::Pending);
        assert_eq!(directory.asked(), round);
    }
    let stats = engine.stats().api_keys;
    assert_eq!(
        (stats.unavailable, stats.last_error.as_deref()),
        (3, Some("out to lunch"))
    );
    directory.set("some", "key", Answer::Valid(Privileges::ALL));
    assert_eq!(verified(&engine, &key), Reason::Allowed);
}

#[test]
fn a_verifier_that_panics_harms_only_who_waits_for_it() {
    let (engine, directory) = engine(100);
    let key = header("some", "key");
    directory.set("some", "key", Answer::Panic);
    let identity = engine.start_verification(&request(&key), None).wait();
    assert_eq!(identity.reason, Reason::Unavailable);
    let blocking =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| verified(&engine, &key)));
    assert!(blocking.is_err());
    directory.set("some", "key", Answer::Valid(Privileges::ALL));
    assert_eq!(verified(&engine, &key), Reason::Allowed);
}

#[test]
fn each_action_needs_its_privilege() {
    let (engine, directory) = engine(100);
    for (privilege, action) in [
        (Privilege::EventWrite, Action::Ingest),
        (Privilege::ConfigAgentRead, Action::AgentConfig),
        (Privilege::SourcemapWrite, Action::Sourcemap),
    ] {
        directory.set(
            "one",
            privilege.as_str(),
            Answer::Valid([privilege].into_iter().collect()),
        );
        let key = header("one", privilege.as_str());
        let client = engine.verify(&request(&key), None);
        for asked in [Action::Ingest, Action::AgentConfig, Action::Sourcemap] {
            let reason = if asked == action {
                Reason::Allowed
            } else {
                Reason::MissingPrivilege
            };
            let check = engine.check(
                &request(&key),
                &Question {
                    action: asked,
                    ..Question::default()
                },
                None,
            );
            for decision in [client.authorize(asked, Resource::default()), check] {
                assert_eq!(decision.reason, reason, "{privilege:?} {asked:?}");
                assert_eq!(decision.http_status() == 403, asked != action);
            }
        }
        // Kept and made a client of again, it may do the same.
        let again = engine.client(client.identity());
        assert!(again.authorize(action, Resource::default()).allowed());
        assert!(again.identity().privileges.contains(privilege));
    }
    directory.set("none", "key", Answer::Valid(Privileges::NONE));
    assert_eq!(
        verified(&engine, &header("none", "key")),
        Reason::InvalidApiKey
    );
}

#[test]
fn p5_when_full_old_verdicts_make_room_and_nobody_is_locked_out() {
    let (engine, directory) = engine(3);
    let key = |n: u64| header("many", &n.to_string());
    // Each from an address of its own, so that budgets are no matter here.
    let at = |n: u64| std::net::Ipv4Addr::from_bits(n as u32).into();
    for n in 0..20 {
        directory.set("many", &n.to_string(), Answer::Valid(Privileges::ALL));
        let header = key(n);
        let request = Request {
            peer: at(n),
            ..request(&header)
        };
        assert_eq!(
            engine.verify(&request, None).decision().reason,
            Reason::Allowed
        );
        let held: Vec<u64> = (0..=n)
            .filter(|n| authenticated(&engine, &key(*n)) == Reason::Allowed)
            .collect();
        assert_eq!(held, (n.saturating_sub(2)..=n).collect::<Vec<_>>());
    }
    assert_eq!(engine.stats().api_keys.valid_held, 3);
}

#[test]
fn p5_a_client_that_guesses_spends_its_own_budget() {
    let (engine, directory) = engine(10);
    let good = header("good", "key");
    assert_eq!(verified(&engine, &good), Reason::Allowed);
    let asked = directory.asked();
    let reasons: Vec<Reason> = (0..1_000)
        .map(|n| {
            engine
                .verify(&request(&header("good", &n.to_string())), Some(0))
                .decision()
                .reason
        })
        .collect();
    let refused = reasons
        .iter()
        .filter(|r| **r == Reason::InvalidApiKey)
        .count() as u64;
    assert_eq!(refused, directory.asked() - asked);
    assert!((1..=10).contains(&refused), "{refused}");
    // The others are told that it can't be said now, which is true, and not that they are wrong, which nobody knows.
    assert!(reasons[10..].iter().all(|r| *r == Reason::Unavailable));
    assert_eq!(engine.stats().api_keys.over_budget, 1_000 - refused);
    // Behind the same address, a key in use goes on, also when it is verified anew.
    for minute in 1..5 {
        let decision = engine
            .verify(&request(&good), Some(minute * 2 * MINUTE))
            .decision();
        assert_eq!(decision.reason, Reason::Allowed);
    }
    // And other addresses have budgets of their own.
    let elsewhere = Request {
        peer: [198, 51, 100, 7].into(),
        ..request("")
    };
    directory.set("new", "key", Answer::Valid(Privileges::ALL));
    let new = header("new", "key");
    let elsewhere = Request {
        authorization: Some(new.as_bytes()),
        ..elsewhere
    };
    assert_eq!(
        engine.verify(&elsewhere, Some(0)).decision().reason,
        Reason::Allowed
    );
}

#[test]
fn a_key_that_is_revoked_is_refused_within_a_minute_and_unknown_from_then_on() {
    let (engine, directory) = engine(2);
    let good = header("good", "key");
    assert_eq!(
        engine.verify(&request(&good), Some(0)).decision().reason,
        Reason::Allowed
    );
    directory.set("good", "key", Answer::Invalid);
    assert_eq!(
        engine
            .verify(&request(&good), Some(MINUTE))
            .decision()
            .reason,
        Reason::InvalidApiKey
    );
    let stats = engine.stats().api_keys;
    assert_eq!((stats.valid_held, stats.invalid_held), (0, 1));
}

#[test]
fn a_reload_drops_verdicts_if_api_keys_change_and_only_then() {
    let (engine, directory) = engine(100);
    let good = header("good", "key");
    assert_eq!(verified(&engine, &good), Reason::Allowed);
    // The verifier outlives every reload; verdicts one that leaves API keys alone.
    let other = "apm-server.auth: {secret_token: abcdefgh, api_key: {enabled: true, limit: 100}}";
    engine.reload_yaml(other).unwrap();
    assert_eq!(authenticated(&engine, &good), Reason::Allowed);
    engine
        .reload_yaml("apm-server.auth.api_key: {enabled: true, limit: 50}")
        .unwrap();
    assert_eq!(authenticated(&engine, &good), Reason::Pending);
    assert_eq!(verified(&engine, &good), Reason::Allowed);
    assert_eq!(directory.asked(), 2);
    engine
        .reload_yaml("apm-server.auth.secret_token: abcdefgh")
        .unwrap();
    assert_eq!(verified(&engine, &good), Reason::ApiKeyNotConfigured);
    engine
        .reload_yaml("apm-server.auth.api_key: {enabled: true, limit: 50}")
        .unwrap();
    assert_eq!(verified(&engine, &good), Reason::Allowed);
    assert_eq!(directory.asked(), 3);
    // Another verifier may see things differently.
    engine
        .set_verifier(Some(Arc::new(Directory::default())))
        .unwrap();
    assert_eq!(authenticated(&engine, &good), Reason::Pending);
    assert_eq!(verified(&engine, &good), Reason::InvalidApiKey);
    // With none, there is nobody to wait for.
    engine.set_verifier(None).unwrap();
    assert_eq!(authenticated(&engine, &good), Reason::InvalidApiKey);
}

#[test]
fn a_verification_that_a_reload_overtakes_ends_under_the_configuration_it_began_with() {
    let (engine, directory) = engine(100);
    let slow = header("slow", "key");
    directory.set("slow", "key", Answer::Slow(Duration::from_millis(200)));
    let verification = engine.start_verification(&request(&slow), None);
    engine
        .reload_yaml("apm-server.auth.api_key: {enabled: true, limit: 50}")
        .unwrap();
    let identity = verification.wait();
    assert_eq!((identity.reason, identity.generation), (Reason::Allowed, 1));
    // Its verdict is none of the new configuration's.
    assert_eq!(authenticated(&engine, &slow), Reason::Pending);
}

#[test]
fn local_keys_are_decided_here_and_their_ids_never_reach_the_verifier() {
    let key = tollbar::api_key::generate_with_id("local").unwrap();
    let yaml = format!(
        "apm-server.auth.api_key: {{enabled: true, keys: [{{id: local, hash: '{}', privileges: 'event:write'}}]}}",
        key.hash
    );
    let engine = Engine::from_yaml(&yaml).unwrap();
    let good = format!("ApiKey {}", *key.credential);
    assert_eq!(authenticated(&engine, &good), Reason::Allowed);
    assert_eq!(
        authenticated(&engine, &header("other", "key")),
        Reason::InvalidApiKey
    );
    let directory = Arc::new(Directory::default());
    engine
        .set_verifier(Some(Arc::clone(&directory) as _))
        .unwrap();
    for n in 0..10_000 {
        assert_eq!(
            verified(&engine, &header("local", &n.to_string())),
            Reason::InvalidApiKey
        );
    }
    assert_eq!(authenticated(&engine, &good), Reason::Allowed);
    assert_eq!(directory.asked(), 0);
    assert_eq!(
        authenticated(&engine, &header("other", "key")),
        Reason::Pending
    );
}

#[test]
#[ignore = "measures time: cargo test --release --test api_keys -- --ignored --nocapture"]
fn a_known_key_takes_a_fraction_of_a_microsecond() {
    let local = tollbar::api_key::generate_with_id("local").unwrap();
    let yaml = format!(
        "apm-server.auth: {{secret_token: {}, api_key: {{enabled: true, keys: [{{id: local, hash: '{}', privileges: 'event:write'}}]}}}}",
        "x".repeat(43),
        local.hash
    );
    let engine = Engine::from_yaml(&yaml).unwrap();
    let directory = Arc::new(Directory::default());
    let (id, key) = ("VuaCfGcBCdbkQm-e5aOx", "ui2lp2axTNmsyakw9tvNnw");
    directory.set(id, key, Answer::Valid(Privileges::ALL));
    engine.set_verifier(Some(directory)).unwrap();
    let (good, bad) = (header(id, key), header(id, "ui2lp2axTNmsyakw9tvNnx"));
    assert_eq!(verified(&engine, &good), Reason::Allowed);
    assert_eq!(verified(&engine, &bad), Reason::InvalidApiKey);
    for (name, authorization) in [
        ("secret token", format!("Bearer {}", "x".repeat(43))),
        ("known good", good),
        ("known bad", bad),
        ("unknown (pending)", header(id, "ui2lp2axTNmsyakw9tvNny")),
        ("local good", format!("ApiKey {}", *local.credential)),
        ("local bad", header("local", "ui2lp2axTNmsyakw9tvNny")),
    ] {
        let request = request(&authorization);
        let calls = 200_000u32;
        let best = (0..20)
            .map(|_| {
                let begin = std::time::Instant::now();
                for _ in 0..calls {
                    let decision = engine.check(&request, &Question::default(), None);
                    std::hint::black_box(decision.reason);
                }
                begin.elapsed().as_nanos() as f64 / f64::from(calls)
            })
            .fold(f64::INFINITY, f64::min);
        println!("{name}: {best:.0} ns");
        assert!(best < 1_000.0);
    }
}
