//! Configuration files on disk: real ones load, unreadable ones say why, and it is known where every value came from.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tollbar::config::{Config, ConfigError, Loaded, MAX_FILE_SIZE, Origin, VerificationMode};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn parse(yaml: &str) -> Result<Loaded, ConfigError> {
    let env = |name: &str| (name == "IPS").then(|| "77".to_owned());
    Config::parse(yaml, "test.yml", &env, None)
}

/// A file that is removed when the test ends.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder =
            std::env::temp_dir().join(format!("tollbar-files-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("apm-server.yml"), content).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("apm-server.yml")
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_of_apm_server_7_17_loads_with_a_warning_for_each_deprecated_key() {
    let yaml = fs::read_to_string(data("apm-server-7.17.yml")).unwrap();
    let env = |name: &str| (name == "ELASTIC_APM_SECRET_TOKEN").then(|| "t0ken".to_owned());
    let loaded =
        Config::parse(&yaml, "apm-server.yml", &env, None).unwrap_or_else(|e| panic!("{e}"));
    let config = loaded.config;
    assert_eq!(config.secret_tokens.len(), 1);
    assert!(config.rum_enabled && config.api_key.enabled && config.anonymous_enabled());
    assert_eq!(config.api_key.limit, 200);
    assert_eq!(
        config.api_key.elasticsearch.hosts,
        ["https://es-1.internal:9200", "https://es-2.internal:9200"]
    );
    assert_eq!(
        (config.anonymous.event_limit, config.anonymous.ip_limit),
        (150, 5000)
    );
    assert_eq!(
        config.anonymous.allow_service,
        ["shop-frontend", "shop-checkout"]
    );
    assert_eq!(
        config.rum_allow_origins,
        ["https://shop.example", "https://*.shop.example"]
    );
    let warned: Vec<&str> = loaded.warnings.iter().map(|w| w.key.as_str()).collect();
    assert_eq!(
        warned,
        [
            "apm-server.secret_token",
            "apm-server.api_key.enabled",
            "apm-server.api_key.limit",
            "apm-server.api_key.elasticsearch.hosts",
            "apm-server.api_key.elasticsearch.protocol",
            "apm-server.api_key.elasticsearch.username",
            "apm-server.api_key.elasticsearch.password",
            "apm-server.api_key.elasticsearch.ssl.certificate_authorities",
            "apm-server.rum.event_rate.limit",
            "apm-server.rum.event_rate.lru_size",
            "apm-server.rum.allow_service_names",
        ]
    );
}

#[test]
fn a_file_of_apm_server_8_loads_without_a_warning() {
    let loaded = Config::load(data("apm-server-8.yml")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.warnings, []);
    let authority = PathBuf::from("/etc/pki/root/ca.pem");
    assert_eq!(loaded.files, [data("apm-server-8.yml"), authority]);
    let config = loaded.config;
    assert_eq!(config.secret_tokens.len(), 1);
    assert_eq!(config.anonymous.enabled, Some(true));
    assert_eq!(
        config.anonymous.allow_agent,
        ["rum-js", "js-base", "iOS/swift"]
    );
    assert_eq!(
        config.anonymous.allow_service,
        ["shop-frontend", "shop-app"]
    );
    assert_eq!(
        (config.anonymous.event_limit, config.anonymous.ip_limit),
        (300, 10_000)
    );
    assert_eq!(
        config.api_key.elasticsearch.timeout,
        Duration::from_secs(90)
    );
    assert_eq!(
        config.api_key.elasticsearch.ssl.verification_mode,
        VerificationMode::Certificate
    );
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.ipv6_prefix, 56);
}

#[test]
fn the_origin_of_every_value_is_known() {
    let loaded = parse(
        "tollbar.ipv6_prefix: 48\napm-server:\n  rum.event_rate.lru_size: ${IPS}\n  secret_token: ${T:abc}\n",
    )
    .unwrap();
    let origin = |key: &str| loaded.origins.get(key).cloned().unwrap();
    assert_eq!(origin("tollbar.burst_multiplier"), Origin::Default);
    let Origin::File {
        file,
        line,
        column,
        variables,
        ..
    } = origin("tollbar.ipv6_prefix")
    else {
        panic!("not from the file");
    };
    assert_eq!(
        (file.as_str(), line, column, variables.len()),
        ("test.yml", 1, 1, 0)
    );
    let Origin::File {
        line,
        column,
        variables,
        ..
    } = origin("apm-server.auth.anonymous.rate_limit.ip_limit")
    else {
        panic!("not from the file");
    };
    assert_eq!(
        (line, column, variables.as_slice()),
        (3, 3, ["IPS".to_owned()].as_slice())
    );
    assert_eq!(loaded.config.anonymous.ip_limit, 77);
    assert_eq!(loaded.origins.len(), tollbar::config::keys().len());
    assert!(!format!("{loaded:?}").contains("abc"));
}

#[test]
fn a_token_file_is_found_beside_the_configuration_and_is_among_the_files_to_watch() {
    let temp = Temp::new(
        "beside",
        "apm-server.auth.secret_token_file: secrets/tokens\n",
    );
    fs::create_dir(temp.0.join("secrets")).unwrap();
    fs::write(temp.0.join("secrets/tokens"), "one\ntwo\n").unwrap();
    let loaded = Config::load(temp.file()).unwrap();
    assert_eq!(loaded.config.secret_tokens.len(), 2);
    assert_eq!(loaded.files, [temp.file(), temp.0.join("secrets/tokens")]);

    fs::remove_file(temp.0.join("secrets/tokens")).unwrap();
    let error = Config::load(temp.file()).unwrap_err();
    assert_eq!(error.files, [temp.file(), temp.0.join("secrets/tokens")]);
    assert!(
        error.problems[0].found.contains("secrets/tokens"),
        "{error}"
    );
}

#[test]
fn files_that_cannot_be_read_are_problems() {
    let temp = Temp::new("unreadable", b"a: 1\nb: \xc3\xbc\xff\n");
    let error = Config::load(temp.file()).unwrap_err();
    let problem = &error.problems[0];
    assert_eq!((problem.line, problem.column), (Some(2), Some(5)));
    assert_eq!(problem.found, "bytes that are not UTF-8");

    for (path, found) in [
        (temp.0.join("missing.yml"), "No such file"),
        (temp.0.clone(), "directory"),
    ] {
        let error = Config::load(&path).unwrap_err();
        assert_eq!(error.problems.len(), 1);
        assert_eq!(error.problems[0].file, Some(path.display().to_string()));
        assert_eq!(error.problems[0].line, None);
        assert!(error.problems[0].found.contains(found), "{error}");
    }
}

#[test]
fn a_file_that_is_too_large_or_never_ends_is_a_problem() {
    let most = "#".repeat(MAX_FILE_SIZE);
    assert!(parse(&most).is_ok());
    let error = parse(&(most + "#")).unwrap_err();
    assert!(
        error.problems[0].found.contains("larger than 1 MiB"),
        "{error}"
    );
    assert!(Config::load("/dev/zero").is_err());
    assert!(parse("apm-server.auth.secret_token_file: /dev/zero").is_err());
}

/// Files that cost little to write and might cost much to read.
#[test]
fn hostile_files_are_answered_quickly() {
    let half = MAX_FILE_SIZE / 2;
    let laughs = |inner: &str| {
        let mut yaml = format!("a0: &a0 {inner}\n");
        for i in 1..60 {
            yaml += &format!(
                "a{i}: &a{i} [{}]\n",
                vec![format!("*a{}", i - 1); 10].join(", ")
            );
        }
        yaml
    };
    let mut merges = "m0: &m0 {x: 1}\n".to_owned();
    for i in 1..60 {
        merges += &format!(
            "m{i}: &m{i} {{<<: [{}]}}\n",
            vec![format!("*m{}", i - 1); 10].join(", ")
        );
    }
    let wide: String = (0..40_000).map(|i| format!("k{i}: 1, ")).collect();
    for (name, yaml) in [
        (
            "lists of aliases of lists",
            laughs("[x]") + "apm-server.auth.secret_token: *a59\n",
        ),
        (
            "privileges of aliases",
            laughs("x") + "apm-server.auth.api_key.keys: [{id: a, hash: b, privileges: *a59}]\n",
        ),
        (
            "merges of merges",
            merges + "apm-server.auth:\n  <<: *m59\n",
        ),
        (
            "a wide mapping merged often",
            format!(
                "w: &w {{{wide}}}\napm-server.auth: {{<<: [{}]}}\n",
                vec!["*w"; half / 8].join(", ")
            ),
        ),
        (
            "a long token many times",
            format!(
                "t: &t {}\napm-server.auth.secret_token: [{}]\n",
                "x".repeat(half),
                vec!["*t"; half / 8].join(", ")
            ),
        ),
        (
            "unknown keys",
            "apm-server.auth:\n".to_owned()
                + &(0..80_000)
                    .map(|i| format!("  k{i}:\n"))
                    .collect::<String>(),
        ),
        (
            "near misses",
            (0..80_000).map(|i| format!("tollba{i}:\n")).collect(),
        ),
        (
            "a long key",
            format!(
                "tollbar.{}: 1\napm-serve.{}: 1\n",
                "x".repeat(half),
                "y".repeat(half - 50)
            ),
        ),
        (
            "tokens",
            format!(
                "apm-server.auth.secret_token: [{}]\n",
                (0..100_000).map(|i| format!("{i},")).collect::<String>()
            ),
        ),
        (
            "expressions",
            format!(
                "apm-server.auth.secret_token: '{}'\n",
                "${A:".repeat(half / 4)
            ),
        ),
        (
            "nested expressions",
            format!(
                "apm-server.auth.secret_token: '{}{}'\n",
                "${A:".repeat(half / 8),
                "}".repeat(half / 8)
            ),
        ),
        (
            "commas",
            format!("tollbar.trusted_proxies: \"{}\"\n", ",".repeat(half)),
        ),
        (
            "anchors",
            (0..50_000).map(|i| format!("k{i}: &a{i} x\n")).collect(),
        ),
        (
            "open brackets",
            "apm-server: ".to_owned() + &"[".repeat(half),
        ),
        ("blanks", " ".repeat(half) + "x"),
        ("one line of colons", ": ".repeat(half / 2)),
        ("question marks", "? ".repeat(half / 2)),
        ("quotes", "'".repeat(half)),
        ("directives", "%TAG ! a:\n".repeat(half / 10)),
    ] {
        assert!(yaml.len() <= MAX_FILE_SIZE, "{name}: {} bytes", yaml.len());
        let start = std::time::Instant::now();
        let outcome = parse(&yaml);
        // Generous, as tests run unoptimised and beside others; without bounds these take minutes.
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{name} took {:?}",
            start.elapsed()
        );
        if let Err(error) = outcome {
            assert!((1..=1000).contains(&error.problems.len()), "{name}");
        }
    }
}
