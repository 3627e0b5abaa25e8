//! A whole decision: header bytes in, decision out. `tollbar, limiter alone` is what the rate limit costs of it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollbar::{Engine, Question, Request, Resource};
use tollbar_benches::peers::{Limiter, Quota, Tollbar};
use tollbar_benches::{address, visits};

const CONFIG: &str = "
apm-server:
  auth:
    secret_token: 0123456789abcdefghijklmnopqrstuvwxyzABCDEFG
    anonymous:
      enabled: true
      allow_service: [shop]
      rate_limit: {ip_limit: 1428, event_limit: 49999999}
";

fn bench(criterion: &mut Criterion) {
    let engine = match Engine::from_yaml(CONFIG) {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    let order = visits(1_000, 1);
    let mut addresses = order.iter().cycle().map(|&i| address(i));
    let mut next = move || addresses.next().unwrap_or(address(0));
    let resource = Resource {
        agent: Some("rum-js"),
        service: Some("shop"),
    };

    let mut group = criterion.benchmark_group("engine/anonymous");
    group.bench_function("tollbar", |bencher| {
        bencher.iter(|| {
            let request = Request::from_peer(next());
            black_box(engine.check(
                &request,
                &Question {
                    resource,
                    ..Question::default()
                },
                None,
            ))
        });
    });
    let limiter = Tollbar::new(Quota {
        event_limit: 49_999_999,
        addresses: 1_428,
    });
    group.bench_function("tollbar, limiter alone", |bencher| {
        bencher.iter(|| black_box(limiter.admit(next())));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = tollbar_benches::measuring::criterion();
    targets = bench
}
criterion_main!(benches);
