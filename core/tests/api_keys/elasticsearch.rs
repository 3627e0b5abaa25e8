//! Verification against Elasticsearch: what is asked, and what each answer comes to.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollbar::{Action, Engine, Question, Reason, Resource};

use super::stand_in::{Reply, StandIn};
use super::{authenticated, header, request, verified};

fn engine(hosts: &[String], timeout: &str) -> Engine {
    let hosts = hosts.join(", ");
    Engine::from_yaml(&format!(
        "apm-server.auth.api_key: {{enabled: true, elasticsearch: {{hosts: {hosts:?}, timeout: {timeout}}}}}"
    ))
    .unwrap()
}

/// A port that nobody listens on.
fn refusing() -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    format!("http://127.0.0.1:{port}")
}

fn all() -> Reply {
    Reply::privileges(true, true, true)
}

#[test]
fn a_key_may_do_what_elasticsearch_says() {
    let server = StandIn::new(|key| match key {
        "id:all" => all(),
        "id:event" => Reply::privileges(false, true, false),
        "id:none" => Reply::privileges(false, false, false),
        _ => Reply::status(401),
    });
    let engine = engine(&[server.url()], "5s");
    let may = |key: &str| {
        let header = header("id", key);
        [Action::Ingest, Action::AgentConfig, Action::Sourcemap].map(|action| {
            let resource = Resource::default();
            engine
                .check_blocking(
                    &request(&header),
                    &Question {
                        action,
                        resource,
                        ..Question::default()
                    },
                    None,
                )
                .reason
        })
    };
    assert_eq!(may("all"), [Reason::Allowed; 3]);
    let missing = Reason::MissingPrivilege;
    assert_eq!(may("event"), [Reason::Allowed, missing, missing]);
    assert_eq!(may("none"), [Reason::InvalidApiKey; 3]);
    assert_eq!(may("wrong"), [Reason::InvalidApiKey; 3]);
    // Each was asked once: good verdicts and bad ones are kept.
    assert_eq!(server.requests(), 4);
}

#[test]
fn only_a_no_is_a_no() {
    for (status, reason) in [(401, Reason::InvalidApiKey), (403, Reason::InvalidApiKey)] {
        let server = StandIn::new(move |_| Reply::status(status));
        let engine = engine(&[server.url()], "5s");
        let key = header("id", "key");
        assert_eq!(verified(&engine, &key), reason, "{status}");
        assert_eq!(authenticated(&engine, &key), reason);
        assert_eq!(server.requests(), 1);
    }
}

#[test]
fn a_no_needs_no_body_that_can_be_read() {
    for status in [401, 403] {
        let long = Reply::status(status).body(&" ".repeat(100_000));
        for reply in [long, Reply::status(status).breaking_off()] {
            let server = StandIn::new(move |_| reply.clone());
            let engine = engine(&[server.url()], "5s");
            let key = header("id", "key");
            assert_eq!(verified(&engine, &key), Reason::InvalidApiKey, "{status}");
            assert_eq!(server.requests(), 1);
        }
    }
}

#[test]
fn an_answer_may_be_64_kib_long() {
    let answer = all().body;
    for (length, reason) in [(65_536, Reason::Allowed), (65_537, Reason::Unavailable)] {
        let long = answer.clone() + &" ".repeat(length - answer.len());
        let server = StandIn::new(move |_| all().body(&long));
        let engine = engine(&[server.url()], "5s");
        assert_eq!(verified(&engine, &header("id", "key")), reason, "{length}");
    }
}

