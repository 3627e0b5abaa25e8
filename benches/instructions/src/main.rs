//! Work for `scripts/instructions.py`, which counts the instructions of one decision under callgrind.
//!
//! `instructions` names the scenarios; `instructions <scenario> <decisions>` does the work of one of them.
//!
//! Invariants: callgrind counts only what [`measured`] does, not what prepares it. Every `now` is explicit, so no clock matters.
//! The order of the addresses is fixed and so is the limiter's hash key; the engine's is random, but a thousand addresses average that out.

mod scenarios;

use std::process::ExitCode;

use scenarios::{SCENARIOS, Work};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            for (name, _) in SCENARIOS {
                println!("{name}");
            }
            ExitCode::SUCCESS
        }
        [name, decisions] => match (scenario(name), decisions.parse()) {
            (Some(prepare), Ok(decisions)) => run(prepare(decisions)),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn scenario(name: &str) -> Option<fn(u32) -> Option<Work>> {
    let found = SCENARIOS.iter().find(|scenario| scenario.0 == name);
    found.map(|scenario| scenario.1)
}

fn usage() -> ExitCode {
    eprintln!("instructions: pass nothing, or the name of a scenario and a number of decisions");
    ExitCode::FAILURE
}

/// Does the work. It fails if decisions did not come out as the scenario says: then something else was measured.
fn run(work: Option<Work>) -> ExitCode {
    let Some(mut work) = work else {
        eprintln!("instructions: the scenario's configuration is refused");
        return ExitCode::FAILURE;
    };
    let (as_meant, decisions) = measured(&mut *work);
    if as_meant == decisions {
        return ExitCode::SUCCESS;
    }
    eprintln!("instructions: {as_meant} of {decisions} decisions came out as meant");
    ExitCode::FAILURE
}

/// What callgrind counts: `scripts/instructions.py` knows this function by its name.
#[inline(never)]
fn measured(work: &mut dyn FnMut() -> (u32, u32)) -> (u32, u32) {
    work()
}
