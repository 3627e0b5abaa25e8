//! `tollbar replay`: feeds an access log through the rate limit at the log's own times, and shows what would have been refused.
//!
//! log -> lines ([`line`]) -> blocks of requests ([`reader`], a thread) -> the configured limits and what they refuse ([`tally`]), and
//! beside it the same under other limits ([`alternatives`], a thread) -> [`terminal`] and [`html`].
//!
//! Invariant: memory is bounded, whatever the length of the log: blocks in flight, buckets of time and clients that are
//! remembered are all limited in number.

mod alternatives;
mod clients;
mod html;
mod line;
mod reader;
mod tally;
mod terminal;
mod timeline;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use crossbeam_channel::bounded;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tollbar::client_ip::ClientKey;
use tollbar::config::{Config, MAX_EVENT_LIMIT, MAX_IP_LIMIT};
use tollbar::ratelimit::{Limits, RateLimiter};

use self::alternatives::{Alternative, Alternatives};
use self::line::Format;
use self::reader::{BadLines, Block, Reader};
use self::tally::Tally;
use crate::Error;

#[derive(Args)]
pub struct Replay {
    /// The log: an access log in nginx's and Apache's combined (or common) form, or a JSON object a line with `time` (RFC 3339, or
    /// seconds since 1970), `ip` and perhaps `events`; `-` reads standard input
    log: PathBuf,
    /// The configuration whose limits are tried: apm-server.yml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The log's form
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// How many events a request brings where the log does not say; the request itself counts as one more
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=line::MAX_EVENTS))]
    events: u64,
    /// Try this limit instead of the configured one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_IP_LIMIT)))]
    ip_limit: Option<u32>,
    /// Try this limit instead of the configured one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_EVENT_LIMIT)))]
    event_limit: Option<u32>,
    /// Write a report with plots into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Leave out what other limits would have done: faster
    #[arg(long)]
    no_alternatives: bool,
}

/// What came of it all.
struct Outcome {
    limits: Limits,
    tally: Tally,
    alternatives: Vec<Alternative>,
    bad: BadLines,
    notes: Vec<&'static str>,
}

/// How many blocks may wait for a thread.
const IN_FLIGHT: usize = 8;
/// A batch as intake servers make them of a stream.
const BATCH: u64 = 10;

pub fn run(args: &Replay) -> Result<u8, Error> {
    let config = match Config::load(&args.config) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            for problem in &error.problems {
                writeln!(io::stderr(), "{problem}")?;
            }
            return Ok(2);
        }
    };
    let (log, length) = open(&args.log)?;
    let progress = progress(length);
    let outcome = replay(args, &config, progress.wrap_read(log))?;
    progress.finish_and_clear();
    if outcome.tally.requests == 0 {
        return Err(Error::NothingToReplay(outcome.bad.to_string()));
    }
    terminal::print(&outcome)?;
    if let Some(path) = &args.html {
        let page = html::page(&args.log.display().to_string(), &outcome)?;
        std::fs::write(path, page).map_err(|error| Error::File(path.clone(), error))?;
    }
    Ok(0)
}

fn replay(args: &Replay, config: &Config, log: impl Read + Send) -> Result<Outcome, Error> {
    let limits = Limits {
        ip_limit: args.ip_limit.unwrap_or(config.anonymous.ip_limit),
        event_limit: args.event_limit.unwrap_or(config.anonymous.event_limit),
        burst_multiplier: config.burst_multiplier,
    };
    let mut tally = Tally::new(limits);
    let mut alternatives = match args.no_alternatives {
        true => Alternatives::none(),
        false => Alternatives::around(limits),
    };
    let reader = Reader::new(log, args.format, args.events, config.ipv6_prefix);
    let bad = std::thread::scope(|scope| {
        let (blocks, read) = bounded::<Arc<Block>>(IN_FLIGHT);
        let (copies, to_alternatives) = bounded::<Arc<Block>>(IN_FLIGHT);
        let reading = scope.spawn(move || reader.read(&blocks));
        let alternatives = &mut alternatives;
        scope.spawn(move || {
            for block in to_alternatives {
                alternatives.take(&block);
            }
        });
        for block in read {
            // Nobody takes copies any more only if that thread is gone, and then the scope panics.
            let _ = copies.send(Arc::clone(&block));
            tally.take(&block);
        }
        drop(copies);
        match reading.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
    .map_err(|error| Error::File(args.log.clone(), error))?;
    let mut notes = Vec::new();
    if !config.auth_configured() {
        notes.push("no authentication is configured: under this configuration nobody is limited");
    } else if !config.anonymous_enabled() {
        notes.push("anonymous access is off: under this configuration all without a credential are refused with 401");
    }
    Ok(Outcome {
        limits,
        tally,
        alternatives: alternatives.finish(),
        bad,
        notes,
    })
}

/// Charges a request and then its events, in batches as intake servers do. Returns how many of the events (the request's own among
/// them) were admitted: a stream is cut at the first batch that does not fit.
fn admitted(limiter: &RateLimiter, client: ClientKey, events: u64, now: u64) -> u64 {
    if !limiter.charge(client, 1, now).admitted {
        return 0;
    }
    let mut taken = 0;
    while taken < events {
        let batch = BATCH.min(events - taken);
        if !limiter.charge(client, batch, now).admitted {
            break;
        }
        taken += batch;
    }
    1 + taken
}

/// The log, and how long it is if that can be known.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Error> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).map_err(|error| Error::File(path.to_owned(), error))?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file);
    Ok((Box::new(file), length.map(|metadata| metadata.len())))
}

/// A bar on the terminal; nothing where standard error is none.
fn progress(length: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:40} {percent:>3} %  {bytes_per_sec}  {eta} left",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes} {bytes_per_sec}",
        ),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
