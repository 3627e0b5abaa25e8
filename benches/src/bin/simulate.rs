//! Simulates hostile traffic and writes the report: `simulate [directory]`, `docs` unless it is given.

use std::path::PathBuf;

use tollbar_benches::simulation::report::{Error, Report};
use tollbar_benches::simulation::traffic::SCENARIOS;
use tollbar_benches::simulation::{compare, displacement};

/// Of the traffic and the hash.
const SEED: u64 = 1;
/// Counters for the plot of displacement against load.
const COUNTERS: u32 = 100_000;

fn main() -> Result<(), Error> {
    let docs = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("docs"), PathBuf::from);
    let comparisons = SCENARIOS
        .iter()
        .map(|scenario| compare(scenario, SEED))
        .collect();
    let loads = (50..=120).step_by(5);
    let report = Report {
        seed: SEED,
        comparisons,
        counters: COUNTERS,
        displacement: loads
            .map(|load| (load, displacement(COUNTERS, load, SEED)))
            .collect(),
    };
    report.write(&docs)
}
