//! What a limiter keeps allocated once so many addresses have come: exact, as an allocator counts that passes everything on.
//!
//! Two questions: a limiter that has room for all of them, and one that was told to know a thousand. Nothing here depends on time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use tollbar_benches::address;
use tollbar_benches::measuring::{Row, full, write};
use tollbar_benches::peers::{Governor, Limiter, MutexLru, Quota, Tollbar};

struct Counting;

/// Bytes that are allocated now. Relaxed: one thread measures.
static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator, whose contract is the same.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    // Not the default, which would write the zeros itself.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `make` keeps allocated after each of `ips` addresses has come.
fn held<L: Limiter>(ips: u32, make: impl FnOnce() -> L) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    let limiter = make();
    (0..ips).for_each(|i| {
        limiter.admit(address(i));
    });
    HELD.load(Ordering::Relaxed) - before
}

fn main() -> std::io::Result<()> {
    let mut sizes = vec![1_000, 10_000, 100_000, 1_000_000];
    if full() {
        sizes.push(10_000_000);
    }
    let quota = |addresses| Quota {
        event_limit: 300,
        addresses,
    };
    let mut rows = Vec::new();
    for ips in sizes {
        let governor = held(ips, || Governor::new(quota(ips)));
        for (what, ours, lru) in [
            // As many counters as an operator would give them, at 70 % of the capacity.
            ("room for all", ips + ips * 3 / 7, ips),
            ("room for 1000", 1_000, 1_000),
        ] {
            let name = format!("memory, {what}/{ips}");
            let tollbar = held(ips, || Tollbar::new(quota(ours)));
            let lru = held(ips, || MutexLru::new(quota(lru)));
            rows.push(Row::bytes(&name, tollbar, "governor", governor));
            rows.push(Row::bytes(&name, tollbar, "mutex+lru", lru));
        }
    }
    write("memory", &rows)
}
