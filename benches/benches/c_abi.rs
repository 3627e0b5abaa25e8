//! What the C ABI costs: the same question asked from C and from Rust, in turns. Times are of one decision, the best of many rounds:
//! a difference of a nanosecond drowns in anything else. Written to `target/bench/rows/c_abi.json`, for the report.

use std::ffi::c_void;
use std::hint::black_box;
use std::time::{Duration, Instant};

use tollbar::{Decision, Engine, Question, Request, Resource};
use tollbar_benches::measuring::{Row, write};
use tollbar_benches::{address, visits};
use tollbar_ffi::{
    tollbar_check, tollbar_check_batch, tollbar_engine, tollbar_engine_free,
    tollbar_engine_from_yaml, tollbar_ip, tollbar_question, tollbar_request, tollbar_str,
};

const CONFIG: &str = "
apm-server:
  auth:
    secret_token: 0123456789abcdefghijklmnopqrstuvwxyzABCDEFG
    anonymous:
      enabled: true
      allow_service: [shop]
      rate_limit: {ip_limit: 1428, event_limit: 49999999}
";
const TOKEN: &[u8] = b"Bearer 0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const AGENT: &str = "rum-js";
const SERVICE: &str = "shop";
/// A multiple of the batch.
const REQUESTS: usize = 16 * 64;
const BATCH: usize = 64;
const ROUNDS: usize = 2_000;

unsafe extern "C" {
    fn bench_check(
        check: *const c_void,
        engine: *const c_void,
        requests: *const tollbar_request,
        len: usize,
        question: *const tollbar_question,
        now: *const u64,
        calls: u64,
    ) -> u64;
    fn bench_check_batch(
        check_batch: *const c_void,
        engine: *const c_void,
        requests: *const tollbar_request,
        len: usize,
        questions: *const tollbar_question,
        now: *const u64,
        batches: u64,
    ) -> u64;
}

fn text(text: Option<&'static [u8]>) -> tollbar_str {
    tollbar_str {
        data: text.map_or(std::ptr::null(), |text| text.as_ptr().cast()),
        len: text.map_or(0, <[u8]>::len),
    }
}

/// The same engine, the same requests and the same question on both sides.
struct Asked {
    c_engine: *mut tollbar_engine,
    c_requests: Vec<tollbar_request>,
    c_questions: Vec<tollbar_question>,
    asked: Vec<(Request<'static>, Question<'static>)>,
}

impl Asked {
    fn new(authorization: Option<&'static [u8]>) -> Self {
        let mut c_engine = std::ptr::null_mut();
        // SAFETY: the text is there, and there is room for the engine.
        unsafe {
            tollbar_engine_from_yaml(
                text(Some(CONFIG.as_bytes())),
                &raw mut c_engine,
                std::ptr::null_mut(),
            )
        };
        if c_engine.is_null() {
            eprintln!("the configuration is wrong");
            std::process::exit(2);
        }
        let order = visits(1_000, 1);
        let peers = || order.iter().take(REQUESTS).map(|&i| address(i));
        let question = Question {
            resource: Resource {
                agent: Some(AGENT),
                service: Some(SERVICE),
            },
            ..Question::default()
        };
        Self {
            c_engine,
            c_requests: peers()
                .map(|ip| tollbar_request {
                    size: size_of::<tollbar_request>(),
                    authorization: text(authorization),
                    headers: std::ptr::null(),
                    headers_len: 0,
                    peer: tollbar_ip::from(ip),
                })
                .collect(),
            c_questions: vec![
                tollbar_question {
                    size: size_of::<tollbar_question>(),
                    cost: 1,
                    agent: text(Some(AGENT.as_bytes())),
                    service: text(Some(SERVICE.as_bytes())),
                    action: 0,
                    rum: 0,
                };
                REQUESTS
            ],
            asked: peers()
                .map(|peer| {
                    let request = Request {
                        authorization,
                        ..Request::from_peer(peer)
                    };
                    (request, question)
                })
                .collect(),
        }
    }

    /// The engine behind the handle. Two engines place their counters in two ways, which would be measured as well.
    fn engine(&self) -> &Engine {
        // SAFETY: a handle points to an `Engine`, and is freed with `self`.
        unsafe { &*self.c_engine.cast_const().cast() }
    }

    fn check_from_c(&self) -> u64 {
        // SAFETY: all of it lives.
        unsafe {
            bench_check(
                tollbar_check as *const c_void,
                self.c_engine.cast_const().cast(),
                self.c_requests.as_ptr(),
                REQUESTS,
                self.c_questions.as_ptr(),
                std::ptr::null(),
                REQUESTS as u64,
            )
        }
    }

    fn check_from_rust(&self) -> u64 {
        let mut allowed = 0;
        for (request, question) in black_box(&self.asked) {
            let decision = black_box(self.engine()).check(request, question, None);
            allowed += u64::from(black_box(&decision).allowed());
        }
        allowed
    }

    fn batch_from_c(&self) -> u64 {
        // SAFETY: all of it lives.
        unsafe {
            bench_check_batch(
                tollbar_check_batch as *const c_void,
                self.c_engine.cast_const().cast(),
                self.c_requests.as_ptr(),
                REQUESTS,
                self.c_questions.as_ptr(),
                std::ptr::null(),
                (REQUESTS / BATCH) as u64,
            )
        }
    }

    fn batch_from_rust(&self) -> u64 {
        let mut answers = [Decision::default(); BATCH];
        let mut allowed = 0;
        for chunk in black_box(&self.asked).chunks_exact(BATCH) {
            // There is room for each.
            let _ = black_box(self.engine()).check_batch(chunk, None, &mut answers);
            allowed += black_box(&answers)
                .iter()
                .filter(|answer| answer.allowed())
                .count() as u64;
        }
        allowed
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // SAFETY: made once, freed once.
        unsafe { tollbar_engine_free(self.c_engine) };
    }
}

/// The best time of a decision from C, and of the same from Rust, in nanoseconds.
fn best(c: impl Fn() -> u64, rust: impl Fn() -> u64) -> (f64, f64) {
    let time = |pass: &dyn Fn() -> u64| {
        let start = Instant::now();
        assert_eq!(black_box(pass()), REQUESTS as u64, "all are allowed");
        start.elapsed()
    };
    let (mut best_c, mut best_rust) = (Duration::MAX, Duration::MAX);
    let rounds =
        std::env::var("TOLLBAR_BENCH_ROUNDS").map_or(ROUNDS, |n| n.parse().unwrap_or(ROUNDS));
    for _ in 0..rounds {
        best_c = best_c.min(time(&c));
        best_rust = best_rust.min(time(&rust));
    }
    let each = |time: Duration| time.as_nanos() as f64 / REQUESTS as f64;
    (each(best_c), each(best_rust))
}

fn main() -> std::io::Result<()> {
    let mut rows = Vec::new();
    // `cargo bench -- batch` measures the rows of that name only.
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    for (who, authorization) in [("anonymous", None), ("secret token", Some(TOKEN))] {
        let asked = Asked::new(authorization);
        let mut row = |what: &str, c: &dyn Fn() -> u64, rust: &dyn Fn() -> u64| {
            let name = format!("c_abi/{what}/{who}");
            if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted)) {
                return;
            }
            let (ours, peer) = best(c, rust);
            rows.push(Row::nanoseconds(&name, ours, "the same call in Rust", peer));
        };
        row("check", &|| asked.check_from_c(), &|| {
            asked.check_from_rust()
        });
        row("batch of 64", &|| asked.batch_from_c(), &|| {
            asked.batch_from_rust()
        });
    }
    write("c_abi", &rows)
}