#[test]
fn what_is_no_verdict_is_503_not_cached_and_asked_again() {
    let privileges = all().body;
    let half = privileges.replace("\"event:write\":true,", "");
    assert_ne!(half, privileges);
    for (name, reply) in [
        ("busy", Reply::status(429)),
        ("broken", Reply::status(500)),
        ("down", Reply::status(503)),
        ("another server", Reply::status(404)),
        (
            "a login page",
            Reply::status(200).body("<html>sign in</html>"),
        ),
        ("nothing", Reply::status(200).body("")),
        ("half an answer", Reply::status(200).body(&half)),
        (
            "too much",
            Reply::status(200).body(&format!("{privileges}{}", " ".repeat(100_000))),
        ),
        ("elsewhere", Reply::status(302)),
        ("permanently elsewhere", Reply::status(307)),
        ("slow", all().after(Duration::from_secs(3))),
    ] {
        let server = StandIn::new(move |_| reply.clone());
        let engine = engine(&[server.url()], "400ms");
        let key = header("secret-id", "hunter2");
        let begin = Instant::now();
        let decision = engine.verify(&request(&key), None).decision();
        assert_eq!(decision.reason, Reason::Unavailable, "{name}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{name}");
        assert_eq!(
            (decision.http_status(), decision.grpc_status() as i32),
            (503, 14)
        );
        assert_eq!(server.requests(), 1, "{name}: sent once, to this host only");
        assert_eq!(authenticated(&engine, &key), Reason::Pending, "{name}");
        let stats = engine.stats().api_keys;
        let error = stats.last_error.unwrap();
        assert!(error.contains(&server.url()), "{error}");
        for secret in ["hunter2", &key["ApiKey ".len()..]] {
            assert!(!error.contains(secret), "{error}");
        }
        server.answers(|_| all());
        assert_eq!(
            verified(&engine, &key),
            Reason::Allowed,
            "{name}: well again"
        );
    }
}

#[test]
fn hosts_are_tried_in_turn_and_the_one_that_answers_is_kept() {
    let busy = StandIn::new(|_| Reply::status(429));
    let good = StandIn::new(|key| {
        if key == "id:good" {
            all()
        } else {
            Reply::status(401)
        }
    });
    let engine = engine(&[refusing(), busy.url(), good.url()], "5s");
    assert_eq!(verified(&engine, &header("id", "good")), Reason::Allowed);
    assert_eq!((busy.requests(), good.requests()), (1, 1));
    assert_eq!(
        verified(&engine, &header("id", "wrong")),
        Reason::InvalidApiKey
    );
    assert_eq!((busy.requests(), good.requests()), (1, 2));
    assert_eq!(good.connections(), 1);
    // When it fails, the others are asked again.
    good.answers(|_| Reply::status(500));
    busy.answers(|_| all());
    assert_eq!(verified(&engine, &header("id", "other")), Reason::Allowed);
}

#[test]
fn the_timeout_is_for_all_hosts_together_and_a_slow_one_leaves_time_for_the_next() {
    let slow = || StandIn::new(|_| all().after(Duration::from_secs(5)));
    let (a, b, good) = (slow(), slow(), StandIn::new(|_| all()));
    let begin = Instant::now();
    let engine_of_slow = engine(&[a.url(), b.url()], "500ms");
    assert_eq!(
        verified(&engine_of_slow, &header("id", "key")),
        Reason::Unavailable
    );
    assert!(
        begin.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!((a.requests(), b.requests()), (1, 1));
    let engine = engine(&[a.url(), good.url()], "1s");
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Allowed);
}

/// A server that takes a connection and says nothing.
fn deaf() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn the_last_host_has_all_the_time_that_is_left() {
    let busy = StandIn::new(|_| Reply::status(429));
    // Far longer than one of a hundred hosts may take, and far less than all.
    let slow = StandIn::new(|_| all().after(Duration::from_millis(200)));
    let mut hosts = vec![busy.url(); 99];
    hosts.push(slow.url());
    let engine = engine(&hosts, "10s");
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Allowed);
}

#[test]
fn the_first_host_is_asked_however_short_the_time_is_and_none_when_it_is_over() {
    let ((_a, a), (_b, b)) = (deaf(), deaf());
    for timeout in ["1ns", "1ms"] {
        let engine = engine(&[a.clone(), b.clone()], timeout);
        assert_eq!(verified(&engine, &header("id", "key")), Reason::Unavailable);
        let error = engine.stats().api_keys.last_error;
        assert_eq!(error, Some(format!("{a}: it took too long")), "{timeout}");
    }
}

