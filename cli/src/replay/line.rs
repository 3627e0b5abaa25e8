//! A line of a log -> the request that it tells of.

use std::borrow::Cow;
use std::net::IpAddr;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::fmt::strtime;
use serde::Deserialize;

/// The form of a log.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// By the first character of each line: `{` is JSON
    Auto,
    /// nginx's and Apache's combined or common form
    Combined,
    /// A JSON object a line
    Ndjson,
}

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Nanoseconds since 1970.
    pub at: u64,
    pub ip: IpAddr,
    /// `None`: it does not say.
    pub events: Option<u64>,
}

/// Why a line tells of no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    #[error("does not begin with an IP address")]
    Address,
    #[error("has no time such as [10/Oct/2026:13:55:36 +0200]")]
    Time,
    #[error(
        "is no JSON object with `time` (RFC 3339, or seconds since 1970), `ip` and perhaps `events`"
    )]
    Json,
    #[error("is from before 1970 or after 2200")]
    Range,
    #[error("has more than {MAX_EVENTS} events")]
    Events,
    #[error("is longer than 64 KiB")]
    Long,
}

/// Reads lines. It remembers the last time it saw: neighbours have the same mostly.
pub struct Parser {
    format: Format,
    last: (Vec<u8>, u64),
}

/// More in one request is a mistake.
pub const MAX_EVENTS: u64 = 1_000_000;
/// 2200-01-01, in seconds since 1970: what is later is a mistake.
const LATEST: i64 = 7_258_118_400;

impl Parser {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            last: (Vec::new(), 0),
        }
    }

    /// Reads a line, which is not empty.
    pub fn parse(&mut self, line: &[u8]) -> Result<Request, BadLine> {
        let json = match self.format {
            Format::Auto => line.starts_with(b"{"),
            Format::Combined => false,
            Format::Ndjson => true,
        };
        if json {
            Self::json(line)
        } else {
            self.combined(line)
        }
    }

    /// `203.0.113.9 - - [10/Oct/2026:13:55:36 +0200] "POST ..." 202 ...`
    fn combined(&mut self, line: &[u8]) -> Result<Request, BadLine> {
        let space = memchr::memchr(b' ', line).ok_or(BadLine::Address)?;
        let ip = address(&line[..space]).ok_or(BadLine::Address)?;
        let open = memchr::memchr(b'[', line).ok_or(BadLine::Time)?;
        let time = &line[open + 1..];
        let time = &time[..memchr::memchr(b']', time).ok_or(BadLine::Time)?];
        if self.last.0 != time {
            let at = strtime::parse("%d/%b/%Y:%H:%M:%S %z", time)
                .and_then(|broken_down| broken_down.to_timestamp())
                .map_err(|_| BadLine::Time)?;
            self.last = (time.to_owned(), nanoseconds(at)?);
        }
        Ok(Request {
            at: self.last.1,
            ip,
            events: None,
        })
    }

    fn json(line: &[u8]) -> Result<Request, BadLine> {
        #[derive(Deserialize)]
        struct Line<'a> {
            #[serde(borrow)]
            time: Time<'a>,
            #[serde(borrow)]
            ip: Cow<'a, str>,
            events: Option<u64>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Time<'a> {
            Seconds(f64),
            #[serde(borrow)]
            Text(Cow<'a, str>),
        }
        let line: Line<'_> = serde_json::from_slice(line).map_err(|_| BadLine::Json)?;
        let at = match line.time {
            Time::Text(text) => text.parse().map_err(|_| BadLine::Json)?,
            Time::Seconds(seconds) => {
                // Microseconds are what a double holds of today's times.
                let microseconds = (seconds * 1e6).round() as i64;
                Timestamp::from_microsecond(microseconds).map_err(|_| BadLine::Range)?
            }
        };
        if line.events.is_some_and(|events| events > MAX_EVENTS) {
            return Err(BadLine::Events);
        }
        Ok(Request {
            at: nanoseconds(at)?,
            ip: line.ip.parse().map_err(|_| BadLine::Json)?,
            events: line.events,
        })
    }
}

fn nanoseconds(at: Timestamp) -> Result<u64, BadLine> {
    if at.as_second() >= LATEST {
        return Err(BadLine::Range);
    }
    u64::try_from(at.as_nanosecond()).map_err(|_| BadLine::Range)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn parse(line: &str) -> Result<Request, BadLine> {
        Parser::new(Format::Auto).parse(line.as_bytes())
    }

    #[test]
    fn both_forms_tell_when_who_and_how_much() {
        let combined = r#"203.0.113.9 - - [10/Oct/2000:13:55:36 -0700] "POST /intake/v2/rum/events HTTP/1.1" 202 0 "-" "-""#;
        let request = parse(combined).unwrap();
        assert_eq!(request.at, 971_211_336 * SECOND);
        assert_eq!(
            (request.ip, request.events),
            ([203, 0, 113, 9].into(), None)
        );
        for time in [
            "\"2000-10-10T20:55:36Z\"",
            "\"2000-10-10T13:55:36-07:00\"",
            "971211336",
            "971211336.0",
        ] {
            let request = parse(&format!(
                r#"{{"ip": "2001:db8::1", "time": {time}, "events": 7, "more": []}}"#
            ))
            .unwrap();
            assert_eq!(
                (request.at, request.events),
                (971_211_336 * SECOND, Some(7)),
                "{time}"
            );
        }
        let fraction =
            parse(r#"{"time": "2000-10-10T20:55:36.25Z", "ip": "203.0.113.9"}"#).unwrap();
        assert_eq!(
            (fraction.at, fraction.events),
            (971_211_336 * SECOND + SECOND / 4, None)
        );
    }

    #[test]
    fn a_line_that_tells_of_no_request_says_why() {
        for (line, why) in [
            ("", BadLine::Address),
            (
                "localhost - - [10/Oct/2000:13:55:36 -0700]",
                BadLine::Address,
            ),
            ("203.0.113.9 - -", BadLine::Time),
            (
                "203.0.113.9 - - [10/Foo/2000:13:55:36 -0700]",
                BadLine::Time,
            ),
            (
                "203.0.113.9 - - [10/Oct/1969:13:55:36 -0700]",
                BadLine::Range,
            ),
            (
                "203.0.113.9 - - [10/Oct/2300:13:55:36 -0700]",
                BadLine::Range,
            ),
            ("{", BadLine::Json),
            (r#"{"time": 1, "ip": "x"}"#, BadLine::Json),
            (r#"{"time": "noon", "ip": "203.0.113.9"}"#, BadLine::Json),
            (
                r#"{"time": 1, "ip": "203.0.113.9", "events": -1}"#,
                BadLine::Json,
            ),
            (
                r#"{"time": 1, "ip": "203.0.113.9", "events": 1000001}"#,
                BadLine::Events,
            ),
            (r#"{"time": 1e300, "ip": "203.0.113.9"}"#, BadLine::Range),
        ] {
            assert_eq!(parse(line), Err(why), "{line}");
        }
    }
}
