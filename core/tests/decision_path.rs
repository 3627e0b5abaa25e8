//! P5: on the way of a request there is no allocation, no lock and no system call.
//!
//! An allocator counts; a system-call filter kills the process at the first system call (so also at a futex, which is
//! what a lock that has to wait ends in). Both come after one call on the same thread: what a thread sets up once is not
//! on the way of a request.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError};
use tollbar::{Action, Decision, Engine, Question, Request, Resource};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator, whose contract is the same.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONFIG: &str = "
apm-server:
  rum.enabled: true
  auth:
    secret_token: [first, second]
    api_key:
      enabled: true
      keys: [{id: local, hash: 'tollbar1:AAECAwQFBgcICQoLDA0ODw:1dSFtUG-LgBfS2I0wVDakwoZx6q-dDdJQHK47lfWOwc', privileges: 'event:write'}]
    anonymous:
      allow_service: [shop]
      rate_limit: {ip_limit: 100, event_limit: 10}
tollbar.trusted_proxies: [10.0.0.0/8, 2001:db8::/32]
";

const KNOWN_GOOD: &[u8] = b"ApiKey Z29vZDprZXk=";
const KNOWN_BAD: &[u8] = b"ApiKey YmFkOmtleQ==";
const LOCAL_GOOD: &[u8] = b"ApiKey bG9jYWw6MDEyMzQ1Njc4OWFiY2RlZmdoaWprbA==";

/// Knows one good key.
struct Directory;

impl Verifier for Directory {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        match presented.id() {
            "good" => Ok(Privileges::ALL),
            _ => Err(VerifyError::Invalid),
        }
    }
}

/// An engine that has verified two API keys already.
fn engine() -> Engine {
    let engine = Engine::from_yaml(CONFIG).unwrap();
    engine.set_verifier(Some(Arc::new(Directory))).unwrap();
    for (key, allowed) in [(KNOWN_GOOD, true), (KNOWN_BAD, false), (LOCAL_GOOD, true)] {
        let request = Request {
            authorization: Some(key),
            ..Request::from_peer(Ipv4Addr::LOCALHOST.into())
        };
        assert_eq!(engine.verify(&request, None).decision().allowed(), allowed);
    }
    engine
}

/// Every way that a request can take.
fn work(engine: &Engine, round: u32) -> u32 {
    let resource = Resource {
        agent: Some("rum-js"),
        service: Some("shop"),
    };
    let proxy = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let headers: &[&[(&[u8], &[u8])]] = &[
        &[],
        &[(b"X-Forwarded-For", b"203.0.113.1, 10.0.0.3")],
        &[(
            b"Forwarded",
            br#"for="[2001:db9::1]:47\11";proto="ht,tp", for=10.1.1.1"#,
        )],
        &[
            (b"X-Real-IP", b"garbage"),
            (b"authorization", b"Bearer second"),
        ],
    ];
    let mut allowed = 0;
    for &headers in headers {
        for authorization in [
            None,
            Some(&b"Bearer first"[..]),
            Some(b"Bearer wrong"),
            Some(b"Basic x"),
            Some(KNOWN_GOOD),
            Some(KNOWN_BAD),
            Some(b"ApiKey dW5rbm93bjprZXk="),
            Some(LOCAL_GOOD),
            Some(b"ApiKey bG9jYWw6d3Jvbmc="),
            Some(b"ApiKey no-base64"),
        ] {
            // Far more addresses than counters: residents, newcomers, takeovers and refusals.
            for peer in [
                proxy,
                Ipv4Addr::from(round.wrapping_mul(0x9e37_79b9)).into(),
                Ipv6Addr::from(u128::from(round) << 64).into(),
            ] {
                let request = Request {
                    authorization,
                    peer,
                    headers,
                };
                let asked =
                    [Action::Ingest, Action::AgentConfig, Action::Sourcemap].map(|action| {
                        let question = Question {
                            action,
                            resource,
                            rum: true,
                            ..Question::default()
                        };
                        (request, question)
                    });
                for (request, question) in &asked {
                    allowed += u32::from(engine.check(request, question, None).allowed());
                }
                let mut decisions = [Decision::default(); 3];
                let _ = engine.check_batch(&asked, None, &mut decisions);
                allowed += decisions
                    .iter()
                    .map(|it| u32::from(it.allowed()))
                    .sum::<u32>();
                let client = engine.authenticate(&request);
                allowed += u32::from(client.rum_route().allowed());
                allowed += u32::from(client.authorize(Action::Ingest, resource).allowed());
                allowed += u32::from(
                    client
                        .authorize(Action::Ingest, Resource::default())
                        .allowed(),
                );
                let batches = [(client.identity(), 1); 3];
                let _ = engine.admit_batch(&batches, None, &mut decisions);
                allowed += decisions
                    .iter()
                    .map(|it| u32::from(it.allowed()))
                    .sum::<u32>();
                for n in [0, 2, 1000] {
                    allowed += u32::from(client.admit(n, None).allowed());
                    allowed += u32::from(
                        client
                            .reserve(n, Duration::from_millis(200), None)
                            .allowed(),
                    );
                }
            }
        }
    }
    allowed
}

#[test]
fn p5_no_allocation() {
    let engine = engine();
    work(&engine, 0);
    let before = ALLOCATIONS.get();
    let allowed: u32 = (1..500).map(|round| work(&engine, round)).sum();
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(allowed > 0);
    let stats = engine.stats();
    assert!(
        stats.displaced_clients > 0,
        "takeovers were among what was counted: {stats:?}"
    );
    assert!(
        !engine.recent_refusals().is_empty() && stats.refusals_not_recorded > 0,
        "and refusals, both recorded and not: {stats:?}"
    );
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#[test]
fn p5_no_system_call_under_two_threads() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    let engine = Arc::new(engine());
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let engine = Arc::clone(&engine);
            std::thread::spawn(move || {
                work(&engine, thread);
                // What a thread needs to end, and nothing else: above all no futex.
                let ending = [
                    libc::SYS_exit,
                    libc::SYS_munmap,
                    libc::SYS_madvise,
                    libc::SYS_sigaltstack,
                    libc::SYS_rt_sigprocmask,
                    libc::SYS_set_robust_list,
                ];
                let filter = SeccompFilter::new(
                    ending.into_iter().map(|call| (call, Vec::new())).collect(),
                    SeccompAction::KillProcess,
                    SeccompAction::Allow,
                    std::env::consts::ARCH.try_into().unwrap(),
                )
                .unwrap();
                let program: BpfProgram = filter.try_into().unwrap();
                seccompiler::apply_filter(&program).unwrap();
                let allowed: u32 = (0..2000).map(|round| work(&engine, round / 2)).sum();
                assert!(allowed > 0);
                // Dropping the program would be allowed to call the system; the thread ends right away.
                std::mem::forget(program);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
