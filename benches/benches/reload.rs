//! What changed limits cost: the call, each client's first decision after it, and decisions while another thread makes such calls.
//!
//! Every client owes something all the while, so that there is something to take over. Times are medians of some rounds. The peers do
//! less: `governor` can't change a quota, so it is made anew, which refills everybody; the LRU is resized under its lock.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tollbar::client_ip::CanonicalIp;
use tollbar::{Engine, Reason};
use tollbar_benches::measuring::{Row, full, write};
use tollbar_benches::peers::{Governor, Limiter, MutexLru, Quota};
use tollbar_benches::{address, visits};

/// A burst so large that nobody is refused, and a limit so low that no debt is paid meanwhile.
fn config(ip_limit: u32, event_limit: u32) -> String {
    format!(
        "apm-server.auth: {{secret_token: correct-horse-battery-staple, anonymous: {{enabled: true, \
         rate_limit: {{ip_limit: {ip_limit}, event_limit: {event_limit}}}}}}}\n\
         tollbar.burst_multiplier: 1000000"
    )
}

type Failure = Box<dyn std::error::Error>;

struct Setting {
    ips: u32,
    engine: Engine,
    /// The configuration that it begins with, one with another event_limit, one with another ip_limit.
    configs: [String; 3],
}

impl Setting {
    fn new(ips: u32) -> Result<Self, Failure> {
        let room = ips + ips * 3 / 7;
        let configs = [config(room, 1), config(room, 2), config(room + room / 4, 1)];
        let setting = Self {
            ips,
            engine: Engine::from_yaml(&configs[0])?,
            configs,
        };
        setting.decide_for_each();
        Ok(setting)
    }

    /// Charges the i-th address an event, and says whether that was admitted.
    fn admits(&self, i: u32) -> bool {
        let peer = CanonicalIp::of(&address(i));
        self.engine.admit_peer(peer, 1, None).reason == Reason::Allowed
    }

    /// The time of a decision, each client having one.
    fn decide_for_each(&self) -> f64 {
        let start = Instant::now();
        let admitted = (0..self.ips).filter(|&i| self.admits(i)).count();
        let time = start.elapsed();
        assert_eq!(admitted, self.ips as usize, "nobody is refused");
        each(time, self.ips.into())
    }

    fn reload(&self, config: usize) -> Result<f64, Failure> {
        let start = Instant::now();
        self.engine.reload_yaml(&self.configs[config])?;
        Ok(each(start.elapsed(), 1))
    }

    /// The time of a decision of one thread; meanwhile another one does `what`, again and again.
    fn decide_meanwhile(
        &self,
        decide: impl Fn(u32) -> bool,
        what: impl Fn() + Sync,
        order: &[u32],
    ) -> f64 {
        let done = AtomicBool::new(false);
        let mut times = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Relaxed: only tells when to stop.
                while !done.load(Ordering::Relaxed) {
                    what();
                }
            });
            let begin = Instant::now();
            let least = Duration::from_millis(if full() { 1_000 } else { 200 });
            while begin.elapsed() < least {
                let start = Instant::now();
                let admitted = order.iter().filter(|&&i| decide(i)).count();
                times.push(each(start.elapsed(), order.len() as u64));
                assert_eq!(black_box(admitted), order.len(), "nobody is refused");
            }
            done.store(true, Ordering::Relaxed);
        });
        median(times)
    }
}

fn each(time: Duration, n: u64) -> f64 {
    time.as_nanos() as f64 / n as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What is measured of one number of clients.
fn rows_of(ips: u32) -> Result<Vec<Row>, Failure> {
    let rounds = if full() { 25 } else { 7 };
    let setting = Setting::new(ips)?;
    let (mut limit, mut room, mut anew) = (Vec::new(), Vec::new(), Vec::new());
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (config, times) in [(1, &mut limit), (2, &mut room)] {
            times.push(setting.reload(config)?);
            first.push(setting.decide_for_each());
            later.push(setting.decide_for_each());
            setting.reload(0)?;
            setting.decide_for_each();
        }
        let start = Instant::now();
        black_box(Engine::from_yaml(&setting.configs[0])?);
        anew.push(each(start.elapsed(), 1));
    }

    // Theirs need no debt: they would not take it over.
    let quota = |addresses| Quota {
        event_limit: 50_000_000,
        addresses,
    };
    let (mut governor, mut governor_first, mut resized) = (Vec::new(), Vec::new(), Vec::new());
    let mut limiter = Governor::new(quota(ips));
    let lru = MutexLru::new(quota(ips));
    (0..ips).for_each(|i| {
        limiter.admit(address(i));
        lru.admit(address(i));
    });
    for round in 0..rounds {
        let start = Instant::now();
        limiter = Governor::new(quota(ips));
        governor.push(each(start.elapsed(), 1));
        let start = Instant::now();
        (0..ips).for_each(|i| {
            black_box(limiter.admit(address(i)));
        });
        governor_first.push(each(start.elapsed(), ips.into()));
        let start = Instant::now();
        lru.resize(ips + ips / 4 * (round as u32 % 2));
        resized.push(each(start.elapsed(), 1));
    }
    let (anew, governor) = (median(anew), median(governor));
    let (governor_first, resized) = (median(governor_first), median(resized));
    let (limit, room, first, later) = (median(limit), median(room), median(first), median(later));
    let row = |what: &str, ours, peer, time| {
        Row::nanoseconds(&format!("reload/{what}/{ips}"), ours, peer, time)
    };
    let anew_name = "governor made anew, which refills everybody";
    let mut rows = vec![
        row("event_limit changed", limit, anew_name, governor),
        row("event_limit changed", limit, "an engine made anew", anew),
        row("ip_limit changed", room, anew_name, governor),
        row("ip_limit changed", room, "mutex+lru resized", resized),
        row("first decision after", first, anew_name, governor_first),
        row("first decision after", first, "tollbar, later ones", later),
    ];

    let order = &visits(ips, 1)[..1 << 16];
    let ours = |i| setting.admits(i);
    let without = setting.decide_meanwhile(ours, || std::thread::sleep(PAUSE), order);
    let meanwhile = setting.decide_meanwhile(
        ours,
        || {
            // Each is known to be taken: all of them were, above.
            for config in [2, 0] {
                let _ = setting.engine.reload_yaml(&setting.configs[config]);
                std::thread::sleep(PAUSE);
            }
        },
        order,
    );
    let lru_meanwhile = setting.decide_meanwhile(
        |i| lru.admit(address(i)),
        || {
            for room in [ips + ips / 4, ips] {
                lru.resize(room);
                std::thread::sleep(PAUSE);
            }
        },
        order,
    );
    let what = "decision while ip_limit changes every 10 ms";
    rows.push(row(what, meanwhile, "mutex+lru resized", lru_meanwhile));
    rows.push(row(what, meanwhile, "tollbar, no reload", without));
    Ok(rows)
}

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(10);

fn main() -> Result<(), Failure> {
    let mut rows = Vec::new();
    for ips in [1_000, 10_000, 100_000, 1_000_000] {
        rows.extend(rows_of(ips)?);
    }
    Ok(write("reload", &rows)?)
}
