//! Charges, peeks, reservations and reloads in any sequence, at any instants, against a sequential reference.
//!
//! An input is three limits and then operations of a few bytes each. Three things are checked:
//!
//! - P1 for the history as a whole, whatever the limits;
//! - up to 16 counters, each verdict against SPEC P4 to the letter, and through reloads too up to 8, where a counter's place
//!   is no secret;
//! - up to 16 counters, also after reloads: no client finds a smaller TAT than the one that it left (P2, P7).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tollbar::config::{Config, SecretToken};
use tollbar::ratelimit::Limits;
use tollbar::{Decision, Engine, Reason, Request};

use crate::bytes::Bytes;
use crate::gcra::{END_OF_TIME, Gcra, LONGEST_WAIT};

const SECOND: u64 = 1_000_000_000;
/// Tables up to here have all their counters as candidates of each client.
const ALL_CANDIDATES: u32 = 16;
/// Tables up to here have a single window: which of several equal counters is taken is known.
const ONE_WINDOW: u32 = 8;
const MOST_OPERATIONS: usize = 400;

/// See the module's documentation.
pub fn ratelimit(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let limits = limits(&mut bytes);
    let mut run = Run::new(limits);
    for _ in 0..MOST_OPERATIONS {
        if bytes.is_empty() {
            break;
        }
        run.step(&mut bytes);
    }
    run.check_p1();
}

fn limits(bytes: &mut Bytes<'_>) -> Limits {
    let ip_limit = match u32::from(bytes.u8()) {
        few @ 0..=191 => 1 + few % 18,
        more => more,
    };
    let event_limit = match u32::from(bytes.u8()) {
        few @ 0..=99 => 1 + few,
        100..=149 => 1 + bytes.u32() % 1_000,
        150..=199 => 1_000_000_000 - bytes.u32() % 1_000,
        _ => 1 + bytes.u32() % 1_000_000_000,
    };
    let burst_multiplier = match u32::from(bytes.u8()) {
        few @ 0..=199 => 1 + few % 5,
        _ => 1 + bytes.u32() % 1_000_000,
    };
    Limits {
        ip_limit,
        event_limit,
        burst_multiplier,
    }
}

fn config(limits: Limits) -> Config {
    let mut config = Config {
        secret_tokens: vec![SecretToken::new("correct-horse-battery-staple")],
        burst_multiplier: limits.burst_multiplier,
        ..Config::default()
    };
    config.anonymous.enabled = Some(true);
    config.anonymous.ip_limit = limits.ip_limit;
    config.anonymous.event_limit = limits.event_limit;
    config
}

/// The engine, and what is known of it.
struct Run {
    engine: Engine,
    limits: Limits,
    /// The largest of each limit so far.
    largest: Limits,
    reference: Option<Reference>,
    /// The TAT that each client was last seen to have, at least.
    floors: HashMap<u8, u64>,
    /// What was admitted: when it may begin, and how much.
    admitted: Vec<(u64, u64)>,
    now: u64,
    generation: u64,
}

