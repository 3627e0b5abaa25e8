//! What happened when, in a bounded number of buckets of equal width.

/// Buckets at most; when there would be more, two become one.
const BUCKETS: usize = 512;
const SECOND: u64 = 1_000_000_000;

/// What happened in a span of time.
#[derive(Clone, Copy, Default)]
pub struct Bucket {
    pub admitted: u64,
    pub refused: u64,
    /// The most counters that were seen in use at once.
    pub live: usize,
}

impl Bucket {
    fn merge(self, other: Self) -> Self {
        Self {
            admitted: self.admitted + other.admitted,
            refused: self.refused + other.refused,
            live: self.live.max(other.live),
        }
    }
}

/// From the first request on.
pub struct Timeline {
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds in a bucket.
    pub width: u64,
    pub buckets: Vec<Bucket>,
}

impl Timeline {
    pub fn new(start: u64) -> Self {
        Self {
            start,
            width: SECOND,
            buckets: Vec::new(),
        }
    }

    /// The bucket of this instant. What lies before the start (logs are not always in order) counts as the start.
    pub fn bucket(&mut self, at: u64) -> &mut Bucket {
        let since = at.saturating_sub(self.start);
        while since / self.width >= BUCKETS as u64 {
            self.buckets = self
                .buckets
                .chunks(2)
                .map(|pair| pair.iter().copied().fold(Bucket::default(), Bucket::merge))
                .collect();
            self.width *= 2;
        }
        // Less than BUCKETS.
        let index = (since / self.width) as usize;
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, Bucket::default());
        }
        &mut self.buckets[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_buckets_are_merged() {
        let mut timeline = Timeline::new(1000 * SECOND);
        for i in 0..100_000_u64 {
            let bucket = timeline.bucket((990 + i) * SECOND);
            bucket.admitted += 1;
            bucket.live = bucket.live.max(i as usize);
        }
        assert!(timeline.buckets.len() <= BUCKETS);
        assert!(timeline.buckets.len() > BUCKETS / 2);
        assert_eq!(
            timeline.buckets.iter().map(|b| b.admitted).sum::<u64>(),
            100_000
        );
        assert_eq!(timeline.buckets.last().map(|b| b.live), Some(99_999));
        assert!(timeline.buckets.iter().all(|b| b.admitted > 0));
    }
}
