//! Elasticsearch as the verifier of API keys: `POST /_security/user/_has_privileges`, with the client's own key.
//!
//! The hosts are tried in turn, from the one that answered last; each gets its share of the time that is left. A verdict
//! is an answer that says yes or no (`answer.rs`); what else may happen is a reason to try the next host.
//!
//! # Invariants
//!
//! - A verification takes `timeout` in all, not per host; one host is asked however short that is.
//! - A key is sent to the configured hosts only: redirections are not followed, and proxies of the environment not used.
//! - No secret is in an error. (`ureq` copies the header with the key into its buffers, which are not overwritten.)

mod answer;
mod settings;
mod tls;
mod transport;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::HeaderValue;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
use zeroize::Zeroizing;

pub(crate) use self::settings::Settings;
use self::transport::Tls;
use super::presented::PresentedKey;
use super::privileges::Privileges;
use super::verifier::{Verifier, VerifyError};
use crate::config::ConfigError;

const USER_AGENT: &str = concat!("tollbar/", env!("CARGO_PKG_VERSION"));

/// The least that a host gets of the time.
const SHORTEST_TRY: Duration = Duration::from_millis(1);

pub(crate) struct Elasticsearch {
    agent: Agent,
    /// The full URLs that are asked, and how errors call their hosts.
    hosts: Vec<(String, String)>,
    timeout: Duration,
    /// The host that answered last.
    preferred: AtomicUsize,
}

impl Elasticsearch {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// If a certificate or key is of no use.
    pub(crate) fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let tls = if settings.https() {
            Some(tls::client_config(&settings.tls)?)
        } else {
            None
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(USER_AGENT)
            .max_idle_connections_per_host(8)
            .build();
        let connector = ().chain(TcpConnector::default()).chain(Tls(tls));
        let url = |host: &String| {
            let base = host.trim_end_matches('/');
            (
                format!("{base}/_security/user/_has_privileges"),
                base.to_owned(),
            )
        };
        Ok(Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            hosts: settings.hosts.iter().map(url).collect(),
            timeout: settings.timeout,
            preferred: AtomicUsize::new(0),
        })
    }

    /// Asks one host. If the connection breaks, once more: an idle one may have been closed just as it was used again.
    fn ask(
        &self,
        url: &str,
        authorization: &HeaderValue,
        timeout: Duration,
    ) -> Result<Privileges, VerifyError> {
        let deadline = Instant::now() + timeout;
        match self.ask_once(url, authorization, timeout) {
            Err(error) if broken(&error) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.ask_once(url, authorization, left.max(SHORTEST_TRY))
            }
            asked => asked,
        }
        .unwrap_or_else(|error| Err(failed(error)))
    }

    fn ask_once(
        &self,
        url: &str,
        authorization: &HeaderValue,
        timeout: Duration,
    ) -> Result<Result<Privileges, VerifyError>, ureq::Error> {
        let request = self
            .agent
            .post(url)
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header("Authorization", authorization.clone())
            .header("Content-Type", "application/json")
            .header("Accept", "application/json");
        let mut response = request.send(answer::QUESTION)?;
        let status = response.status().as_u16();
        // Read in any case, and to its end: the connection can be used again then.
        let body = response
            .body_mut()
            .with_config()
            .limit(answer::LONGEST_ANSWER)
            .read_to_vec();
        match body {
            // The status alone says it.
            Err(_) if status != 200 => Ok(answer::read(status, &[])),
            body => Ok(answer::read(status, &body?)),
        }
    }
}

impl Verifier for Elasticsearch {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        let deadline = Instant::now() + self.timeout;
        let header = Zeroizing::new(format!("ApiKey {}", *presented.credential()));
        let Ok(mut authorization) = HeaderValue::from_str(&header) else {
            // Base64 always is a header's value.
            return Err(VerifyError::Invalid);
        };
        authorization.set_sensitive(true);
        // Relaxed: where to begin, nothing more.
        let first = self.preferred.load(Ordering::Relaxed);
        let mut why = String::new();
        for turn in 0..self.hosts.len() {
            let index = (first + turn) % self.hosts.len();
            let (url, host) = &self.hosts[index];
            let left = deadline.saturating_duration_since(Instant::now());
            // The first one is asked in any case: a timeout so short is the configuration's word, and an error names a host.
            if turn > 0 && left < SHORTEST_TRY {
                break;
            }
            let share = left / (self.hosts.len() - turn) as u32;
            match self.ask(url, &authorization, share.max(SHORTEST_TRY)) {
                Err(VerifyError::Unavailable(reason)) => {
                    if !why.is_empty() {
                        why.push_str("; ");
                    }
                    why.push_str(&format!("{host}: {reason}"));
                }
                verdict => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return verdict;
                }
            }
        }
        Err(VerifyError::Unavailable(why))
    }
}

/// Whether the connection broke, which says nothing of the host.
fn broken(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error, ureq::Error::Io(error) if matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    ))
}

/// `ureq`'s errors name what went wrong with the connection, never what was sent over it.
fn failed(error: ureq::Error) -> VerifyError {
    VerifyError::Unavailable(match error {
        ureq::Error::Timeout(_) => "it took too long".into(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_looked_at_for_https_only() {
        // Of no use, like those of a system that has no authorities.
        let tls = settings::TlsSettings {
            authorities: vec![Zeroizing::new(b"nothing".to_vec())],
            ..Default::default()
        };
        for (hosts, accepted) in [
            (vec!["http://a:9200", "http://https:9200"], true),
            (vec!["https://a:9200"], false),
            (vec!["http://a:9200", "https://b:9200"], false),
        ] {
            let settings = Settings {
                hosts: hosts.iter().map(|&host| host.into()).collect(),
                timeout: Duration::from_secs(1),
                tls: tls.clone(),
            };
            assert_eq!(Elasticsearch::new(&settings).is_ok(), accepted, "{hosts:?}");
        }
    }
}
