//! The summary in the terminal.

use std::io::{self, Write as _};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::Outcome;
use super::alternatives::Alternative;
use crate::Error;

/// How many clients are told.
const TOP: usize = 10;

pub fn print(outcome: &Outcome) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", summary(outcome))?;
    let clients = outcome.tally.clients.top(TOP);
    if !clients.is_empty() {
        let mut table = table(&["client", "events refused", "events admitted"]);
        for (client, sent) in clients {
            table.add_row([
                client.to_string(),
                grouped(sent.refused),
                grouped(sent.admitted),
            ]);
        }
        writeln!(
            out,
            "\nThe clients of whom most was refused:\n{}",
            right(table)
        )?;
    }
    if !outcome.alternatives.is_empty() {
        let mut table = table(&[
            "ip_limit",
            "event_limit",
            "events refused",
            "share",
            "displaced",
        ]);
        for row in alternatives(outcome) {
            table.add_row(row);
        }
        writeln!(
            out,
            "\nOther limits would have done this (the first line is what was tried):\n{}",
            right(table)
        )?;
    }
    out.flush()?;
    let mut err = io::stderr().lock();
    for note in &outcome.notes {
        writeln!(err, "note: {note}")?;
    }
    if outcome.bad.count > 0 {
        writeln!(err, "warning: {}", outcome.bad)?;
    }
    Ok(())
}

fn summary(outcome: &Outcome) -> Table {
    let mut table = table(&["", ""]);
    for (name, value) in figures(outcome) {
        table.add_row([name.to_owned(), value]);
    }
    right(table)
}

/// What is told of the log as a whole.
pub fn figures(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let tally = &outcome.tally;
    let limits = outcome.limits;
    let all = tally.admitted.saturating_add(tally.refused);
    let whole = u64::from(limits.event_limit) * u64::from(limits.burst_multiplier);
    vec![
        ("ip_limit", grouped(limits.ip_limit.into())),
        (
            "event_limit",
            format!("{} events a second", grouped(limits.event_limit.into())),
        ),
        ("burst", format!("{} events", grouped(whole))),
        ("time", format!("{:.0} s", tally.duration() as f64 / 1e9)),
        ("requests", grouped(tally.requests)),
        (
            "requests refused",
            share(tally.requests_refused, tally.requests),
        ),
        (
            "requests cut off",
            share(tally.requests_cut, tally.requests),
        ),
        ("events, requests among them", grouped(all)),
        ("events refused", share(tally.refused, all)),
        (
            "most counters in use",
            share(tally.most_live as u64, limits.ip_limit.into()),
        ),
        (
            "counters taken from clients who needed them",
            grouped(tally.limiter.displaced()),
        ),
    ]
}

/// A row for the limits that were tried and for each other pair.
pub fn alternatives(outcome: &Outcome) -> Vec<[String; 5]> {
    let tally = &outcome.tally;
    let tried = Alternative {
        limits: outcome.limits,
        admitted: tally.admitted,
        refused: tally.refused,
        displaced: tally.limiter.displaced(),
    };
    let all = std::iter::once(&tried).chain(&outcome.alternatives);
    all.map(|a| {
        let events = a.admitted.saturating_add(a.refused);
        [
            grouped(a.limits.ip_limit.into()),
            grouped(a.limits.event_limit.into()),
            grouped(a.refused),
            percent(a.refused, events),
            grouped(a.displaced),
        ]
    })
    .collect()
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if head.iter().any(|name| !name.is_empty()) {
        table.set_header(head);
    }
    table
}

/// Figures stand to the right.
fn right(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn share(part: u64, whole: u64) -> String {
    format!("{} ({})", grouped(part), percent(part, whole))
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "0 %".into(),
        _ => format!("{:.2} %", part as f64 * 100.0 / whole as f64),
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [0, 7, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "1,234,567"]);
    }
}
