//! What is told as JSON: errors, and the history of reloads.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tollbar::config::Problem;
use tollbar::{Reload, ReloadOutcome};

use crate::status::tollbar_status;

#[derive(Serialize)]
struct OneProblem<'a> {
    file: Option<&'a str>,
    line: Option<u32>,
    column: Option<u32>,
    key: Option<&'a str>,
    found: &'a str,
    accepted: &'a str,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Problem> for OneProblem<'a> {
    fn from(problem: &'a Problem) -> Self {
        Self {
            file: problem.file.as_deref(),
            line: problem.line,
            column: problem.column,
            key: problem.key.as_deref(),
            found: &problem.found,
            accepted: &problem.accepted,
            hint: problem.hint.as_deref(),
        }
    }
}

fn all(problems: &[Problem]) -> Vec<OneProblem<'_>> {
    problems.iter().map(OneProblem::from).collect()
}

/// An error.
pub(crate) fn error(status: tollbar_status, message: &str, problems: &[Problem]) -> String {
    #[derive(Serialize)]
    struct Error<'a> {
        status: u32,
        message: &'a str,
        problems: Vec<OneProblem<'a>>,
    }
    text(&Error {
        status: status as u32,
        message,
        problems: all(problems),
    })
}

/// The history of reloads, oldest first.
pub(crate) fn reloads(reloads: &[Reload]) -> String {
    #[derive(Serialize)]
    struct OneReload<'a> {
        time_unix_ns: u64,
        generation: u64,
        taken: bool,
        changed: &'a [&'static str],
        problem_count: usize,
        problems: Vec<OneProblem<'a>>,
    }
    fn one(reload: &Reload) -> OneReload<'_> {
        let Reload {
            time,
            generation,
            outcome,
            ..
        } = reload;
        let (taken, changed, problem_count, problems): (_, &[_], _, &[_]) = match outcome {
            ReloadOutcome::Taken { changed, .. } => (true, changed, 0, &[]),
            ReloadOutcome::Refused {
                problems, count, ..
            } => (false, &[], *count, problems),
            // The core may come to know other outcomes.
            _ => (false, &[], 0, &[]),
        };
        OneReload {
            time_unix_ns: unix_ns(*time),
            generation: *generation,
            taken,
            changed,
            problem_count,
            problems: all(problems),
        }
    }
    text(&reloads.iter().map(one).collect::<Vec<_>>())
}

/// Nanoseconds since 1970; 0 before.
pub(crate) fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Strings and numbers always make JSON.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
