//! The command line, run as a user runs it: output, exit codes, and that no secret is shown.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CONFIG: &str = "\
# A file of the usual kind.
output.elasticsearch.hosts: [localhost:9200]
apm-server:
  host: 0.0.0.0:8200
  auth:
    secret_token: [hunter2, \"${TOKEN}\"]
    api_key:
      enabled: true
      elasticsearch.hosts: https://es.example:9200
    anonymous.rate_limit.ip_limit: ${IPS:77}
  rum:
    enabled: true
    event_rate.limit: 10
";

fn tollbar(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollbar"))
        .args(args)
        .env("TOKEN", "hunter3")
        .env_remove("IPS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read has its reasons.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn assert_no_secret(output: &Output) {
    for secret in ["hunter2", "hunter3"] {
        assert!(!stdout(output).contains(secret) && !stderr(output).contains(secret));
    }
}

#[test]
fn the_effective_configuration_is_shown_with_origins_and_masked_secrets() {
    let output = tollbar(&["check-config", "-"], CONFIG);
    assert_eq!(code(&output), 0);
    assert_no_secret(&output);
    let expected = fs::read_to_string(snapshot("check-config.txt")).unwrap();
    assert_eq!(stdout(&output), expected);
    assert_eq!(
        stderr(&output),
        "warning: <stdin>:13:5: apm-server.rum.event_rate.limit: is deprecated; write \
         `apm-server.auth.anonymous.rate_limit.event_limit` instead\n"
    );
}

fn snapshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(name)
}

#[test]
fn json_says_the_same_for_programs() {
    let output = tollbar(&["check-config", "--format", "json", "-"], CONFIG);
    assert_eq!(code(&output), 0);
    assert_no_secret(&output);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["valid"], true);
    assert_eq!(report["anonymous_enabled"], true);
    let keys = report["keys"].as_array().unwrap();
    let names: BTreeSet<&str> = keys.iter().map(|k| k["key"].as_str().unwrap()).collect();
    assert_eq!(names.len(), tollbar::config::keys().len());
    let find = |name: &str| keys.iter().find(|k| k["key"] == name).unwrap();
    assert_eq!(
        find("apm-server.auth.secret_token"),
        &serde_json::json!({
            "key": "apm-server.auth.secret_token", "value": "[***, ***]", "secret": true,
            "origin": "file", "file": "<stdin>", "line": 6, "column": 5, "variables": ["TOKEN"],
        })
    );
    let ipv6 = find("tollbar.ipv6_prefix");
    assert_eq!(
        (&ipv6["origin"], &ipv6["value"]),
        (&"default".into(), &"64".into())
    );
    assert_eq!(report["warnings"][0]["line"], 13);
    assert_eq!(report["problems"], serde_json::json!([]));
}

#[test]
fn every_problem_is_a_line_of_standard_error_and_the_exit_code_is_2() {
    let bad = "apm-server.auth:\n  secret_tokn: hunter2\n  anonymous.enabled: maybe\n";
    let output = tollbar(&["check-config", "-"], bad);
    assert_eq!(code(&output), 2);
    assert_eq!(stdout(&output), "");
    assert_no_secret(&output);
    let lines: Vec<&str> = stderr(&output).lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("<stdin>:2:3: apm-server.auth.secret_tokn: found "));
    assert!(
        lines[0].contains("did you mean `apm-server.auth.secret_token`?"),
        "{}",
        lines[0]
    );
    assert!(lines[1].starts_with("<stdin>:3:"));

    let output = tollbar(&["check-config", "--format=json", "-"], bad);
    assert_eq!(code(&output), 2);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!(report["problems"].as_array().unwrap().len(), 2);
    assert_eq!(report["problems"][0]["line"], 2);
    assert_eq!(report["problems"][0]["message"], lines[0]);
}

#[test]
fn warnings_fail_only_if_asked_to() {
    assert_eq!(
        code(&tollbar(&["check-config", "--strict", "-"], CONFIG)),
        1
    );
    let quiet = "apm-server.auth.secret_token: x";
    assert_eq!(code(&tollbar(&["check-config", "--strict", "-"], quiet)), 0);
    // Valid, but everybody gets in.
    let open = tollbar(&["check-config", "--strict", "-"], "");
    assert_eq!(code(&open), 1);
    assert!(
        stderr(&open).starts_with(
            "warning: <stdin>:1:1: apm-server.auth: no authentication is configured: everybody gets in, without a rate limit; set "
        ),
        "{}",
        stderr(&open)
    );
}

