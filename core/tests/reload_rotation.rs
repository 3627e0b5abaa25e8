//! Rotation under load: tokens go A -> A+B -> B -> A+B -> A, thousands of times, while two threads make requests.
//!
//! Exact, not statistical. Generation g has the configuration `CYCLE[(g - 1) % 4]`. Each request is bracketed: `finished` read
//! before it and `started` read after it are the first and the last generation that it can have been decided under. A token that is
//! valid in all of them must be accepted, one that is valid in none must be refused, and the generation that the decision names
//! must be one of them and explain it.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tollbar::{Decision, Engine, Method, Question, Reason, Request};

const RELOADS: u64 = 10_000;
const LOADERS: usize = 2;

struct Step {
    yaml: String,
    /// Whether A and B are valid. C never is.
    valid: [bool; 3],
}

struct Rotation {
    engine: Engine,
    cycle: Vec<Step>,
    /// The generation that a reload is about to bring, and the last one that it brought.
    started: AtomicU64,
    finished: AtomicU64,
    done: AtomicBool,
    requests: [AtomicU64; LOADERS],
}

/// What a thread saw.
#[derive(Default)]
struct Seen {
    accepted: u64,
    refused: u64,
    /// Requests during which the configuration changed.
    straddled: u64,
    /// Anonymous events that were admitted.
    admitted: u64,
}

/// Ends the rotation where a check fails, so that nobody waits for a thread that is gone.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Rotation {
    fn new(limits: [(u32, u32); 4]) -> Self {
        let tokens = [
            ("[token-a]", [true, false, false]),
            ("[token-a, token-b]", [true, true, false]),
            ("[token-b]", [false, true, false]),
            ("[token-b, token-a]", [true, true, false]),
        ];
        let cycle: Vec<Step> = tokens
            .into_iter()
            .zip(limits)
            .map(|((tokens, valid), (ip_limit, event_limit))| Step {
                yaml: format!(
                    "apm-server.auth: {{secret_token: {tokens}, anonymous: {{enabled: true, allow_agent: [], \
                     rate_limit: {{ip_limit: {ip_limit}, event_limit: {event_limit}}}}}}}"
                ),
                valid,
            })
            .collect();
        Self {
            engine: Engine::from_yaml(&cycle[0].yaml).unwrap(),
            cycle,
            started: AtomicU64::new(1),
            finished: AtomicU64::new(1),
            done: AtomicBool::new(false),
            requests: [const { AtomicU64::new(0) }; LOADERS],
        }
    }

    fn step(&self, generation: u64) -> &Step {
        &self.cycle[(generation as usize - 1) % self.cycle.len()]
    }

    fn reload(&self) {
        for generation in 2..RELOADS + 2 {
            self.started.store(generation, Ordering::SeqCst);
            let taken = self.engine.reload_yaml(&self.step(generation).yaml);
            assert_eq!(taken, Ok(generation));
            self.finished.store(generation, Ordering::SeqCst);
            if generation % 64 == 0 {
                self.let_everybody_make_a_request();
            }
        }
        self.done.store(true, Ordering::SeqCst);
    }

    /// So that load and reloads go on together, however few processors there are.
    fn let_everybody_make_a_request(&self) {
        for requests in &self.requests {
            let before = requests.load(Ordering::SeqCst);
            while requests.load(Ordering::SeqCst) == before && !self.done.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
    }

    /// Makes a request and the checks that hold for all of them.
    fn bracketed(
        &self,
        seen: &mut Seen,
        ask: impl FnOnce(&Engine) -> Decision,
    ) -> (Decision, u64, u64) {
        let first = self.finished.load(Ordering::SeqCst);
        let decision = ask(&self.engine);
        let last = self.started.load(Ordering::SeqCst);
        assert!(
            (first..=last).contains(&decision.generation),
            "{decision:?} under {first} to {last}"
        );
        seen.straddled += u64::from(first != last);
        (decision, first, last)
    }

    fn present(&self, token: usize, seen: &mut Seen, in_steps: bool) {
        let header: &[u8] = [b"Bearer token-a", b"Bearer token-b", b"Bearer token-c"][token];
        let request = Request {
            authorization: Some(header),
            ..Request::from_peer([203, 0, 113, 9].into())
        };
        let (decision, first, last) = self.bracketed(seen, |engine| {
            if in_steps {
                engine.authenticate(&request).decision()
            } else {
                engine.check(&request, &Question::default(), None)
            }
        });
        let valid = |generation| self.step(generation).valid[token];
        if (first..=last).all(valid) {
            assert!(decision.allowed(), "{decision:?} under {first} to {last}");
        }
        if !(first..=last).any(valid) {
            assert!(!decision.allowed(), "{decision:?} under {first} to {last}");
        }
        assert_eq!(decision.allowed(), valid(decision.generation));
        match decision.reason {
            Reason::Allowed => assert_eq!(decision.method, Some(Method::SecretToken)),
            reason => assert_eq!(reason, Reason::InvalidToken),
        }
        *(if decision.allowed() {
            &mut seen.accepted
        } else {
            &mut seen.refused
        }) += 1;
    }

    /// An anonymous event, always at the same instant.
    fn anonymous(&self, i: u64, seen: &mut Seen) {
        let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 | (i % 997) as u32));
        let request = Request::from_peer(ip);
        let (decision, ..) = self.bracketed(seen, |engine| {
            engine.check(&request, &Question::default(), Some(0))
        });
        assert_eq!(decision.method, Some(Method::Anonymous));
        assert!(matches!(
            decision.reason,
            Reason::Allowed | Reason::RateLimited
        ));
        seen.admitted += u64::from(decision.allowed());
    }

    fn load(&self, thread: usize, anonymous: bool) -> Seen {
        let _guard = Done(&self.done);
        let mut seen = Seen::default();
        let mut i = thread as u64;
        while !self.done.load(Ordering::SeqCst) {
            for token in 0..3 {
                self.present(token, &mut seen, i.is_multiple_of(2));
            }
            if anonymous {
                self.anonymous(i, &mut seen);
            }
            self.requests[thread].fetch_add(1, Ordering::SeqCst);
            i += 1;
        }
        seen
    }

    fn run(&self, anonymous: bool) -> Seen {
        let mut all = Seen::default();
        std::thread::scope(|scope| {
            let loaders: Vec<_> = (0..LOADERS)
                .map(|thread| scope.spawn(move || self.load(thread, anonymous)))
                .collect();
            self.reload();
            for loader in loaders {
                let seen = loader.join().unwrap();
                all.accepted += seen.accepted;
                all.refused += seen.refused;
                all.straddled += seen.straddled;
                all.admitted += seen.admitted;
            }
        });
        println!(
            "{} accepted, {} refused, {} while the configuration changed, {} anonymous",
            all.accepted, all.refused, all.straddled, all.admitted
        );
        // C alone is a third of them.
        assert!(all.accepted > 1000 && all.refused > 1000 && all.straddled > 100);
        all
    }
}

#[test]
fn no_token_valid_before_and_after_is_refused_and_none_valid_in_neither_is_accepted() {
    Rotation::new([(1000, 300); 4]).run(false);
}

#[test]
fn p7_rotation_with_changing_limits_refills_nobody() {
    const LIMITS: [(u32, u32); 4] = [(100, 5), (50, 7), (3, 7), (200, 2)];
    let seen = Rotation::new(LIMITS).run(true);
    // P1 for the larger of all configurations, at one instant.
    let (ips, events) = (200, 7);
    assert!(seen.admitted <= ips * events * 3, "{}", seen.admitted);
    assert!(seen.admitted > 0);
}
