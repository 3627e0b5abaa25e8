//! How thoroughly is measured, and the rows of those benches that criterion has no part in.
//!
//! `TOLLBAR_BENCH=full` measures all sizes, and long; anything else is quick.

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::Criterion;

/// Whether all sizes are to be measured, and long.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("TOLLBAR_BENCH").is_some_and(|value| value == "full")
}

/// Criterion, as thorough as is asked for.
#[must_use]
pub fn criterion() -> Criterion {
    let seconds = Duration::from_secs_f64;
    if full() {
        Criterion::default()
            .warm_up_time(seconds(2.0))
            .measurement_time(seconds(5.0))
            .sample_size(30)
    } else {
        // Fewer resamplings, since nobody looks at the confidence of what is quick.
        Criterion::default()
            .warm_up_time(seconds(0.3))
            .measurement_time(seconds(0.8))
            .sample_size(15)
            .nresamples(5_000)
    }
}

/// A result as in the report: ours beside a peer's.
#[derive(serde::Serialize)]
pub struct Row {
    name: String,
    ours: f64,
    peer_name: String,
    peer: f64,
    ratio: f64,
    unit: &'static str,
}

impl Row {
    /// Times in nanoseconds; the ratio is how many times faster ours is.
    #[must_use]
    pub fn nanoseconds(name: &str, ours: f64, peer_name: &str, peer: f64) -> Self {
        Self::new(name, ours, peer_name, peer, "ns")
    }

    /// Sizes; the ratio is how many times smaller ours is.
    #[must_use]
    pub fn bytes(name: &str, ours: usize, peer_name: &str, peer: usize) -> Self {
        Self::new(name, ours as f64, peer_name, peer as f64, "bytes")
    }

    fn new(name: &str, ours: f64, peer_name: &str, peer: f64, unit: &'static str) -> Self {
        let row = Self {
            name: name.to_owned(),
            ours,
            peer_name: peer_name.to_owned(),
            peer,
            ratio: peer / ours,
            unit,
        };
        println!("{name:56} {ours:14.2} {unit}, {peer_name}: {peer:.2}");
        row
    }
}

/// Writes the rows of one bench for the report, to `target/bench/rows`.
///
/// # Errors
/// If the file can't be written.
pub fn write(bench: &str, rows: &[Row]) -> std::io::Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let folder = target.join("bench/rows");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(
        folder.join(bench).with_extension("json"),
        serde_json::to_vec_pretty(rows)?,
    )
}
