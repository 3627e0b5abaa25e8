//! The rate limit alone, address in, verdict out, own clock: Tollbar's counters against its peers.
//!
//! A group's name says what is measured and over how many addresses, its parameter the number of threads. Times are for one call of
//! each thread.

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tollbar::client_ip::ClientKey;
use tollbar::ratelimit::Verdict;
use tollbar_benches::measuring::full;
use tollbar_benches::peers::{Governor, GovernorDirect, Limiter, MutexLru, Quota, Tollbar};
use tollbar_benches::{VISITS, address, timed, visits};

/// Events a second: enough that every call is admitted.
const ADMITTING: u32 = 50_000_000;
/// The same, but no whole number of nanoseconds apart, which costs Tollbar a little more and peers a rounding.
const ADMITTING_UNEVEN: u32 = 49_999_999;
/// So few that after the burst nearly every call is refused.
const REFUSING: u32 = 1;

/// Measures one contestant: every thread visits the addresses in a random order of its own.
fn measure(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    limiter: &dyn Measured,
    ips: u32,
    threads: usize,
) {
    let orders: Vec<_> = (1..=threads as u64).map(|seed| visits(ips, seed)).collect();
    (0..ips).for_each(|i| limiter.warm(address(i)));
    let mut group = criterion.benchmark_group(group);
    group.bench_function(BenchmarkId::new(name, threads), |bencher| {
        bencher.iter_custom(|iterations| {
            timed(threads, iterations, |thread, iterations| {
                limiter.run(&orders[thread], iterations)
            })
        });
    });
    group.finish();
}

/// A contestant whose loop is compiled for it alone.
trait Measured: Sync {
    fn warm(&self, address: IpAddr);
    fn run(&self, order: &[u32], iterations: u64);
}

impl<L: Limiter> Measured for L {
    fn warm(&self, address: IpAddr) {
        self.admit(address);
    }

    fn run(&self, order: &[u32], iterations: u64) {
        for i in 0..iterations {
            let address = address(order[i as usize % VISITS]);
            black_box(self.admit(address));
        }
    }
}

/// Tollbar, 64 batches at a time.
struct Batches(Tollbar);

impl Measured for Batches {
    fn warm(&self, address: IpAddr) {
        self.0.admit(address);
    }

    fn run(&self, order: &[u32], iterations: u64) {
        const BATCH: usize = 64;
        let mut verdicts = [Verdict::default(); BATCH];
        for i in 0..iterations.div_ceil(BATCH as u64) as usize {
            let clients: [ClientKey; BATCH] = std::array::from_fn(|j| {
                ClientKey::new(address(order[(i * BATCH + j) % VISITS]), 64)
            });
            let now = self.0.clock.now();
            let _ = self
                .0
                .limiter
                .charge_many(&clients, &[1; BATCH], now, &mut verdicts);
            black_box(&verdicts);
        }
    }
}

/// Resident addresses: as many counters as an operator would give them, at 70 % of the capacity.
fn resident(criterion: &mut Criterion) {
    for (what, event_limit) in [
        ("admitted", ADMITTING),
        ("admitted, uneven", ADMITTING_UNEVEN),
        ("refused", REFUSING),
    ] {
        for ips in [1, 1_000, 1_000_000] {
            for threads in [1, 2] {
                let group = format!("{what}/{ips}");
                let quota = Quota {
                    event_limit,
                    addresses: ips + ips * 3 / 7,
                };
                let mut run = |name: &str, limiter: &dyn Measured| {
                    measure(criterion, &group, name, limiter, ips, threads)
                };
                run("tollbar", &Tollbar::new(quota));
                run("governor", &Governor::new(quota));
                if what == "admitted" {
                    run("mutex+lru", &MutexLru::new(quota));
                    if ips == 1 {
                        run("governor direct", &GovernorDirect::new(quota));
                    }
                }
            }
        }
    }
}

/// One thread on tables of more sizes, and more threads, whose number need not be that of the cores.
fn curves(criterion: &mut Criterion) {
    let mut sizes = vec![(100, 1), (10_000, 1), (100_000, 1)];
    sizes.extend([(1_000, 4), (1_000_000, 4)]);
    if full() {
        sizes.extend([(10, 1), (10_000_000, 1), (1_000, 8), (1_000_000, 8)]);
    }
    for (ips, threads) in sizes {
        let group = format!("admitted/{ips}");
        let quota = Quota {
            event_limit: ADMITTING,
            addresses: ips + ips * 3 / 7,
        };
        let mut run = |name: &str, limiter: &dyn Measured| {
            measure(criterion, &group, name, limiter, ips, threads)
        };
        run("tollbar", &Tollbar::new(quota));
        run("governor", &Governor::new(quota));
        run("mutex+lru", &MutexLru::new(quota));
    }
}

/// Batches of 64, in the caches and on a table larger than these.
fn batches(criterion: &mut Criterion) {
    for ips in [1_000, 1_000_000] {
        for threads in [1, 2] {
            let group = format!("batches of 64/{ips}");
            let quota = Quota {
                event_limit: ADMITTING,
                addresses: ips + ips * 3 / 7,
            };
            let mut run = |name: &str, limiter: &dyn Measured| {
                measure(criterion, &group, name, limiter, ips, threads)
            };
            run("tollbar", &Batches(Tollbar::new(quota)));
            run("tollbar, single calls", &Tollbar::new(quota));
            run("governor", &Governor::new(quota));
        }
    }
}

/// Ten times as many addresses as counters, against a resident table of the same size.
fn churn(criterion: &mut Criterion) {
    for counters in [1_000, 1_000_000] {
        for threads in [1, 2] {
            let quota = Quota {
                event_limit: ADMITTING,
                addresses: counters,
            };
            let group = format!("churn/{counters}");
            measure(
                criterion,
                &group,
                "tollbar",
                &Tollbar::new(quota),
                counters * 10,
                threads,
            );
            measure(
                criterion,
                &group,
                "tollbar, resident",
                &Tollbar::new(quota),
                counters * 7 / 10,
                threads,
            );
            measure(
                criterion,
                &group,
                "mutex+lru",
                &MutexLru::new(quota),
                counters * 10,
                threads,
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = tollbar_benches::measuring::criterion();
    targets = resident, curves, batches, churn
}
criterion_main!(benches);
