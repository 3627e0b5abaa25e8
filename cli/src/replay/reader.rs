//! The log -> blocks of requests, in a thread of its own.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use crossbeam_channel::Sender;
use tollbar::client_ip::ClientKey;

use super::line::{BadLine, Format, Parser};

/// A request as it is charged.
#[derive(Clone, Copy)]
pub struct Request {
    /// Nanoseconds since 1970.
    pub at: u64,
    pub client: ClientKey,
    /// Besides the request itself.
    pub events: u64,
}

/// Requests in the order of the log.
pub type Block = Vec<Request>;

/// Requests in a block.
const BLOCK: usize = 4096;
/// What is longer is no line of an access log.
const MAX_LINE: usize = 64 * 1024;
/// How many bad lines are told one by one.
const TOLD: usize = 5;

/// The lines that told of no request.
#[derive(Default)]
pub struct BadLines {
    pub count: u64,
    first: Vec<(u64, BadLine)>,
}

impl BadLines {
    fn add(&mut self, number: u64, why: BadLine) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push((number, why));
        }
    }
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines tell of no request", self.count)?;
        for (number, why) in &self.first {
            write!(f, "\n  line {number} {why}")?;
        }
        if self.count > self.first.len() as u64 {
            write!(f, "\n  …")?;
        }
        Ok(())
    }
}

pub struct Reader<R> {
    log: R,
    parser: Parser,
    events: u64,
    ipv6_prefix: u8,
}

impl<R: Read> Reader<R> {
    /// `events`: how many a request has where the log does not say.
    pub fn new(log: R, format: Format, events: u64, ipv6_prefix: u8) -> Self {
        Self {
            log,
            parser: Parser::new(format),
            events,
            ipv6_prefix,
        }
    }

    /// Reads to the end, or until nobody takes the blocks any more.
    pub fn read(self, blocks: &Sender<Arc<Block>>) -> io::Result<BadLines> {
        let Self {
            log,
            mut parser,
            events,
            ipv6_prefix,
        } = self;
        let mut log = BufReader::with_capacity(1 << 20, log);
        let (mut line, mut number) = (Vec::new(), 0);
        let mut bad = BadLines::default();
        let mut block = Block::with_capacity(BLOCK);
        while read_line(&mut log, &mut line)? {
            number += 1;
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if text.len() > MAX_LINE {
                bad.add(number, BadLine::Long);
                continue;
            }
            match parser.parse(text) {
                Ok(request) => block.push(Request {
                    at: request.at,
                    client: ClientKey::new(request.ip, ipv6_prefix),
                    events: request.events.unwrap_or(events),
                }),
                Err(why) => bad.add(number, why),
            }
            if block.len() == BLOCK {
                let full = std::mem::replace(&mut block, Block::with_capacity(BLOCK));
                if blocks.send(Arc::new(full)).is_err() {
                    return Ok(bad);
                }
            }
        }
        let _ = blocks.send(Arc::new(block));
        Ok(bad)
    }
}

/// Reads a line into `line`, of a longer one than [`MAX_LINE`] only so much that its length shows. `false`: the log has ended.
fn read_line(log: &mut impl io::BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let ready = log.fill_buf()?;
        if ready.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = memchr::memchr(b'\n', ready);
        let piece = &ready[..end.unwrap_or(ready.len())];
        let room = (MAX_LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = end.map_or(ready.len(), |end| end + 1);
        log.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(log: &str) -> (Block, BadLines) {
        let (send, receive) = crossbeam_channel::unbounded();
        let bad = Reader::new(log.as_bytes(), Format::Auto, 3, 64)
            .read(&send)
            .unwrap();
        drop(send);
        (
            receive.iter().flat_map(|block| block.to_vec()).collect(),
            bad,
        )
    }

    #[test]
    fn every_line_is_a_request_or_told_as_bad() {
        let long = "x".repeat(3 * MAX_LINE);
        let (requests, bad) = read(&format!(
            "{{\"time\": 1, \"ip\": \"203.0.113.9\"}}\r\n\nnonsense\n{long}\n{{\"time\": 2, \"ip\": \"2001:db8::7\", \"events\": 1}}"
        ));
        let told: Vec<_> = requests
            .iter()
            .map(|r| (r.at, r.client.to_string(), r.events))
            .collect();
        assert_eq!(
            told,
            [
                (1_000_000_000, "203.0.113.9".into(), 3),
                (2_000_000_000, "2001:db8::/64".into(), 1)
            ]
        );
        assert_eq!(
            bad.to_string(),
            "2 lines tell of no request\n  line 3 does not begin with an IP address\n  line 4 is longer than 64 KiB"
        );
    }

    #[test]
    fn blocks_hold_the_whole_log_in_order() {
        let log: String = (0..10_000)
            .map(|i| format!("{{\"time\": {i}, \"ip\": \"203.0.113.9\"}}\n"))
            .collect();
        let (requests, bad) = read(&log);
        assert_eq!(bad.count, 0);
        assert!(
            requests
                .iter()
                .enumerate()
                .all(|(i, r)| r.at == i as u64 * 1_000_000_000)
        );
        assert_eq!(requests.len(), 10_000);
    }
}
