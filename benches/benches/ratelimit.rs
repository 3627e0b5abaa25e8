//! The rate limit alone, address in, verdict out, own clock: Tollbar's counters against `governor` keyed.

use std::hint::black_box;
use std::num::NonZeroU32;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use governor::clock::QuantaClock;
use governor::state::keyed::DashMapStateStore;
use tollbar::client_ip::ClientKey;
use tollbar::ratelimit::{Clock, Limits, RateLimiter};
use tollbar_benches::{addresses, timed, visits};

/// Events a second: enough that every call is admitted.
const ADMITTING: u32 = 50_000_000;
/// So little that after the burst nearly every call is refused.
const REFUSING: u32 = 1;

type Governor =
    governor::RateLimiter<std::net::IpAddr, DashMapStateStore<std::net::IpAddr>, QuantaClock>;

fn ours(ips: u32, event_limit: u32) -> RateLimiter {
    RateLimiter::new(Limits {
        // As an operator sizes it: a table at 70 % of its capacity.
        ip_limit: ips + ips * 3 / 7,
        event_limit,
        burst_multiplier: 3,
    })
}

fn governor(event_limit: u32) -> Governor {
    let limit = NonZeroU32::new(event_limit).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(event_limit * 3).unwrap_or(NonZeroU32::MIN);
    let quota = governor::Quota::per_second(limit).allow_burst(burst);
    governor::RateLimiter::new(quota, DashMapStateStore::default(), QuantaClock::default())
}

fn bench(criterion: &mut Criterion) {
    for (what, event_limit) in [("admitted", ADMITTING), ("refused", REFUSING)] {
        for ips in [1, 1_000, 1_000_000] {
            for threads in [1, 2] {
                if ips == 1_000_000 && event_limit == REFUSING {
                    continue;
                }
                let mut group = criterion.benchmark_group(format!("ratelimit/{what}/{ips}"));
                group.throughput(Throughput::Elements(threads as u64));
                group.sample_size(20);
                let keys = addresses(ips);
                let orders: Vec<_> = (0..threads as u64)
                    .map(|seed| visits(ips, seed + 1))
                    .collect();
                let clock = Clock::new();
                let (limiter, peer) = (ours(ips, event_limit), governor(event_limit));
                for &key in &keys {
                    let _ = limiter.charge(ClientKey::new(key, 64), 1, clock.now());
                    let _ = peer.check_key(&key);
                }
                group.bench_function(BenchmarkId::new("tollbar", threads), |bencher| {
                    bencher.iter_custom(|iterations| {
                        timed(threads, iterations, |thread, iterations| {
                            for i in 0..iterations {
                                let key = keys[orders[thread][i as usize & 0xf_ffff] as usize];
                                black_box(limiter.charge(ClientKey::new(key, 64), 1, clock.now()));
                            }
                        })
                    });
                });
                group.bench_function(BenchmarkId::new("governor", threads), |bencher| {
                    bencher.iter_custom(|iterations| {
                        timed(threads, iterations, |thread, iterations| {
                            for i in 0..iterations {
                                let key = keys[orders[thread][i as usize & 0xf_ffff] as usize];
                                let _ = black_box(peer.check_key(&key));
                            }
                        })
                    });
                });
                group.finish();
            }
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
