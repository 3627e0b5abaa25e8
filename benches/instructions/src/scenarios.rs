//! The kinds of decision whose instructions are counted.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use tollbar::client_ip::ClientKey;
use tollbar::ratelimit::{Limits, RateLimiter, Verdict};
use tollbar::{Engine, Question, Request, Resource};

/// Makes decisions; returns how many came out as the scenario means them to, and how many it made.
pub(crate) type Work = Box<dyn FnMut() -> (u32, u32)>;

/// A scenario's name, and what prepares this many decisions of it. `None`: its configuration is refused.
pub(crate) type Scenario = (&'static str, fn(u32) -> Option<Work>);

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    ("limiter, admitted, T a whole number of ns", |n| {
        Some(resident(n, WHOLE, true))
    }),
    ("limiter, admitted, T not a whole number of ns", |n| {
        Some(resident(n, FRACTIONAL, true))
    }),
    ("limiter, refused", |n| Some(resident(n, REFUSING, false))),
    ("limiter, newcomer", |n| Some(newcomer(n))),
    ("limiter, takeover", |n| Some(takeover(n))),
    ("limiter, batch of 64", |n| Some(batch(n))),
    ("engine, anonymous", |n| engine(n, Asking::Anonymous, true)),
    ("engine, anonymous behind a proxy", |n| {
        engine(n, Asking::Forwarded, true)
    }),
    ("engine, token valid", |n| engine(n, Asking::Token, true)),
    ("engine, token wrong", |n| {
        engine(n, Asking::WrongToken, false)
    }),
];

/// Events a second, 20 ns apart.
const WHOLE: u32 = 50_000_000;
/// Events a second, a little more than 20 ns apart.
const FRACTIONAL: u32 = 49_999_999;
/// Events a second: after the burst every call is refused.
const REFUSING: u32 = 1;
const BURST_MULTIPLIER: u32 = 3;
/// Addresses that come again and again, at 70 % of the counters.
const ADDRESSES: u32 = 1_000;
const COUNTERS: u32 = ADDRESSES * 10 / 7;
/// A second and a bit: no boundary of anything.
const NOW: u64 = 1_234_567_891;
const SEED: u64 = 7;

fn address(i: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + i))
}

fn client(i: u32) -> ClientKey {
    ClientKey::new(address(i), 64)
}

/// A fixed random order of `decisions` visits to `0..addresses`.
fn visits(decisions: u32, addresses: u32) -> Vec<u32> {
    let mut state = SEED;
    (0..decisions)
        .map(|_| {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let random = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
            ((random * u64::from(addresses)) >> 32) as u32
        })
        .collect()
}

fn limiter(ip_limit: u32, event_limit: u32) -> RateLimiter {
    let limits = Limits {
        ip_limit,
        event_limit,
        burst_multiplier: BURST_MULTIPLIER,
    };
    RateLimiter::seeded(limits, SEED)
}

/// Charges each of these addresses one event.
fn charging(limiter: RateLimiter, order: Vec<u32>, admitted: bool) -> Work {
    Box::new(move || {
        let as_meant = |&&i: &&u32| limiter.charge(client(i), 1, NOW).admitted == admitted;
        let count = order.iter().filter(as_meant).count();
        (count as u32, order.len() as u32)
    })
}

/// Addresses that own a counter.
fn resident(decisions: u32, event_limit: u32, admitted: bool) -> Work {
    let limiter = limiter(COUNTERS, event_limit);
    let burst = u64::from(event_limit * BURST_MULTIPLIER);
    for i in 0..ADDRESSES {
        limiter.charge(client(i), if admitted { 1 } else { burst }, NOW);
    }
    charging(limiter, visits(decisions, ADDRESSES), admitted)
}

/// Addresses that were never seen, in a table that has room for twice as many.
fn newcomer(decisions: u32) -> Work {
    charging(
        limiter(decisions * 2, WHOLE),
        (0..decisions).collect(),
        true,
    )
}

/// Ten times as many addresses as counters, and every counter is somebody's whose TAT lies ahead.
fn takeover(decisions: u32) -> Work {
    let limiter = limiter(ADDRESSES, WHOLE);
    for i in 0..ADDRESSES * 10 {
        limiter.charge(client(i), 1, NOW);
    }
    charging(limiter, visits(decisions, ADDRESSES * 10), true)
}

/// Addresses that own a counter, 64 batches at a time.
fn batch(decisions: u32) -> Work {
    const AT_ONCE: usize = 64;
    let limiter = limiter(COUNTERS, WHOLE);
    for i in 0..ADDRESSES {
        limiter.charge(client(i), 1, NOW);
    }
    let order = visits(decisions / AT_ONCE as u32 * AT_ONCE as u32, ADDRESSES);
    Box::new(move || {
        let mut verdicts = [Verdict::default(); AT_ONCE];
        let mut as_meant = 0;
        for order in order.chunks_exact(AT_ONCE) {
            let clients: [ClientKey; AT_ONCE] = std::array::from_fn(|i| client(order[i]));
            let charged = limiter.charge_many(&clients, &[1; AT_ONCE], NOW, &mut verdicts);
            as_meant += u32::from(charged.is_ok() && verdicts.iter().all(|v| v.admitted));
        }
        (as_meant * AT_ONCE as u32, order.len() as u32)
    })
}

const CONFIG: &str = "
apm-server:
  auth:
    secret_token: 0123456789abcdefghijklmnopqrstuvwxyzABCDEFG
    anonymous:
      enabled: true
      allow_service: [shop]
      rate_limit: {ip_limit: 1428, event_limit: 49999999}
tollbar.trusted_proxies: [10.0.0.0/8]
";

/// What a request to the engine brings.
#[derive(Clone, Copy)]
enum Asking {
    Anonymous,
    Forwarded,
    Token,
    WrongToken,
}

/// Whole decisions: header bytes in, decision out.
fn engine(decisions: u32, asking: Asking, allowed: bool) -> Option<Work> {
    let engine = Engine::from_yaml(CONFIG).ok()?;
    let forwarded: Vec<Vec<u8>> = (0..ADDRESSES)
        .map(|i| address(i).to_string().into_bytes())
        .collect();
    let authorization: Option<&[u8]> = match asking {
        Asking::Anonymous | Asking::Forwarded => None,
        Asking::Token => Some(b"Bearer 0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"),
        Asking::WrongToken => Some(b"Bearer 0123456789abcdefghijklmnopqrstuvwxyzABCDEFH"),
    };
    let check = move |engine: &Engine, i: u32| {
        let headers: &[(&[u8], &[u8])] = &[(b"X-Forwarded-For", &forwarded[i as usize])];
        let behind_proxy = matches!(asking, Asking::Forwarded);
        let request = Request {
            authorization,
            peer: if behind_proxy {
                Ipv4Addr::new(10, 0, 0, 1).into()
            } else {
                address(i)
            },
            headers: if behind_proxy { headers } else { &[] },
        };
        let resource = Resource {
            agent: Some("rum-js"),
            service: Some("shop"),
        };
        let decision = engine.check(
            black_box(&request),
            &Question {
                resource,
                ..Question::default()
            },
            Some(NOW),
        );
        black_box(decision).allowed()
    };
    for i in 0..ADDRESSES {
        check(&engine, i);
    }
    let order = visits(decisions, ADDRESSES);
    Some(Box::new(move || {
        let as_meant = |&&i: &&u32| check(&engine, i) == allowed;
        (
            order.iter().filter(as_meant).count() as u32,
            order.len() as u32,
        )
    }))
}
