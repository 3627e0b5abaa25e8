//! Does the time of the token check tell anything about the tokens? A statistical test after dudect (Reparaz, Balasch and
//! Verbauwhede, "Dude, is my code constant time?", 2017).
//!
//! For each question there are two classes of inputs that an attacker would like to tell apart: a mismatch in the first byte or in
//! the last, a match with the first token of a list or with the last, configured tokens that are short or long, one wrong
//! token or any. Their calls are timed in random order, and Welch's t says whether the means differ: |t| stays below 4.5 where
//! time tells nothing (beyond it by chance once in 150,000 tests), and grows with the root of the number of samples where it does.
//! Match or mismatch is no question: the answer itself tells that.
//!
//! Asked of the comparison alone, of [`Engine::check`](tollbar::Engine::check) as an attacker meets it, and, to show that the harness
//! would see a leak, of `==`, which must fail.
//!
//! # What keeps the test fair
//!
//! - Both classes run the same code on the same buffer. What each would present is made for every sample, and one of them selected
//!   without a branch; calls that are not timed and a fence come before those that are.
//! - A class that needs tokens of its own has them put into the same place for each sample: were there two places, one would be the
//!   faster one by chance. Both classes' tokens are read then, and one is selected without a branch. To configure the class's tokens
//!   instead is not enough: that compares and copies long ones for longer, and what it leaves behind in caches and predictors was seen
//!   as 0.003 ns a call, |t| = 6.2, in two million samples.
//! - Samples are cropped: interrupts and other processes make a long tail that drowns small differences. Besides all samples, t
//!   is computed on those below the 50th, 75th, 90th, 95th and 99th percentile of both classes together. Cropping at a common
//!   threshold hides no leak and makes none. The verdict takes the largest |t|.
//!
//! Run `make constant-time`, which writes docs/constant-time.md. It is made of `target/bench/constant_time.json`, which
//! `cargo bench --bench constant_time` writes; that ends with 1 if an expectation fails.
//! `TOLLBAR_SAMPLES` sets the number of samples a question (default 400,000).

mod questions;
mod welch;

use std::path::PathBuf;
use std::process::ExitCode;

use questions::{Question, Target};
use serde_json::{Value, json};
use welch::Samples;

/// Beyond this, two means differ.
const THRESHOLD: f64 = 4.5;

fn main() -> ExitCode {
    let samples = std::env::var("TOLLBAR_SAMPLES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(400_000);
    let mut results = Vec::new();
    let mut as_expected = true;
    println!(
        "{:<12} {:<44} {:>9} {:>9} {:>8}  verdict",
        "target", "classes", "0 [ns]", "1 [ns]", "max |t|"
    );
    for target in [Target::Comparison, Target::Check, Target::Equality] {
        for question in Question::ALL {
            let measured = questions::ask(target, question, samples);
            let result = judge(target, question, &measured);
            as_expected &= result["as_expected"] == true;
            results.push(result);
        }
    }
    let report = json!({
        "test": "dudect: Welch's t on interleaved classes, cropped at percentiles",
        "threshold": THRESHOLD,
        "samples_per_question": samples,
        "as_expected": as_expected,
        "results": results,
    });
    match write(&report) {
        Ok(path) => println!("report: {}", path.display()),
        Err(error) => {
            eprintln!("the report cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    }
    match as_expected {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn judge(target: Target, question: Question, measured: &Samples) -> Value {
    let crops = measured.crops();
    let largest = crops.iter().map(|crop| crop.t.abs()).fold(0.0, f64::max);
    let leaks = largest > THRESHOLD;
    let expected = target.must_leak(question);
    // Where `==` may or may not leak, either will do.
    let as_expected = expected.is_none_or(|expected| expected == leaks);
    // Of the samples below the 90th percentile: free of the long tail.
    let typical = &crops[2];
    let calls = f64::from(target.calls());
    let [ns_0, ns_1] = typical.means.map(|mean| mean / calls);
    println!(
        "{:<12} {:<44} {ns_0:>9.3} {ns_1:>9.3} {largest:>8.2}  {}{}",
        target.name(),
        question.classes().join(" / "),
        if leaks { "differs" } else { "tells nothing" },
        if as_expected { "" } else { "  NOT EXPECTED" },
    );
    json!({
        "target": target.name(),
        "question": question.name(),
        "classes": question.classes(),
        "calls_per_sample": target.calls(),
        "ns_per_call_below_the_90th_percentile": [ns_0, ns_1],
        "t": crops.iter().map(|crop| json!({"percentile": crop.percentile, "t": crop.t, "samples": crop.counts})).collect::<Vec<_>>(),
        "max_abs_t": largest,
        "leaks": leaks,
        "must_leak": expected,
        "as_expected": as_expected,
    })
}

fn write(report: &Value) -> std::io::Result<PathBuf> {
    // Cargo runs a bench in its package's folder.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("../target".into(), PathBuf::from);
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("constant_time.json");
    std::fs::write(&path, format!("{report:#}\n"))?;
    Ok(path)
}
