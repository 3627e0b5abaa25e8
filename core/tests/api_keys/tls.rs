//! TLS towards Elasticsearch: each `verification_mode`, certificates of clients, and files that are of no use.

use std::sync::{Arc, Barrier};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use tollbar::config::{Config, Pem, VerificationMode};
use tollbar::{Engine, Reason};

use super::stand_in::{Reply, StandIn};
use super::{header, verified};

/// An authority that signs what it is asked to.
struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Signed {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Signed { certificate, key }
    }

    fn pem(&self) -> Pem {
        Pem::Inline(self.0.pem().into())
    }

    /// A server with a certificate for this name; with `clients`, only for those who have one of that authority's.
    fn server(&self, name: &str, clients: Option<&Authority>) -> StandIn {
        let Signed { certificate, key } = self.sign(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        StandIn::with_tls(Some(config.into()), |_| Reply::privileges(true, true, true))
    }
}

fn config(server: &StandIn, mode: VerificationMode, authorities: Vec<Pem>) -> Config {
    let mut config = Config::default();
    config.api_key.enabled = true;
    config.api_key.elasticsearch.hosts = vec![server.url()];
    config.api_key.elasticsearch.ssl.verification_mode = mode;
    config.api_key.elasticsearch.ssl.certificate_authorities = authorities;
    config
}

fn outcome(config: Config) -> (Reason, String) {
    let engine = Engine::new(config).unwrap();
    let reason = verified(&engine, &header("id", "key"));
    (
        reason,
        engine.stats().api_keys.last_error.unwrap_or_default(),
    )
}

#[test]
fn each_mode_checks_what_it_says() {
    use VerificationMode::{Certificate, Full, None, Strict};
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (mode, name, trusted, accepted) in [
        (Full, "127.0.0.1", &authority, true),
        (Full, "other.example", &authority, false),
        (Full, "127.0.0.1", &stranger, false),
        (Strict, "127.0.0.1", &authority, true),
        (Strict, "other.example", &authority, false),
        (Certificate, "other.example", &authority, true),
        (Certificate, "127.0.0.1", &stranger, false),
        (None, "other.example", &stranger, true),
    ] {
        let server = authority.server(name, Option::None);
        let (reason, error) = outcome(config(&server, mode, vec![trusted.pem()]));
        let expected = if accepted {
            Reason::Allowed
        } else {
            Reason::Unavailable
        };
        assert_eq!(reason, expected, "{mode:?} {name}: {error}");
        assert_eq!(
            server.requests(),
            u64::from(accepted),
            "no key goes to a stranger"
        );
        assert_eq!(
            error.to_lowercase().contains("certificate"),
            !accepted,
            "{error}"
        );
    }
}

#[test]
fn a_server_may_ask_for_a_certificate_of_the_client() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = authority.server("127.0.0.1", Some(&clients));
    let mut config = config(&server, VerificationMode::Full, vec![authority.pem()]);
    assert_eq!(outcome(config.clone()).0, Reason::Unavailable);
    let Signed { certificate, key } = clients.sign("client");
    config.api_key.elasticsearch.ssl.certificate = Some(Pem::Inline(certificate.pem().into()));
    config.api_key.elasticsearch.ssl.key = Some(Pem::Inline(key.serialize_pem().into()));
    assert_eq!(outcome(config), (Reason::Allowed, String::new()));
}

/// A server, and a configuration that trusts it.
fn trusted() -> (StandIn, Config) {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", None);
    let config = config(&server, VerificationMode::Full, vec![authority.pem()]);
    (server, config)
}

#[test]
fn connections_over_tls_are_used_again() {
    let (server, config) = trusted();
    let engine = Engine::new(config).unwrap();
    for n in 0..10 {
        assert_eq!(
            verified(&engine, &header("id", &n.to_string())),
            Reason::Allowed
        );
    }
    assert_eq!((server.requests(), server.connections()), (10, 1));
}

