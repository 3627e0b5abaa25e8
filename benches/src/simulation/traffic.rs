//! The traffic of each scenario: a thousand well-behaved clients, and an attack.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tollbar::client_ip::ClientKey;

use super::{BURST, CLIENTS, EVENT_LIMIT, IP_LIMIT, SECOND};

/// A batch of events of one client.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// When, in nanoseconds.
    pub now: u64,
    /// Whose.
    pub client: ClientKey,
    /// Events.
    pub n: u32,
    /// Not of the attack.
    pub well_behaved: bool,
}

/// Requests in order of time.
pub struct Traffic {
    /// All of them.
    pub requests: Vec<Request>,
}

/// An attack beside the well-behaved clients.
pub struct Scenario {
    /// Short.
    pub name: &'static str,
    /// A sentence.
    pub description: &'static str,
    attack: fn(&mut Random, &mut Vec<Request>),
}

/// How long each scenario lasts. The attack starts after the first fifth.
const DURATION: u64 = 30 * SECOND;
const ATTACK: u64 = DURATION / 5;

/// All scenarios. To *drain* a counter is to send batches of 32, 16, 8, 4, 2 and 1 events at once: that takes whatever room there is, to the
/// last event, and is the worst for whoever shares the counter.
pub static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "none",
        description: "No attack.",
        attack: |_, _| {},
    },
    Scenario {
        name: "cycling",
        description: "20,000 addresses (10 x ip_limit) in turn, 80,000 requests a second of one event: twice what all counters admit.",
        attack: |random, requests| cycle(random, requests, 80_000, &[1]),
    },
    Scenario {
        name: "cycling-burst",
        description: "20,000 addresses in turn, 4,000 requests a second of a whole burst.",
        attack: |random, requests| cycle(random, requests, 4_000, &[BURST]),
    },
    Scenario {
        name: "cycling-drain-500",
        description: "20,000 addresses in turn, 500 a second, each drains what it finds.",
        attack: |random, requests| cycle(random, requests, 500, DRAIN),
    },
    Scenario {
        name: "cycling-drain-800",
        description: "20,000 addresses in turn, 800 a second, each drains what it finds.",
        attack: |random, requests| cycle(random, requests, 800, DRAIN),
    },
    Scenario {
        name: "cycling-drain-2000",
        description: "20,000 addresses in turn, 2,000 a second, each drains what it finds.",
        attack: |random, requests| cycle(random, requests, 2_000, DRAIN),
    },
    Scenario {
        name: "cycling-drain-10000",
        description: "20,000 addresses in turn, 10,000 a second, each drains what it finds.",
        attack: |random, requests| cycle(random, requests, 10_000, DRAIN),
    },
    Scenario {
        name: "botnet",
        description: "4,000 addresses (2 x ip_limit), each at the limit: 20 requests a second of one event.",
        attack: |random, requests| botnet(random, requests, 20, &[1]),
    },
    Scenario {
        name: "botnet-lockstep",
        description: "The same, and each bot's requests exactly one emission interval apart.",
        attack: lockstep,
    },
    Scenario {
        name: "botnet-drain",
        description: "4,000 addresses (2 x ip_limit), each drains what it finds once a second.",
        attack: |random, requests| botnet(random, requests, 1, DRAIN),
    },
    Scenario {
        name: "hopping-64",
        description: "IPv6: one /48, hopping over its 65,536 /64 networks, 2,000 a second, each drains what it finds.",
        attack: |random, requests| {
            hop(random, requests, |random| {
                0x2001_0db8_0001 << 80 | u128::from(random.below(1 << 16)) << 64
            })
        },
    },
    Scenario {
        name: "hopping-48",
        description: "IPv6: one /32, hopping over its 65,536 /48 networks, 2,000 a second, each drains what it finds.",
        attack: |random, requests| {
            hop(random, requests, |random| {
                0x2001_0db8 << 96 | u128::from(random.below(1 << 16)) << 80
            })
        },
    },
    Scenario {
        name: "aligned",
        description: "20,000 addresses (10 x ip_limit), all of them at each full second, each drains what it finds.",
        attack: aligned,
    },
];