#[test]
fn the_error_says_what_was_wrong_with_each_host() {
    let busy = StandIn::new(|_| Reply::status(429));
    let broken = StandIn::new(|_| Reply::status(500));
    let (busy, broken) = (&busy.url(), &broken.url());
    let engine = engine(&[busy.clone(), broken.clone()], "5s");
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Unavailable);
    assert_eq!(
        engine.stats().api_keys.last_error,
        Some(format!(
            "{busy}: it is busy (429); {broken}: it answered 500"
        ))
    );
}

#[test]
fn nobody_listens() {
    let engine = engine(&[refusing()], "5s");
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Unavailable);
    let stats = engine.stats().api_keys;
    assert_eq!((stats.started, stats.unavailable), (1, 1));
}

#[test]
fn connections_are_used_again_and_may_be_closed_in_between() {
    let server = StandIn::new(|_| all());
    let engine = engine(&[server.url()], "5s");
    for n in 0..20 {
        assert_eq!(
            verified(&engine, &header("id", &n.to_string())),
            Reason::Allowed
        );
    }
    assert_eq!((server.requests(), server.connections()), (20, 1));
    server.answers(|_| all().hanging_up());
    for n in 20..40 {
        assert_eq!(
            verified(&engine, &header("id", &n.to_string())),
            Reason::Allowed,
            "{n}"
        );
        // The end of the connection has to arrive.
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.requests(), 40);
}

#[test]
fn a_connection_that_breaks_under_a_request_is_no_reason_to_refuse() {
    let server = StandIn::new(|_| all().once_per_connection());
    let engine = engine(&[server.url()], "5s");
    for n in 0..20 {
        assert_eq!(
            verified(&engine, &header("id", &n.to_string())),
            Reason::Allowed,
            "{n}"
        );
    }
    // A host that never answers is asked twice, and no more.
    let (before, deaf) = (server.requests(), header("id", "deaf"));
    server.answers(|_| all().never());
    assert_eq!(verified(&engine, &deaf), Reason::Unavailable);
    assert!(server.requests() <= before + 2);
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_once_more() {
    let asked = AtomicU64::new(0);
    let server = StandIn::new(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => all().breaking_off(),
        _ => all(),
    });
    let engine = engine(&[server.url()], "5s");
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Allowed);
    assert_eq!(server.requests(), 2);
}

#[test]
fn what_is_asked_once_more_may_take_the_time_that_is_left() {
    let slow = Duration::from_millis(50);
    let server = StandIn::new(move |_| all().once_per_connection().after(slow));
    let engine = engine(&[server.url()], "5s");
    for key in ["first", "second"] {
        assert_eq!(verified(&engine, &header("id", key)), Reason::Allowed);
    }
    // The second key's first request broke its connection.
    assert_eq!((server.requests(), server.connections()), (3, 2));
}

#[test]
fn a_path_of_the_host_is_kept() {
    let server = StandIn::new(|_| all());
    let engine = engine(&[format!("{}/", server.url())], "5s");
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Allowed);
}

#[test]
fn other_hosts_may_say_otherwise_so_a_reload_asks_them() {
    let (yes, no) = (
        StandIn::new(|_| all()),
        StandIn::new(|_| Reply::status(401)),
    );
    let key = header("id", "key");
    let engine = engine(&[yes.url()], "5s");
    assert_eq!(verified(&engine, &key), Reason::Allowed);
    let yaml = |host: &StandIn| {
        format!(
            "apm-server.auth.api_key: {{enabled: true, elasticsearch.hosts: ['{}']}}",
            host.url()
        )
    };
    engine.reload_yaml(&yaml(&yes)).unwrap();
    assert_eq!(verified(&engine, &key), Reason::Allowed);
    let requests = yes.requests();
    engine.reload_yaml(&yaml(&yes)).unwrap();
    assert_eq!(authenticated(&engine, &key), Reason::Allowed);
    assert_eq!(yes.requests(), requests);
    engine.reload_yaml(&yaml(&no)).unwrap();
    assert_eq!(authenticated(&engine, &key), Reason::Pending);
    assert_eq!(verified(&engine, &key), Reason::InvalidApiKey);
}
