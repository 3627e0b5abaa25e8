//! The flood of SPEC section 5: 100,000 distinct bad keys while 50 good ones are in use.
//!
//! An allocator counts what is live, to see that memory stays fixed.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError};
use tollbar::{Action, Engine, Question, Reason, Request, Resource};

struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator, whose contract is the same.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MINUTE: u64 = 60_000_000_000;
const GOOD: u64 = 50;
const BAD: u64 = 100_000;
const LIMIT: u64 = 100;
/// The flood takes five minutes.
const STEP: u64 = 5 * MINUTE / BAD;

/// Good are the ids that begin with `good`; counts what it is asked of either kind.
#[derive(Default)]
struct Directory {
    good: AtomicU64,
    bad: AtomicU64,
}

impl Verifier for Directory {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        let good = presented.id().starts_with("good");
        let counter = if good { &self.good } else { &self.bad };
        counter.fetch_add(1, Ordering::Relaxed);
        if good {
            Ok(Privileges::ALL)
        } else {
            Err(VerifyError::Invalid)
        }
    }
}

fn header(id: &str, n: u64) -> String {
    format!("ApiKey {}", STANDARD.encode(format!("{id}{n}:key")))
}

struct Flood {
    engine: Engine,
    directory: Arc<Directory>,
    good: Vec<String>,
}

impl Flood {
    fn new() -> Self {
        let yaml = format!("apm-server.auth.api_key: {{enabled: true, limit: {LIMIT}}}");
        let engine = Engine::from_yaml(&yaml).unwrap();
        let directory = Arc::new(Directory::default());
        engine
            .set_verifier(Some(Arc::clone(&directory) as _))
            .unwrap();
        let good: Vec<String> = (0..GOOD).map(|n| header("good", n)).collect();
        let flood = Self {
            engine,
            directory,
            good,
        };
        // The good keys are in use before the flood begins.
        (0..GOOD).for_each(|n| flood.use_good(n, 0));
        flood
    }

    /// A good key is used, by a client behind the flood's first address: as a server does, first without waiting.
    fn use_good(&self, n: u64, now: u64) {
        let header = &self.good[(n % GOOD) as usize];
        let request = Request {
            authorization: Some(header.as_bytes()),
            ..Request::from_peer(Ipv4Addr::from_bits(0).into())
        };
        let ask = |blocking: bool| {
            let (action, resource) = (Action::Ingest, Resource::default());
            if blocking {
                self.engine.check_blocking(
                    &request,
                    &Question {
                        action,
                        resource,
                        ..Question::default()
                    },
                    Some(now),
                )
            } else {
                self.engine.check(
                    &request,
                    &Question {
                        action,
                        resource,
                        ..Question::default()
                    },
                    Some(now),
                )
            }
        };
        let first = ask(false).reason;
        assert!(
            matches!(first, Reason::Allowed | Reason::Pending),
            "{first}"
        );
        assert!(ask(true).allowed());
    }

    /// A bad key comes from this address; what it came to.
    fn bad(&self, n: u64, peer: u32, now: u64) -> Reason {
        let header = header("bad", n);
        let request = Request {
            authorization: Some(header.as_bytes()),
            ..Request::from_peer(Ipv4Addr::from_bits(peer).into())
        };
        self.engine.verify(&request, Some(now)).decision().reason
    }
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn p5_a_flood_of_bad_keys_harms_no_good_one() {
    from_one_address();
    from_many_addresses();
    under_threads();
}

fn from_one_address() {
    let flood = Flood::new();
    let before = LIVE.load(Ordering::Relaxed);
    // When a bad key reached the verifier.
    let mut reached: Vec<u64> = Vec::with_capacity(BAD as usize);
    for n in 0..BAD {
        let now = n * STEP;
        match flood.bad(n, 0, now) {
            Reason::InvalidApiKey => reached.push(now),
            reason => assert_eq!(reason, Reason::Unavailable),
        }
        flood.use_good(n, now);
    }
    assert_eq!(
        flood.directory.bad.load(Ordering::Relaxed),
        reached.len() as u64
    );
    for (i, start) in reached.iter().enumerate() {
        let within = reached[i..]
            .iter()
            .take_while(|at| **at - start < MINUTE)
            .count();
        assert!(within as u64 <= LIMIT, "{within} in a minute");
    }
    // Every good key was verified once at first, and once for each minute that was over.
    let good = flood.directory.good.load(Ordering::Relaxed);
    assert!(good <= GOOD * 6, "{good}");
    let grown = LIVE.load(Ordering::Relaxed) - before - (reached.capacity() * 8) as i64;
    assert!(grown < 4096, "grown by {grown} bytes");
    let stats = flood.engine.stats().api_keys;
    assert_eq!(stats.valid_held, GOOD);
    assert_eq!(stats.over_budget, BAD - reached.len() as u64);
}

fn from_many_addresses() {
    let flood = Flood::new();
    let before = LIVE.load(Ordering::Relaxed);
    for n in 0..BAD {
        let _ = flood.bad(n, n as u32, n * STEP);
        flood.use_good(n, n * STEP);
    }
    // What reaches the verifier is bounded by the number of counters.
    let reached = flood.directory.bad.load(Ordering::Relaxed);
    assert!(reached <= 4096 * LIMIT * 6, "{reached}");
    assert!(LIVE.load(Ordering::Relaxed) - before < 4096);
    let stats = flood.engine.stats().api_keys;
    assert_eq!(stats.valid_held, GOOD);
    assert!(stats.invalid_held <= 4096);
}

fn under_threads() {
    let flood = Flood::new();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let flood = &flood;
            scope.spawn(move || {
                for n in 0..BAD / 2 {
                    let _ = flood.bad(2 * n + thread, n as u32 % 7, n * STEP);
                }
            });
        }
        for n in 0..BAD {
            flood.use_good(n, n * STEP);
        }
    });
    let reached = flood.directory.bad.load(Ordering::Relaxed);
    assert!(reached <= 7 * LIMIT * 6, "{reached}");
    assert_eq!(flood.engine.stats().api_keys.valid_held, GOOD);
}