impl Run {
    fn new(limits: Limits) -> Self {
        Self {
            engine: Engine::new(config(limits)).unwrap(),
            limits,
            largest: limits,
            reference: (limits.ip_limit <= ALL_CANDIDATES).then(|| Reference::new(limits.ip_limit)),
            floors: HashMap::new(),
            admitted: Vec::new(),
            now: 1_000 * SECOND,
            generation: 1,
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let operation = bytes.u8();
        match operation % 16 {
            15 => {
                let limits = limits(bytes);
                self.reload(limits);
            }
            // Only one of them changes, as operators do it.
            14 => {
                let one = limits(bytes);
                let mut limits = self.limits;
                match operation / 16 % 3 {
                    0 => limits.ip_limit = one.ip_limit,
                    1 => limits.event_limit = one.event_limit,
                    _ => limits.burst_multiplier = one.burst_multiplier,
                }
                self.reload(limits);
            }
            13 => self.now = bytes.u64(),
            12 => self.now = self.now.wrapping_sub(bytes.u64() >> 20),
            11 => self.count_live(),
            _ => {
                self.now = self
                    .now
                    .saturating_add(u64::from(bytes.u8()) << (operation / 16 * 2));
                self.charge(operation % 16, bytes);
            }
        }
    }

    fn charge(&mut self, operation: u8, bytes: &mut Bytes<'_>) {
        let client = bytes.u8()
            % if self.limits.ip_limit > 24 {
                u8::MAX
            } else {
                24
            };
        let n = match operation {
            0..=5 => u64::from(operation),
            6 => u64::from(bytes.u32()) % (Gcra::new(self.limits).burst() + 2),
            7 => Gcra::new(self.limits).burst(),
            8 => bytes.u64(),
            _ => u64::from(bytes.u8()),
        };
        let max_wait = match operation {
            9 => u64::from(bytes.u32()),
            10 => bytes.u64(),
            _ => 0,
        };
        let decision = self
            .engine
            .authenticate_at(&Request::from_peer(address(client)), Some(self.now))
            .reserve(n, Duration::from_nanos(max_wait), Some(self.now));
        assert_eq!(decision.generation, self.generation);
        let found = Found::of(&decision);
        self.plausible(client, n, max_wait, &found);
        if let Some(reference) = &mut self.reference {
            let batch = (n, self.now, max_wait);
            assert_eq!(
                found,
                reference.charge(Gcra::new(self.limits), client, batch)
            );
        }
        if found.admitted && n > 0 {
            let start = self.now.min(END_OF_TIME) + found.wait;
            self.admitted.push((start, n));
        }
    }

    /// What holds of any verdict, and of what a client left behind.
    fn plausible(&mut self, client: u8, n: u64, max_wait: u64, found: &Found) {
        let gcra = Gcra::new(self.limits);
        assert!(found.remaining <= gcra.burst());
        assert!(found.wait <= max_wait);
        assert_eq!(found.retry_after.is_none(), n > gcra.burst());
        if n > gcra.burst() {
            return;
        }
        if !found.admitted {
            assert!(
                found
                    .retry_after
                    .is_some_and(|wait| wait > max_wait.min(LONGEST_WAIT))
            );
        }
        if self.limits.ip_limit > ALL_CANDIDATES {
            return;
        }
        let floor = self.floors.get(&client).copied().unwrap_or(0);
        let (tat, least_wait) = gcra.after(floor, self.now, n.max(1)).unwrap();
        if n == 0 {
            assert!(
                found.retry_after >= Some(least_wait),
                "a client gained something"
            );
            assert!(found.remaining <= gcra.remaining(floor, self.now));
        } else if found.admitted {
            assert!(found.wait >= least_wait, "a client gained something");
            assert!(found.remaining <= gcra.remaining(tat, self.now));
            self.floors.insert(client, tat);
        } else {
            assert!(
                found.retry_after >= Some(least_wait),
                "a client gained something"
            );
        }
    }

    fn reload(&mut self, limits: Limits) {
        self.generation += 1;
        assert_eq!(
            self.engine.reload(config(limits)).ok(),
            Some(self.generation)
        );
        let before = self.limits;
        if limits.ip_limit != before.ip_limit {
            let exact = before.ip_limit <= ONE_WINDOW && limits.ip_limit <= ONE_WINDOW;
            self.reference = self.reference.take().filter(|_| exact);
            if let Some(reference) = &mut self.reference {
                reference.replace(limits.ip_limit);
            }
        }
        if limits.ip_limit > before.ip_limit {
            // There is room for clients that had lost theirs, so only those who kept it are held to it.
            let reference = self.reference.as_ref();
            self.floors
                .retain(|&client, _| reference.is_some_and(|it| it.owns(client)));
        }
        if limits.ip_limit > ALL_CANDIDATES {
            self.floors.clear();
        }
        self.limits = limits;
        self.largest = Limits {
            ip_limit: self.largest.ip_limit.max(limits.ip_limit),
            event_limit: self.largest.event_limit.max(limits.event_limit),
            burst_multiplier: self.largest.burst_multiplier.max(limits.burst_multiplier),
        };
    }

    fn count_live(&self) {
        let stats = self.engine.stats_at(Some(self.now));
        assert_eq!(stats.ip_limit, self.limits.ip_limit);
        assert_eq!(stats.generation, self.generation);
        assert!(stats.live_counters <= u64::from(self.limits.ip_limit));
        if let Some(reference) = &self.reference {
            assert_eq!(
                stats.live_counters,
                reference.live(Gcra::new(self.limits).instant(self.now))
            );
        }
    }

    /// ip_limit * (burst + event_limit * W) in every half-open window of whole nanoseconds, for the largest limits of all.
    ///
    /// In units of events times nanoseconds a second. Only windows from one admission to another matter.
    fn check_p1(&mut self) {
        self.admitted.sort_unstable();
        let second = i128::from(SECOND);
        let rate = i128::from(self.largest.ip_limit) * i128::from(self.largest.event_limit);
        let most = rate * i128::from(self.largest.burst_multiplier) * second + rate;
        let (mut sum, mut least) = (0i128, None::<i128>);
        for &(at, n) in &self.admitted {
            let paid = rate * i128::from(at);
            let before = sum * second - paid;
            let least = *least.insert(least.map_or(before, |least| least.min(before)));
            sum += i128::from(n);
            assert!(sum * second - paid - least <= most, "P1 is broken at {at}");
        }
    }
}

/// IPv4, written as IPv6 by every other client.
fn address(client: u8) -> IpAddr {
    let v4 = Ipv4Addr::new(10, 0, 0, client);
    if client.is_multiple_of(2) {
        v4.into()
    } else {
        v4.to_ipv6_mapped().into()
    }
}

/// What is to be seen of a verdict.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    admitted: bool,
    remaining: u64,
    /// `None`: never.
    retry_after: Option<u64>,
    wait: u64,
}

