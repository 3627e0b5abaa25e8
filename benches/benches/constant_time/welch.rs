//! Welch's t on two classes of samples, whole and cropped.

/// Percentiles of both classes together at which samples are cut off; 100: none are.
const PERCENTILES: [u32; 6] = [50, 75, 90, 95, 99, 100];

/// Times in nanoseconds, by class.
#[derive(Default)]
pub struct Samples([Vec<u32>; 2]);

/// The test on the samples up to a percentile.
pub struct Crop {
    pub percentile: u32,
    pub t: f64,
    pub means: [f64; 2],
    pub counts: [usize; 2],
}

impl Samples {
    pub fn push(&mut self, class: usize, ns: u64) {
        self.0[class].push(u32::try_from(ns).unwrap_or(u32::MAX));
    }

    /// In the order of [`PERCENTILES`].
    pub fn crops(&self) -> Vec<Crop> {
        let mut all: Vec<u32> = self.0.iter().flatten().copied().collect();
        all.sort_unstable();
        PERCENTILES
            .iter()
            .map(|&percentile| {
                let last = all.len().saturating_sub(1);
                let threshold = all.get(last * percentile as usize / 100).copied();
                let moments = [0, 1].map(|class| {
                    Moments::of(
                        self.0[class]
                            .iter()
                            .copied()
                            .filter(|&ns| Some(ns) <= threshold),
                    )
                });
                Crop {
                    percentile,
                    t: welch(&moments),
                    means: moments.each_ref().map(|m| m.mean),
                    counts: moments.each_ref().map(|m| m.count),
                }
            })
            .collect()
    }
}

/// Count, mean and the sum of squared differences from it, in one pass (Welford).
#[derive(Default)]
struct Moments {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of(samples: impl Iterator<Item = u32>) -> Self {
        let mut moments = Self::default();
        for sample in samples {
            moments.count += 1;
            let delta = f64::from(sample) - moments.mean;
            moments.mean += delta / moments.count as f64;
            moments.squares += delta * (f64::from(sample) - moments.mean);
        }
        moments
    }

    /// The variance of the mean.
    fn error(&self) -> f64 {
        self.squares / (self.count.max(2) - 1) as f64 / self.count.max(1) as f64
    }
}

fn welch([a, b]: &[Moments; 2]) -> f64 {
    let error = (a.error() + b.error()).sqrt();
    let difference = a.mean - b.mean;
    match error > 0.0 {
        true => difference / error,
        // No spread at all: equal or as different as can be.
        false if difference == 0.0 => 0.0,
        false => f64::INFINITY.copysign(difference),
    }
}