#[test]
fn answers_over_tls_may_come_in_pieces() {
    let (server, config) = trusted();
    server.answers(|_| Reply::privileges(true, true, true).halved());
    assert_eq!(outcome(config), (Reason::Allowed, String::new()));
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_connection_over_tls_that_ends_under_a_request_is_no_reason_to_refuse() {
    let (server, config) = trusted();
    server.answers(|_| Reply::privileges(true, true, true).once_per_connection());
    let engine = Engine::new(config).unwrap();
    for key in ["first", "second"] {
        assert_eq!(verified(&engine, &header("id", key)), Reason::Allowed);
    }
    assert_eq!((server.requests(), server.connections()), (3, 2));
}

#[test]
fn idle_connections_over_tls_that_ended_are_not_used() {
    let (server, config) = trusted();
    // Two at a time, so that there are two connections: one that is of no use would be made up for.
    let both = Barrier::new(2);
    server.answers(move |_| {
        both.wait();
        Reply::privileges(true, true, true)
    });
    let engine = Engine::new(config).unwrap();
    std::thread::scope(|scope| {
        for key in ["first", "second"] {
            scope.spawn(|| assert_eq!(verified(&engine, &header("id", key)), Reason::Allowed));
        }
    });
    assert_eq!(server.connections(), 2);
    server.disconnects();
    server.answers(|_| Reply::privileges(true, true, true));
    assert_eq!(verified(&engine, &header("id", "third")), Reason::Allowed);
    assert_eq!((server.requests(), server.connections()), (3, 3));
}

#[test]
fn what_is_wrong_with_certificates_is_found_when_a_configuration_is_taken() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server("127.0.0.1", None);
    let good = config(&server, VerificationMode::Full, vec![authority.pem()]);
    let Signed { certificate, .. } = other.sign("client");
    let certificate = || Some(Pem::Inline(certificate.pem().into()));
    let inline = |text: &str| Pem::Inline(text.to_owned().into());
    let hunter = inline("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n");
    let engine = Engine::new(good.clone()).unwrap();
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Allowed);
    let mut errors = 0;
    for (authorities, certificate, key, wrong) in [
        (
            vec![Pem::File("/nowhere/ca.pem".into())],
            None,
            None,
            "certificate_authorities",
        ),
        (
            vec![inline("no certificate")],
            None,
            None,
            "certificate_authorities",
        ),
        (vec![], certificate(), None, "key"),
        (vec![], None, Some(hunter.clone()), "certificate"),
        (vec![], certificate(), Some(hunter), "key"),
        (
            vec![],
            certificate(),
            Some(inline(&KeyPair::generate().unwrap().serialize_pem())),
            "key",
        ),
        (
            vec![],
            Some(Pem::File("/nowhere/cert.pem".into())),
            Some(Pem::File("/nowhere/key.pem".into())),
            "certificate",
        ),
    ] {
        let mut config = good.clone();
        let ssl = &mut config.api_key.elasticsearch.ssl;
        ssl.certificate_authorities.extend(authorities);
        ssl.certificate = certificate;
        ssl.key = key;
        let error = engine.reload(config.clone()).unwrap_err();
        let key = format!("apm-server.auth.api_key.elasticsearch.ssl.{wrong}");
        assert_eq!(
            error.problems[0].key.as_deref(),
            Some(key.as_str()),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert_eq!(Engine::new(config).err(), Some(error));
        errors += 1;
        assert_eq!(engine.stats().reload_errors, errors);
    }
    // The configuration before is in force, verdicts and all.
    assert_eq!(
        super::authenticated(&engine, &header("id", "key")),
        Reason::Allowed
    );
    assert_eq!(engine.stats().generation, 1);
}

