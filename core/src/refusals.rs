//! The recent refusals, for operators: who was refused, when and why.
//!
//! Each reason has a ring of its own, so that a flood of one kind never pushes out the few of another. A gate before each ring lets
//! a burst and then 32 a second in: under a flood, "the last 64" would otherwise be the last microseconds, and every
//! thread would queue at the ring. What the gate passes by is still counted as refused
//! ([`Stats::refused`](crate::Stats::refused)), and as not recorded.
//!
//! # Invariants
//!
//! - Only refusals come here: a decision that allows pays nothing.
//! - Recording allocates nothing, takes no lock and never waits for another thread's turn: who loses a race for the gate goes on
//!   without a record.
//! - Nothing here holds a secret.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

use crate::client_ip::ClientKey;
use crate::decision::{Action, Decision};
use crate::ratelimit::{Conformance, Gcra};
use crate::reason::{Method, REASONS, Reason};
use crate::request::Resource;

/// How many refusals are kept for each reason.
const PER_REASON: usize = 64;
/// How many refusals for each reason are recorded a second, and at once. Half a ring: it takes more than a second to come
/// round, so nobody meets a slot that another thread is still writing, not even if that one was interrupted there.
pub(crate) const PER_SECOND: u32 = 32;

/// A request, a stream or a batch that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// When, by the system's clock.
    pub time: SystemTime,
    /// When, in nanoseconds since the engine was made, by its own monotonic clock.
    pub at_ns: u64,
    /// Why.
    pub reason: Reason,
    /// What the client wanted to do.
    pub action: Action,
    /// How the client was identified; `None`: it was not.
    pub method: Option<Method>,
    /// Whom the rate limit counts.
    pub client: ClientKey,
    /// The agent that was named, as far as it was known.
    pub agent: Option<ShortText>,
    /// The service that was named, as far as it was known.
    pub service: Option<ShortText>,
    /// The id of the API key that was presented; never its secret. If the key was not valid, the id is what the client claims. Where
    /// a client is decided in steps, the later ones know its first 22 bytes: Elasticsearch's ids and ours are no longer.
    pub credential_id: Option<ShortText>,
    /// The configuration's number under which this was decided.
    pub generation: u64,
}

/// A text of at most [`ShortText::MAX_LEN`] bytes that holds no allocation; a longer one is cut at a character.
///
/// It is what a client sent: escape it where that matters. `Debug` does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl ShortText {
    /// The longest text, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Keeps as much of a text as there is room for.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = prefix(text, Self::MAX_LEN);
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self {
            // At most MAX_LEN.
            len: text.len() as u8,
            bytes,
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Cut at a character, so it is UTF-8.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// As much of a text as fits into so many bytes, cut at a character.
pub(crate) fn prefix(text: &str, most: usize) -> &str {
    let mut len = text.len().min(most);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}

/// The rings of all reasons.
pub(crate) struct Refusals {
    gcra: Gcra,
    rings: [CachePadded<Ring>; REASONS.len()],
    /// What readers have taken out of the rings so far, for the next reader. Only readers come here.
    read: Mutex<[VecDeque<Refusal>; REASONS.len()]>,
}

struct Ring {
    /// The TAT of the gate.
    gate: AtomicU64,
    recorded: AtomicU64,
    queue: ArrayQueue<Refusal>,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        Self {
            gcra: Gcra::new(PER_SECOND, 1),
            rings: std::array::from_fn(|_| {
                CachePadded::new(Ring {
                    gate: AtomicU64::new(0),
                    recorded: AtomicU64::new(0),
                    queue: ArrayQueue::new(PER_REASON),
                })
            }),
            read: Mutex::new(std::array::from_fn(|_| VecDeque::new())),
        }
    }

    /// Records a refusal, if the gate of its reason is open. `now` is of the engine's own clock. `credential_id` is asked
    /// only then.
    #[inline]
    pub(crate) fn record(
        &self,
        decision: &Decision,
        resource: Resource<'_>,
        credential_id: impl FnOnce() -> Option<ShortText>,
        now: u64,
    ) {
        let ring = &self.rings[decision.reason.index()];
        if ring.admits(&self.gcra, now) {
            ring.push(decision, resource, credential_id(), now);
        }
    }

    /// How many refusals for this reason have been recorded.
    pub(crate) fn recorded(&self, reason: Reason) -> u64 {
        // Relaxed: a statistic.
        self.rings[reason.index()].recorded.load(Ordering::Relaxed)
    }

    /// The last ones of every reason, oldest first. Reading takes nothing away from the next reader.
    pub(crate) fn recent(&self) -> Vec<Refusal> {
        // A panic can't leave this in a state that matters.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        for (ring, read) in self.rings.iter().zip(read.iter_mut()) {
            // Bounded, as others may push meanwhile.
            for refusal in std::iter::from_fn(|| ring.queue.pop()).take(PER_REASON) {
                if read.len() == PER_REASON {
                    read.pop_front();
                }
                read.push_back(refusal);
            }
        }
        let mut all: Vec<Refusal> = read.iter().flatten().cloned().collect();
        all.sort_by_key(|refusal| refusal.at_ns);
        all
    }
}