/// Batches that take all the room of any counter.
const DRAIN: &[u32] = &[32, 16, 8, 4, 2, 1];

impl Scenario {
    /// The traffic, the same for each seed.
    #[must_use]
    pub fn traffic(&self, seed: u64) -> Traffic {
        let mut random = Random::new(seed);
        let mut requests = Vec::new();
        well_behaved(&mut random, &mut requests);
        (self.attack)(&mut random, &mut requests);
        // Stable, so that requests of one instant stay in the order in which they were made.
        requests.sort_by_key(|request| request.now);
        Traffic { requests }
    }
}

/// A thousand clients, each a Poisson process of its own rate: 1 to 10 requests of one event a second.
fn well_behaved(random: &mut Random, requests: &mut Vec<Request>) {
    for client in 0..CLIENTS {
        let rate = 1.0 + 9.0 * f64::from(client) / f64::from(CLIENTS - 1);
        let mut now = SECOND;
        loop {
            now += (random.exponential() / rate * SECOND as f64) as u64;
            if now >= SECOND + DURATION {
                break;
            }
            requests.push(Request {
                now,
                client: ipv4(0x1000_0000 + client),
                n: 1,
                well_behaved: true,
            });
        }
    }
}

fn attack(requests: &mut Vec<Request>, now: u64, client: ClientKey, batches: &[u32]) {
    requests.extend(batches.iter().map(|&n| Request {
        now,
        client,
        n,
        well_behaved: false,
    }));
}

/// Instants at this rate, from the attack's start to the end.
fn instants(rate: u64) -> impl Iterator<Item = u64> {
    let gap = SECOND / rate;
    (SECOND + ATTACK..SECOND + DURATION).step_by(gap as usize)
}

fn cycle(random: &mut Random, requests: &mut Vec<Request>, rate: u64, batches: &[u32]) {
    for (turn, now) in instants(rate).enumerate() {
        let address = turn % (10 * IP_LIMIT as usize);
        let jitter = random.below(SECOND / 20);
        attack(requests, now + jitter, ipv4(address as u32), batches);
    }
}

fn botnet(random: &mut Random, requests: &mut Vec<Request>, rate: u64, batches: &[u32]) {
    for bot in 0..2 * IP_LIMIT {
        for now in instants(rate) {
            let jitter = random.below(SECOND / rate);
            attack(requests, now + jitter, ipv4(bot), batches);
        }
    }
}

fn lockstep(random: &mut Random, requests: &mut Vec<Request>) {
    for bot in 0..2 * IP_LIMIT {
        let phase = random.below(SECOND / u64::from(EVENT_LIMIT));
        for now in instants(u64::from(EVENT_LIMIT)) {
            attack(requests, now + phase, ipv4(bot), &[1]);
        }
    }
}

fn hop(random: &mut Random, requests: &mut Vec<Request>, network: impl Fn(&mut Random) -> u128) {
    for now in instants(2_000) {
        let address = network(random) | u128::from(random.below(1 << 32));
        let client = ClientKey::new(IpAddr::V6(Ipv6Addr::from_bits(address)), 64);
        attack(requests, now, client, DRAIN);
    }
}

fn aligned(random: &mut Random, requests: &mut Vec<Request>) {
    let addresses = 10 * IP_LIMIT;
    for now in instants(1) {
        let from = random.below(u64::from(addresses)) as u32;
        for i in 0..addresses {
            attack(requests, now, ipv4((from + i) % addresses), DRAIN);
        }
    }
}

/// The n-th IPv4 address of the attack (or of others, from 2^28 on).
#[must_use]
pub fn ipv4(n: u32) -> ClientKey {
    ClientKey::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)), 64)
}

/// SplitMix64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// With mean 1.
    fn exponential(&mut self) -> f64 {
        let uniform = ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        -uniform.ln()
    }
}
