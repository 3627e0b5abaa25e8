//! The statistics as text that Prometheus reads: exposition format 0.0.4.
//!
//! Invariant: the metrics' names are interface and stay. Labels are names of the core's own, never what a client sent.

use std::fmt;

use crate::stats::Stats;

impl Stats {
    /// The statistics as a page for Prometheus; `Display` writes it. Its content type is `text/plain; version=0.0.4`.
    ///
    /// ```
    /// # use tollbar::Engine;
    /// # fn main() -> Result<(), tollbar::config::ConfigError> {
    /// let engine = Engine::from_yaml("apm-server.auth.secret_token: abcdefgh")?;
    /// let page = engine.stats().prometheus().to_string();
    /// assert!(page.contains("tollbar_refused_total{reason=\"rate_limited\"} 0\n"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn prometheus(&self) -> Prometheus<'_> {
        Prometheus(self)
    }
}

/// The page of [`Stats::prometheus`].
#[derive(Clone, Copy, Debug)]
pub struct Prometheus<'a>(&'a Stats);

impl fmt::Display for Prometheus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(stats) = self;
        head(f, "allowed_total", COUNTER, "Decisions that allowed.")?;
        for (method, count) in &stats.allowed {
            writeln!(f, "tollbar_allowed_total{{method=\"{method}\"}} {count}")?;
        }
        head(f, "refused_total", COUNTER, "Decisions that refused.")?;
        for (reason, count) in &stats.refused {
            writeln!(f, "tollbar_refused_total{{reason=\"{reason}\"}} {count}")?;
        }
        let keys = &stats.api_keys;
        for (name, kind, help, value) in [
            (
                "refusals_not_recorded_total",
                COUNTER,
                "Refusals that came too fast to be recorded one by one.",
                stats.refusals_not_recorded,
            ),
            (
                "config_generation",
                GAUGE,
                "The number of the configuration in force.",
                stats.generation,
            ),
            (
                "reload_errors_total",
                COUNTER,
                "Reloads that were refused.",
                stats.reload_errors,
            ),
            (
                "ip_limit",
                GAUGE,
                "How many clients can have a counter of their own.",
                stats.ip_limit.into(),
            ),
            (
                "live_counters",
                GAUGE,
                "Counters whose client could not send a full burst now.",
                stats.live_counters,
            ),
            (
                "claimed_counters_total",
                COUNTER,
                "How often a counter got a new owner.",
                stats.claimed_counters,
            ),
            (
                "displaced_clients_total",
                COUNTER,
                "How often that displaced a client whose counter was live.",
                stats.displaced_clients,
            ),
            (
                "api_key_verifications_total",
                COUNTER,
                "Verifications of API keys that were started.",
                keys.started,
            ),
            (
                "api_key_unavailable_total",
                COUNTER,
                "Verifications that came to no verdict.",
                keys.unavailable,
            ),
            (
                "api_key_over_budget_total",
                COUNTER,
                "Verifications that were not started, since their client asked for too many.",
                keys.over_budget,
            ),
        ] {
            head(f, name, kind, help)?;
            writeln!(f, "tollbar_{name} {value}")?;
        }
        head(
            f,
            "api_key_verdicts_held",
            GAUGE,
            "Verdicts on API keys in the cache.",
        )?;
        for (verdict, count) in [("valid", keys.valid_held), ("invalid", keys.invalid_held)] {
            writeln!(
                f,
                "tollbar_api_key_verdicts_held{{verdict=\"{verdict}\"}} {count}"
            )?;
        }
        Ok(())
    }
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

fn head(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP tollbar_{name} {help}")?;
    writeln!(f, "# TYPE tollbar_{name} {kind}")
}

#[cfg(test)]
mod tests {
    use crate::{Engine, Question, Request};
    use std::collections::BTreeSet;

    #[test]
    fn the_page_says_what_the_statistics_say_and_is_well_formed() {
        let engine = Engine::from_yaml("apm-server.auth.secret_token: abcdefgh").unwrap();
        let request = Request::from_peer([203, 0, 113, 9].into());
        for _ in 0..3 {
            let _ = engine.check(&request, &Question::default(), None);
        }
        let page = engine.stats().prometheus().to_string();
        assert!(page.contains("\ntollbar_refused_total{reason=\"missing_credential\"} 3\n"));
        assert!(page.contains("\ntollbar_allowed_total{method=\"anonymous\"} 0\n"));
        assert!(page.contains("\ntollbar_config_generation 1\n"));
        assert!(page.ends_with('\n'));

        let (mut described, mut samples) = (BTreeSet::new(), BTreeSet::new());
        for line in page.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["#", "HELP", name, ..] => assert!(!described.contains(name), "{line}"),
                ["#", "TYPE", name, "counter"] => {
                    assert!(name.ends_with("_total"), "{line}");
                    described.insert(name);
                }
                ["#", "TYPE", name, "gauge"] => {
                    assert!(!name.ends_with("_total"), "{line}");
                    described.insert(name);
                }
                [sample, value] => {
                    let name = sample.split('{').next().unwrap();
                    assert!(described.contains(name), "{line}");
                    assert!(samples.insert(sample), "twice: {line}");
                    value.parse::<u64>().unwrap();
                }
                _ => panic!("{line}"),
            }
        }
        assert!(samples.len() > described.len());
    }
}