impl Ring {
    /// Whether the gate lets one in. Under a flood this reads one cache line that is written 32 times a second.
    #[inline]
    fn admits(&self, gcra: &Gcra, now: u64) -> bool {
        // Relaxed: the gate orders nothing but itself.
        let tat = self.gate.load(Ordering::Relaxed);
        let Conformance::Conforming { tat: next, .. } = gcra.conform(tat, now, 1, 0) else {
            return false;
        };
        self.gate
            .compare_exchange(tat, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    #[inline(never)]
    fn push(
        &self,
        decision: &Decision,
        resource: Resource<'_>,
        credential_id: Option<ShortText>,
        now: u64,
    ) {
        // Relaxed: a statistic.
        self.recorded.fetch_add(1, Ordering::Relaxed);
        self.queue.force_push(Refusal {
            time: SystemTime::now(),
            at_ns: now,
            reason: decision.reason,
            action: decision.action,
            method: decision.method,
            client: decision.client,
            agent: resource.agent.map(ShortText::new),
            service: resource.service.map(ShortText::new),
            credential_id,
            generation: decision.generation,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn refused(reason: Reason) -> Decision {
        Decision {
            reason,
            action: Action::Ingest,
            method: None,
            client: ClientKey::new([203, 0, 113, 9].into(), 64),
            rate: None,
            generation: 7,
        }
    }

    fn record(refusals: &Refusals, reason: Reason, now: u64) {
        let shop = Resource {
            agent: Some("rum-js"),
            service: Some("shop"),
        };
        refusals.record(&refused(reason), shop, || None, now);
    }

    #[test]
    fn a_record_says_who_was_refused_when_and_why() {
        let refusals = Refusals::new();
        record(&refusals, Reason::ServiceNotAllowed, 5);
        let recent = refusals.recent();
        let [one] = recent.as_slice() else {
            panic!("{recent:?}");
        };
        assert_eq!(one.reason, Reason::ServiceNotAllowed);
        assert_eq!((one.at_ns, one.generation), (5, 7));
        assert_eq!(one.client.to_string(), "203.0.113.9");
        assert_eq!(one.agent.unwrap().as_str(), "rum-js");
        assert_eq!(one.service.unwrap().as_str(), "shop");
        assert!(one.time.elapsed().unwrap().as_secs() < 60);
    }

    #[test]
    fn reading_takes_nothing_away_from_the_next_reader() {
        let refusals = Refusals::new();
        record(&refusals, Reason::InvalidToken, 1);
        let first = refusals.recent();
        record(&refusals, Reason::InvalidToken, 2);
        let second = refusals.recent();
        assert_eq!(second[..1], first[..]);
        assert_eq!(second.len(), 2);
    }

    #[test]
    fn a_flood_of_one_reason_pushes_out_no_other_and_is_sampled() {
        let refusals = Refusals::new();
        record(&refusals, Reason::InvalidToken, 0);
        // Ten seconds, a refusal each tenth of a millisecond.
        for now in (0..10 * SECOND).step_by(100_000) {
            record(&refusals, Reason::RateLimited, now);
        }
        let recent = refusals.recent();
        assert_eq!(recent.len(), 1 + PER_REASON);
        assert_eq!(recent[0].reason, Reason::InvalidToken);
        // The ring goes back two seconds, not the microseconds that the flood takes to fill it.
        assert!(recent[1].at_ns <= 8 * SECOND, "{}", recent[1].at_ns);
        let recorded = refusals.recorded(Reason::RateLimited);
        assert!((32 * 10..=32 * 11).contains(&recorded), "{recorded}");
    }

    #[test]
    fn the_ring_keeps_the_latest_whether_it_is_read_or_not() {
        let (read, unread) = (Refusals::new(), Refusals::new());
        for now in 0..200 {
            record(&read, Reason::RateLimited, now * SECOND);
            record(&unread, Reason::RateLimited, now * SECOND);
            let _ = read.recent();
        }
        let times = |refusals: &Refusals| -> Vec<u64> {
            refusals.recent().iter().map(|r| r.at_ns / SECOND).collect()
        };
        let latest: Vec<u64> = (200 - PER_REASON as u64..200).collect();
        assert_eq!(times(&read), latest);
        assert_eq!(times(&unread), latest);
    }

    #[test]
    fn threads_that_record_and_read_at_once_lose_no_count() {
        let refusals = Refusals::new();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let refusals = &refusals;
                scope.spawn(move || {
                    for now in 0..20_000_u64 {
                        record(refusals, Reason::RateLimited, (2 * now + thread) * SECOND);
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..1000 {
                    assert!(refusals.recent().len() <= PER_REASON);
                }
            });
        });
        let recorded = refusals.recorded(Reason::RateLimited);
        assert!((1..=40_000).contains(&recorded), "{recorded}");
        assert_eq!(refusals.recent().len(), PER_REASON);
    }

    proptest! {
        #[test]
        fn a_short_text_is_the_longest_prefix_that_fits(text: String) {
            let short = ShortText::new(&text);
            prop_assert!(text.starts_with(short.as_str()));
            let rest = &text[short.as_str().len()..];
            let next = rest.chars().next().map_or(0, char::len_utf8);
            prop_assert!(rest.is_empty() || short.as_str().len() + next > ShortText::MAX_LEN);
        }
    }
}