#[test]
fn a_certificate_that_cannot_be_used_is_a_problem_with_its_place() {
    let yaml = "apm-server.auth.api_key:\n  enabled: true\n  elasticsearch:\n    hosts: https://es.example\n    \
                ssl.certificate_authorities: [no-such-folder/ca.pem]\n";
    let output = tollbar(&["check-config", "-"], yaml);
    assert_eq!((code(&output), stdout(&output)), (2, ""));
    assert!(
        stderr(&output).starts_with(
            "<stdin>:5:5: apm-server.auth.api_key.elasticsearch.ssl.certificate_authorities: found the file \"no-such-folder/ca.pem\", "
        ),
        "{}",
        stderr(&output)
    );
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn a_file_is_read_with_what_it_refers_to_and_a_missing_one_is_a_problem() {
    let folder = std::env::temp_dir().join(format!("tollbar-cli-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("apm-server.yml");
    fs::write(&file, "apm-server.auth.secret_token_file: tokens").unwrap();
    fs::write(folder.join("tokens"), "hunter2\nhunter3\n").unwrap();
    let output = tollbar(&["check-config", file.to_str().unwrap()], "");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(code(&output), 0);
    assert_no_secret(&output);
    assert!(stdout(&output).starts_with("apm-server.auth.secret_token: [***, ***]"));
    let place = format!("# {}:1:1\n", file.display());
    assert!(stdout(&output).contains(&place), "{}", stdout(&output));

    let output = tollbar(&["check-config", file.to_str().unwrap()], "");
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("cannot be read"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn who_gets_in_is_said_in_words() {
    for (yaml, said) in [
        ("", "everybody gets in"),
        ("apm-server.auth.secret_token: x", "are refused"),
        (
            "{apm-server.auth.secret_token: x, apm-server.rum.enabled: true}",
            "rate limited",
        ),
    ] {
        let output = tollbar(&["check-config", "-"], yaml);
        assert!(stdout(&output).lines().last().unwrap().contains(said));
    }
}

#[test]
fn bytes_that_are_no_text_are_a_problem() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollbar"))
        .args(["check-config", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = b"apm-server.auth.secret_token: caf\xe9\n";
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("UTF-8"), "{}", stderr(&output));
}

#[test]
fn a_secret_token_is_256_bits_that_never_come_twice() {
    let tokens: BTreeSet<String> = (0..20)
        .map(|i| {
            let args: &[&str] = if i % 2 == 0 {
                &["keygen"]
            } else {
                &["keygen", "--token"]
            };
            let output = tollbar(args, "");
            assert_eq!(code(&output), 0);
            let token = stdout(&output).strip_suffix('\n').unwrap().to_owned();
            assert_eq!(token.len(), 43);
            assert!(
                token
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            );
            token
        })
        .collect();
    assert_eq!(tokens.len(), 20);
}

/// A configuration with this entry, and whether it lets the credential in.
fn opens(entry: &str, credential: &str, action: tollbar::Action) -> bool {
    let yaml = format!("apm-server.auth.api_key: {{enabled: true, keys: [{entry}]}}");
    let engine = tollbar::Engine::from_yaml(&yaml).unwrap_or_else(|e| panic!("{e}"));
    let header = format!("ApiKey {credential}");
    let request = tollbar::Request {
        authorization: Some(header.as_bytes()),
        ..tollbar::Request::from_peer([203, 0, 113, 9].into())
    };
    let resource = tollbar::Resource::default();
    engine
        .check(
            &request,
            &tollbar::Question {
                action,
                resource,
                ..tollbar::Question::default()
            },
            None,
        )
        .allowed()
}

#[test]
fn an_api_key_opens_what_its_entry_says() {
    use tollbar::Action;
    let output = tollbar(&["keygen", "--api-key", "--id", "shop \"x\""], "");
    assert_eq!(code(&output), 3, "an id that no configuration accepts");
    assert!(
        stderr(&output).contains("the id must"),
        "{}",
        stderr(&output)
    );

    let output = tollbar(&["keygen", "--api-key"], "");
    assert_eq!(code(&output), 0);
    let find = |start: &str| {
        let line = stdout(&output)
            .lines()
            .find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("{start} in {}", stdout(&output)))
    };
    let (entry, credential) = (find("  - "), find("credential: "));
    assert!(opens(entry, credential, Action::Ingest));
    assert!(opens(entry, credential, Action::AgentConfig));
    assert!(!opens(entry, credential, Action::Sourcemap));
    assert!(!entry.contains(credential));

    let args = [
        "keygen",
        "--api-key",
        "--id=shop",
        "--privilege=sourcemap:write",
        "--format=json",
    ];
    let output = tollbar(&args, "");
    assert_eq!(code(&output), 0);
    let mut made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let other = credential;
    let credential = made["credential"].take();
    made.as_object_mut().unwrap().remove("credential");
    assert_eq!(made["id"], "shop");
    let entry = made.to_string();
    assert!(opens(
        &entry,
        credential.as_str().unwrap(),
        Action::Sourcemap
    ));
    assert!(!opens(&entry, credential.as_str().unwrap(), Action::Ingest));
    assert!(!opens(&entry, other, Action::Sourcemap));
}

#[test]
fn options_of_api_keys_need_an_api_key() {
    for args in [
        &["keygen", "--token", "--api-key"][..],
        &["keygen", "--id", "x"],
        &["keygen", "--api-key", "--privilege", "root"],
    ] {
        assert_eq!(code(&tollbar(args, "")), 2, "{args:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = tollbar(&["completions", shell], "");
        assert_eq!(code(&output), 0);
        for command in ["check-config", "keygen", "completions"] {
            assert!(stdout(&output).contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(code(&tollbar(&["completions", "tcsh"], "")), 2);
}

#[test]
fn the_reference_in_the_documentation_is_the_one_of_the_table() {
    let output = tollbar(&["config-reference"], "");
    assert_eq!(code(&output), 0);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/configuration.md");
    let page = fs::read_to_string(page).unwrap_or_default();
    assert!(
        stdout(&output) == page,
        "run: cargo run -p tollbar-cli -- config-reference > docs/guide/configuration.md"
    );
    for key in tollbar::config::keys() {
        assert!(page.contains(key.name()) && page.contains(key.doc()));
    }
}
