//! P5: the counters' memory. At most 32 bytes a counter, allocated once, and touched only where it is used.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::Ipv4Addr;

use tollbar::client_ip::ClientKey;
use tollbar::ratelimit::{Limits, RateLimiter};
use tollbar::{Engine, Question, Request, Resource};

struct Measuring;

thread_local! {
    /// Bytes that this thread holds, and how often it asked for memory.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

fn account(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    REQUESTS.set(REQUESTS.get() + u64::from(bytes > 0));
}

// SAFETY: every call is passed on unchanged to the system's allocator, whose contract is the same.
unsafe impl GlobalAlloc for Measuring {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        account(layout.size() as isize);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    // Not the default, which would write the zeros itself and so touch every page.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        account(layout.size() as isize);
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        account(-(layout.size() as isize));
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Measuring = Measuring;

fn limiter(ip_limit: u32) -> RateLimiter {
    RateLimiter::new(Limits {
        ip_limit,
        event_limit: 10,
        burst_multiplier: 3,
    })
}

fn engine(ip_limit: u32) -> Engine {
    Engine::from_yaml(&format!(
        "apm-server.auth.anonymous: {{enabled: true, rate_limit: {{ip_limit: {ip_limit}, event_limit: 10}}}}"
    ))
    .unwrap()
}

/// What `make` keeps allocated, in bytes for each of `counters`.
fn bytes_a_counter<T>(counters: u32, make: impl FnOnce(u32) -> T) -> f64 {
    let before = HELD.get();
    let made = make(counters);
    let held = HELD.get() - before;
    drop(made);
    held as f64 / f64::from(counters)
}

#[test]
fn p5_at_most_32_bytes_a_counter() {
    for counters in [1_000_000, 10_000_000] {
        let alone = bytes_a_counter(counters, limiter);
        let whole = bytes_a_counter(counters, engine);
        println!("{counters} counters: {alone:.3} bytes each, {whole:.3} with the whole engine");
        // An owner and a TAT are 16 bytes: less would mean that nothing was measured.
        assert!((16.0..=32.0).contains(&alone), "limiter: {alone}");
        assert!((16.0..=32.0).contains(&whole), "engine: {whole}");
    }
}

#[test]
fn p5_counters_are_allocated_once() {
    let limiter = limiter(100_000);
    let before = (HELD.get(), REQUESTS.get());
    // Filled, and then taken over many times.
    for i in 0..1_000_000 {
        limiter.charge(ClientKey::new(Ipv4Addr::from(i).into(), 64), 1, 1_000);
    }
    assert!(limiter.claims() > 200_000, "takeovers were among them");
    assert_eq!((HELD.get(), REQUESTS.get()), before);
}

/// Bytes of this process that are in memory.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    // SAFETY: `sysconf` takes a number and touches no memory of ours.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * u64::try_from(page).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn p5_huge_tables_are_touched_lazily() {
    const COUNTERS: u32 = 50_000_000;
    let before = resident();
    let engine = engine(COUNTERS);
    let grown = resident().saturating_sub(before);
    println!("{COUNTERS} counters: {grown} bytes more in memory");
    // The counters are 850 MB. What an engine needs besides, and what the other tests of this process use meanwhile, is far below this.
    assert!(grown < 64 << 20, "{grown} bytes of an unused table");
    let request = Request::from_peer(Ipv4Addr::LOCALHOST.into());
    let resource = Resource {
        agent: Some("rum-js"),
        service: None,
    };
    let decision = engine.check(
        &request,
        &Question {
            resource,
            ..Question::default()
        },
        None,
    );
    assert!(decision.allowed(), "{decision:?}");
}
