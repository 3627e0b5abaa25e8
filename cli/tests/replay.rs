//! `tollbar replay`, run as a user runs it: what is refused, what is told of it, and what can go wrong.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CONFIG: &str = "\
apm-server.auth:
  secret_token: hunter2
  anonymous: {enabled: true, rate_limit: {ip_limit: 16, event_limit: 2}}
";

/// A folder of its own for each test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("apm-server.yml"), CONFIG).unwrap();
    folder
}

fn replay(folder: &Path, log: &str, more: &[&str]) -> Output {
    fs::write(folder.join("access.log"), log).unwrap();
    Command::new(env!("CARGO_BIN_EXE_tollbar"))
        .current_dir(folder)
        .args(["replay", "access.log", "--config", "apm-server.yml"])
        .args(more)
        .output()
        .unwrap()
}

/// What stands in the output's table under this name.
fn figure(output: &Output, name: &str) -> String {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains(name)).unwrap();
    let cells: Vec<&str> = line.split(['│', '┆']).map(str::trim).collect();
    cells[2].to_owned()
}

#[test]
fn a_flood_is_refused_to_the_event_and_a_quiet_client_is_not() {
    let folder = folder("flood");
    let mut log = String::new();
    for second in 0..10 {
        for _ in 0..5 {
            writeln!(
                log,
                "203.0.113.9 - - [25/Nov/2026:12:00:{second:02} +0000] \"POST / HTTP/1.1\" 202 0"
            )
            .unwrap();
        }
        writeln!(
            log,
            "198.51.100.7 - - [25/Nov/2026:12:00:{second:02} +0000] \"POST / HTTP/1.1\" 202 0"
        )
        .unwrap();
    }
    let output = replay(&folder, &log, &["--html", "report.html"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // Of 50 requests in 9 seconds: a burst of 6, and 2 a second after.
    assert_eq!(figure(&output, "events refused"), "26 (43.33 %)");
    assert_eq!(figure(&output, "requests refused"), "26 (43.33 %)");
    assert_eq!(figure(&output, "203.0.113.9"), "26");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!text.contains("198.51.100.7"), "nothing of it was refused");
    // Twice the limit: a burst of 12, and 4 a second.
    let twice = text
        .lines()
        .find(|line| line.contains(" 16 ") && line.contains(" 4 "))
        .unwrap();
    assert!(twice.contains(" 2 "), "{twice}");
    let html = fs::read_to_string(folder.join("report.html")).unwrap();
    assert_eq!(html.matches("<svg").count(), 2);
    assert!(
        html.contains("<td>203.0.113.9</td><td>26</td><td>24</td>"),
        "{html}"
    );
    assert!(!html.contains("hunter2"));
}

#[test]
fn a_stream_is_cut_off_at_the_first_batch_that_does_not_fit() {
    let folder = folder("cut");
    let line = r#"{"time": "2026-11-25T12:00:00Z", "ip": "203.0.113.9", "events": 25}"#;
    let output = replay(&folder, line, &["--event-limit", "8", "--no-alternatives"]);
    // The request and two batches of ten fit a burst of 24, the last five do not.
    assert_eq!(figure(&output, "requests cut off"), "1 (100.00 %)");
    assert_eq!(figure(&output, "events refused"), "5 (19.23 %)");
    assert!(
        !String::from_utf8(output.stdout)
            .unwrap()
            .contains("Other limits")
    );
}

#[test]
fn whatever_is_wrong_is_said() {
    let folder = folder("wrong");
    let output = replay(&folder, "nonsense\n\n", &[]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("nothing to replay: 1 lines tell of no request"),
        "{said}"
    );
    assert!(
        said.contains("line 1 does not begin with an IP address"),
        "{said}"
    );

    let good = "{\"time\": 1, \"ip\": \"203.0.113.9\"}\nnonsense\n";
    let output = replay(&folder, good, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("warning: 1 lines tell of no request")
    );

    let output = replay(&folder, good, &["--ip-limit", "0"]);
    assert_eq!(output.status.code(), Some(2));

    fs::write(
        folder.join("apm-server.yml"),
        "apm-server.auth.secret_tokken: x",
    )
    .unwrap();
    let output = replay(&folder, good, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("secret_token")
    );

    fs::write(folder.join("apm-server.yml"), "").unwrap();
    let output = replay(&folder, good, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("note: no authentication is configured"),
        "{said}"
    );

    let output = Command::new(env!("CARGO_BIN_EXE_tollbar"))
        .current_dir(&folder)
        .args(["replay", "missing.log", "--config", "apm-server.yml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("missing.log: No such file")
    );
}