#[test]
fn a_certificate_that_is_renewed_in_its_place_is_noticed() {
    let (old, new) = (Authority::new(), Authority::new());
    let path = std::env::temp_dir().join(format!("tollbar-ca-{}.pem", std::process::id()));
    std::fs::write(&path, old.0.pem()).unwrap();
    let server = new.server("127.0.0.1", None);
    let config = config(
        &server,
        VerificationMode::Full,
        vec![Pem::File(path.clone())],
    );
    let engine = Engine::new(config.clone()).unwrap();
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Unavailable);
    std::fs::write(&path, new.0.pem()).unwrap();
    engine.reload(config).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(verified(&engine, &header("id", "key")), Reason::Allowed);
}

/// Configuration and certificate in folders of their own, as mounts often are.
#[cfg(feature = "watch")]
struct Mounts(std::path::PathBuf);

#[cfg(feature = "watch")]
impl Mounts {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("tollbar-mounts-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::create_dir_all(root.join("tls")).unwrap();
        Self(root)
    }

    /// Renames a new file over the old one.
    fn replace(&self, name: &str, content: &str) {
        let next = self.0.join("next");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(next, self.0.join(name)).unwrap();
    }
}

#[cfg(feature = "watch")]
impl Drop for Mounts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(feature = "watch")]
#[test]
fn watched_certificates_are_taken_whole_or_not_at_all() {
    use std::time::{Duration, Instant};
    use tollbar::{ReloadOutcome, WatchOptions};

    const AUTHORITIES: &str = "apm-server.auth.api_key.elasticsearch.ssl.certificate_authorities";
    let (old, new) = (Authority::new(), Authority::new());
    let server = new.server("127.0.0.1", None);
    let yaml = |ca: &str| {
        format!(
            "apm-server.auth.api_key:\n  enabled: true\n  elasticsearch:\n    hosts: {}\n    ssl:\n      \
             certificate_authorities: [{ca}]\n",
            server.url()
        )
    };
    let mounts = Mounts::new();
    mounts.replace("tls/ca.pem", &old.0.pem());
    mounts.replace("etc/apm-server.yml", &yaml("../tls/ca.pem"));
    let file = mounts.0.join("etc/apm-server.yml");
    let engine = Arc::new(Engine::from_file(&file).unwrap());
    let _watcher = engine
        .watch(WatchOptions {
            debounce: Duration::from_millis(20),
            poll: None,
        })
        .unwrap();
    let eventually = |what: &str, holds: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert_eq!(verified(&engine, &header("id", "1")), Reason::Unavailable);

    mounts.replace("tls/ca.pem", &new.0.pem());
    eventually("renewed", &|| engine.stats().generation == 2);
    assert_eq!(verified(&engine, &header("id", "2")), Reason::Allowed);
    let last = |engine: &Engine| engine.stats().reloads.pop().unwrap().outcome;
    let ReloadOutcome::Taken { changed, .. } = last(&engine) else {
        panic!("{:?}", last(&engine));
    };
    assert_eq!(changed, [AUTHORITIES]);

    mounts.replace("tls/ca.pem", "half a certif");
    eventually("refused", &|| engine.stats().reload_errors == 1);
    assert_eq!(verified(&engine, &header("id", "3")), Reason::Allowed);
    let ReloadOutcome::Refused { problems, .. } = last(&engine) else {
        panic!("{:?}", last(&engine));
    };
    let problem = &problems[0];
    assert_eq!(problem.key.as_deref(), Some(AUTHORITIES));
    assert_eq!(problem.file, Some(file.display().to_string()));
    assert_eq!((problem.line, problem.column), (Some(6), Some(7)));

    // One that is named but not there yet is waited for.
    mounts.replace("tls/ca.pem", &new.0.pem());
    mounts.replace("etc/apm-server.yml", &yaml("../later/ca.pem"));
    eventually("refused again", &|| engine.stats().reload_errors == 2);
    std::fs::create_dir(mounts.0.join("later")).unwrap();
    mounts.replace("later/ca.pem", &old.0.pem());
    eventually("taken", &|| engine.stats().generation == 3);
    assert_eq!(verified(&engine, &header("id", "4")), Reason::Unavailable);
    assert_eq!(engine.files(), [file, mounts.0.join("etc/../later/ca.pem")]);
}
