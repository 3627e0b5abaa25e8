//! What a credential costs: the comparison of a secret token, a whole decision on it, and refusals, of which some are recorded.
//!
//! The promise: at most 25 ns for one token of 43 characters, and 100 ns for a list of 16.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tollbar::config::SecretToken;
use tollbar::{Engine, Question, Request, Resource, TokenComparison};
use tollbar_benches::{address, timed};

fn token(i: u8) -> Vec<u8> {
    vec![b'a' + i; 43]
}

fn comparison(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token/comparison");
    for count in [1, 16] {
        let tokens: Vec<SecretToken> = (0..count).map(|i| SecretToken::new(token(i))).collect();
        let tokens = TokenComparison::new(&tokens);
        for (what, presented) in [("valid", token(0)), ("wrong", token(25))] {
            group.bench_function(BenchmarkId::new(what, count), |bencher| {
                bencher.iter(|| tokens.contains(black_box(&presented)));
            });
        }
    }
    group.finish();
}

fn engine(tokens: u8) -> Option<Engine> {
    let list: Vec<String> = (0..tokens)
        .map(|i| String::from_utf8_lossy(&token(i)).into_owned())
        .collect();
    let yaml = format!(
        "apm-server.auth: {{secret_token: [{}], anonymous: {{enabled: true, rate_limit.event_limit: 1}}}}",
        list.join(", ")
    );
    Engine::from_yaml(&yaml).ok()
}

fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token/decision");
    for count in [1, 16] {
        let Some(engine) = engine(count) else { return };
        for (what, token) in [("valid", token(0)), ("wrong", token(25))] {
            let header = [b"Bearer ", token.as_slice()].concat();
            for threads in [1, 2] {
                group.throughput(Throughput::Elements(threads as u64));
                let id = BenchmarkId::new(format!("{what}/{count}"), threads);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|iterations| {
                        timed(threads, iterations, |_, iterations| {
                            let request = Request {
                                authorization: Some(&header),
                                ..Request::from_peer([203, 0, 113, 9].into())
                            };
                            for _ in 0..iterations {
                                let _ = black_box(engine.check(
                                    black_box(&request),
                                    &Question::default(),
                                    None,
                                ));
                            }
                        })
                    });
                });
            }
        }
    }
    group.finish();
}

/// A flood of anonymous events, nearly all of them over the limit.
fn flood(criterion: &mut Criterion) {
    let Some(engine) = engine(1) else { return };
    let peers: Vec<_> = (0..256).map(address).collect();
    let mut group = criterion.benchmark_group("flood/rate_limited");
    for threads in [1, 2] {
        group.throughput(Throughput::Elements(threads as u64));
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            bencher.iter_custom(|iterations| {
                timed(threads, iterations, |_, iterations| {
                    let resource = Resource {
                        agent: Some("rum-js"),
                        service: Some("shop"),
                    };
                    for i in 0..iterations as usize {
                        let request = Request::from_peer(peers[i % peers.len()]);
                        let _ = black_box(engine.check(
                            black_box(&request),
                            &Question {
                                resource,
                                ..Question::default()
                            },
                            None,
                        ));
                    }
                })
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = tollbar_benches::measuring::criterion();
    targets = comparison, decision, flood
}
criterion_main!(benches);