impl Found {
    fn of(decision: &Decision) -> Self {
        let rate = decision.rate.unwrap();
        match decision.reason {
            Reason::Allowed => {}
            Reason::RateLimited => assert!(rate.retry_after_ns.is_some()),
            Reason::ExceedsBurst => assert_eq!(rate.retry_after_ns, None),
            other => panic!("{other}"),
        }
        Self {
            admitted: decision.allowed(),
            remaining: rate.remaining(),
            retry_after: rate.retry_after_ns,
            wait: rate.wait_ns,
        }
    }
}

/// SPEC P4 where every counter is a candidate of each client: a newcomer takes the smallest TAT, the first of equal ones.
struct Reference {
    counters: Vec<(Option<u8>, u64)>,
    /// Where counters start that are there again after a smaller table.
    dropped: u64,
}

impl Reference {
    fn new(ip_limit: u32) -> Self {
        Self {
            counters: vec![(None, 0); ip_limit as usize],
            dropped: 0,
        }
    }

    fn owns(&self, client: u8) -> bool {
        self.counters
            .iter()
            .any(|&(owner, _)| owner == Some(client))
    }

    fn live(&self, instant: u64) -> u64 {
        self.counters
            .iter()
            .filter(|&&(_, tat)| tat > instant)
            .count() as u64
    }

    fn charge(&mut self, gcra: Gcra, client: u8, (n, now, max_wait): (u64, u64, u64)) -> Found {
        let own = self
            .counters
            .iter()
            .position(|&(owner, _)| owner == Some(client));
        let smallest = || (0..self.counters.len()).min_by_key(|&i| self.counters[i].1);
        let index = own.or_else(smallest).unwrap();
        let tat = self.counters[index].1;
        let refused = |retry_after| Found {
            admitted: false,
            remaining: gcra.remaining(tat, now),
            retry_after,
            wait: 0,
        };
        let Some((after, wait)) = gcra.after(tat, now, n.max(1)) else {
            return refused(None);
        };
        if n == 0 {
            return Found {
                admitted: true,
                ..refused(Some(wait))
            };
        }
        if wait > max_wait.min(LONGEST_WAIT) {
            return refused(Some(wait));
        }
        self.counters[index] = (Some(client), after);
        Found {
            admitted: true,
            remaining: gcra.remaining(after, now),
            retry_after: Some(0),
            wait,
        }
    }

    /// SPEC P7: counter by counter the TATs go on, and each client gets one with at least what it owed.
    fn replace(&mut self, ip_limit: u32) {
        let before = std::mem::take(&mut self.counters);
        self.counters = vec![(None, self.dropped); ip_limit as usize];
        for (index, &(_, tat)) in before.iter().enumerate() {
            match self.counters.get_mut(index) {
                Some(counter) => counter.1 = tat,
                None => self.dropped = self.dropped.max(tat),
            }
        }
        for (owner, debt) in before {
            let Some(owner) = owner else { continue };
            let free_first = |&i: &usize| (self.counters[i].0.is_some(), self.counters[i].1);
            let index = (0..self.counters.len()).min_by_key(free_first).unwrap();
            let counter = &mut self.counters[index];
            if counter.0.is_none() || counter.1 < debt {
                *counter = (Some(owner), counter.1.max(debt));
            }
        }
    }
}
