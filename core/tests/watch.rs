//! Watching real files: however a file is replaced, the engine takes it, and a bad one is refused and recorded once.
//!
//! Nothing is polled here except where a test says so: what is noticed is noticed by events.

#![cfg(all(feature = "watch", unix))]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tollbar::{Engine, Question, ReloadOutcome, Request, WatchError, WatchOptions, Watcher};

const EVENTS_ONLY: WatchOptions = WatchOptions {
    debounce: Duration::from_millis(20),
    poll: None,
};

struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("tollbar-watch-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn yaml(token: &str) -> String {
    format!("apm-server:\n  auth:\n    secret_token: {token}\n")
}

fn watched(file: &Path) -> (Arc<Engine>, Watcher) {
    let engine = Arc::new(Engine::from_file(file).unwrap());
    let watcher = engine.watch(EVENTS_ONLY).unwrap();
    (engine, watcher)
}

fn accepts(engine: &Engine, token: &str) -> bool {
    let header = format!("Bearer {token}");
    let request = Request {
        authorization: Some(header.as_bytes()),
        ..Request::from_peer([203, 0, 113, 9].into())
    };
    engine.check(&request, &Question::default(), None).allowed()
}

/// Waits until it holds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn swapped(engine: &Engine, from: &str, to: &str) {
    eventually(&format!("{to} instead of {from}"), || {
        accepts(engine, to) && !accepts(engine, from)
    });
}

#[test]
fn a_file_that_is_written_in_place() {
    let temp = Temp::new("in-place");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let (engine, _watcher) = watched(&file);
    for (from, to) in [("one", "two"), ("two", "one")] {
        temp.write("apm-server.yml", &yaml(to));
        swapped(&engine, from, to);
    }
    let reloads = engine.stats().reloads;
    let ReloadOutcome::Taken { changed, .. } = &reloads.last().unwrap().outcome else {
        panic!("{reloads:?}");
    };
    assert_eq!(changed, &["apm-server.auth.secret_token"]);
}

#[test]
fn a_file_that_is_written_slowly_is_read_when_it_is_quiet() {
    let temp = Temp::new("slow");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let engine = Arc::new(Engine::from_file(&file).unwrap());
    let _watcher = engine
        .watch(WatchOptions {
            debounce: Duration::from_millis(300),
            poll: None,
        })
        .unwrap();
    let text = yaml("two");
    let mut slow = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&file)
        .unwrap();
    for part in text.as_bytes().chunks(12) {
        slow.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(slow);
    swapped(&engine, "one", "two");
    let stats = engine.stats();
    assert_eq!((stats.generation, stats.reload_errors), (2, 0), "{stats:?}");
}

#[test]
fn a_file_that_an_editor_renames_over() {
    let temp = Temp::new("rename");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let (engine, _watcher) = watched(&file);
    for (from, to) in [("one", "two"), ("two", "three"), ("three", "one")] {
        // The file before is kept aside, as vim does.
        fs::rename(&file, temp.path("apm-server.yml~")).unwrap();
        let new = temp.write(".apm-server.yml.swp", &yaml(to));
        fs::rename(new, &file).unwrap();
        swapped(&engine, from, to);
    }
}

#[test]
fn a_file_that_disappears_and_comes_back() {
    let temp = Temp::new("back");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let (engine, _watcher) = watched(&file);
    fs::remove_file(&file).unwrap();
    eventually("the loss is recorded", || engine.stats().reload_errors == 1);
    assert!(accepts(&engine, "one"));
    temp.write("apm-server.yml", &yaml("two"));
    swapped(&engine, "one", "two");
}

#[test]
fn a_folder_that_disappears_and_comes_back() {
    let temp = Temp::new("folder");
    let folder = temp.path("etc");
    fs::create_dir(&folder).unwrap();
    let file = temp.write("etc/apm-server.yml", &yaml("one"));
    let (engine, _watcher) = watched(&file);
    for (round, (from, to)) in (1..).zip([("one", "two"), ("two", "three")]) {
        fs::remove_dir_all(&folder).unwrap();
        eventually("the loss is recorded", || {
            engine.stats().reload_errors == round
        });
        fs::create_dir(&folder).unwrap();
        temp.write("etc/apm-server.yml", &yaml(to));
        swapped(&engine, from, to);
    }
}

/// A mounted ConfigMap or Secret: `name -> ..data/name`, `..data -> ..<version>`, and `..data` is renamed over.
fn publish(mount: &Path, version: &str, files: &[(&str, &str)]) {
    let folder = mount.join(format!("..{version}"));
    fs::create_dir(&folder).unwrap();
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
        let link = mount.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    let before = fs::read_link(mount.join("..data")).ok();
    symlink(format!("..{version}"), mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    if let Some(before) = before {
        fs::remove_dir_all(mount.join(before)).unwrap();
    }
}

#[test]
fn a_configuration_and_its_tokens_that_kubernetes_swaps() {
    let temp = Temp::new("kubernetes");
    let (config, secret) = (temp.path("config"), temp.path("secret"));
    fs::create_dir(&config).unwrap();
    fs::create_dir(&secret).unwrap();
    let yaml = |limit: u32| {
        format!(
            "apm-server.auth:\n  secret_token_file: ../secret/tokens\n  anonymous.rate_limit.ip_limit: {limit}\n"
        )
    };
    publish(&config, "1", &[("apm-server.yml", &yaml(10))]);
    publish(&secret, "1", &[("tokens", "one\n")]);
    let (engine, _watcher) = watched(&config.join("apm-server.yml"));
    for (version, (from, to)) in (2..).zip([("one", "two"), ("two", "three"), ("three", "four")]) {
        publish(&secret, &version.to_string(), &[("tokens", to)]);
        swapped(&engine, from, to);
        publish(
            &config,
            &version.to_string(),
            &[("apm-server.yml", &yaml(version))],
        );
        eventually("the limit", || engine.stats().ip_limit == version);
    }
    assert_eq!(engine.stats().reload_errors, 0);
}

#[test]
fn a_token_file_beside_the_configuration_and_one_that_is_named_later() {
    let temp = Temp::new("tokens");
    fs::create_dir(temp.path("elsewhere")).unwrap();
    let file = temp.write(
        "apm-server.yml",
        "apm-server.auth.secret_token_file: tokens",
    );
    temp.write("tokens", "one");
    temp.write("elsewhere/tokens", "three");
    let (engine, _watcher) = watched(&file);
    temp.write("tokens", "two\n");
    swapped(&engine, "one", "two");
    temp.write(
        "apm-server.yml",
        "apm-server.auth.secret_token_file: elsewhere/tokens",
    );
    swapped(&engine, "two", "three");
    temp.write("elsewhere/tokens", "four");
    swapped(&engine, "three", "four");
}

#[test]
fn a_bad_file_is_recorded_once_leaves_the_old_one_and_is_tried_again_when_it_changes() {
    let temp = Temp::new("bad");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let (engine, _watcher) = watched(&file);
    temp.write("apm-server.yml", "apm-server.auth.secret_tokn: two");
    eventually("the error is recorded", || {
        engine.stats().reload_errors == 1
    });
    assert!(accepts(&engine, "one") && !accepts(&engine, "two"));
    // Touched, but no better: nothing new to say.
    temp.write("apm-server.yml", "apm-server.auth.secret_tokn: two");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(engine.stats().reload_errors, 1);
    // A token file that is missing is the next problem, and its coming is noticed, though it never was in force.
    temp.write(
        "apm-server.yml",
        "apm-server.auth.secret_token_file: no/such/tokens",
    );
    eventually("the next error", || engine.stats().reload_errors == 2);
    fs::create_dir_all(temp.path("no/such")).unwrap();
    temp.write("no/such/tokens", "two");
    swapped(&engine, "one", "two");
    let reloads = engine.stats().reloads;
    assert_eq!(reloads.len(), 3, "{reloads:?}");
    assert_eq!(reloads[1].generation, 1);
    assert_eq!(reloads[2].generation, 2);
}

#[test]
fn a_file_that_is_cut_short_opens_no_door() {
    let temp = Temp::new("cut");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let (engine, _watcher) = watched(&file);
    for (errors, cut) in (1..).zip(["apm-server:\n", "apm-server:\n  auth:\n    sec"]) {
        temp.write("apm-server.yml", cut);
        eventually("the error", || engine.stats().reload_errors == errors);
        assert!(accepts(&engine, "one") && !accepts(&engine, "two"));
    }
    engine.reload_yaml("").unwrap();
    assert!(accepts(&engine, "two"), "who asks for it gets it");
}

#[test]
fn what_says_the_same_is_no_reload() {
    let temp = Temp::new("same");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let (engine, watcher) = watched(&file);
    temp.write("apm-server.yml", &format!("# a comment\n{}", yaml("one")));
    temp.write("other.yml", "what: ever");
    std::thread::sleep(Duration::from_millis(300));
    drop(watcher);
    let stats = engine.stats();
    assert_eq!((stats.generation, stats.reloads.len()), (1, 0), "{stats:?}");
}

#[test]
fn what_changed_before_it_was_watched_is_noticed() {
    let temp = Temp::new("before");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let engine = Arc::new(Engine::from_file(&file).unwrap());
    temp.write("apm-server.yml", &yaml("two"));
    let _watcher = engine.watch(EVENTS_ONLY).unwrap();
    swapped(&engine, "one", "two");
}

#[test]
fn polling_notices_what_no_event_tells() {
    let temp = Temp::new("poll");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let engine = Arc::new(Engine::from_file(&file).unwrap());
    let _watcher = engine
        .watch(WatchOptions {
            poll: Some(Duration::from_millis(50)),
            ..EVENTS_ONLY
        })
        .unwrap();
    // A program's own doing makes no event: the engine reads another file, whose folder nobody watches yet.
    let other = Temp::new("poll-other");
    let file = other.write("apm-server.yml", &yaml("two"));
    engine.reload_file(Some(&file)).unwrap();
    other.write("apm-server.yml", &yaml("three"));
    swapped(&engine, "two", "three");
}

#[test]
fn watching_ends_with_its_guard_and_does_not_keep_the_engine() {
    let temp = Temp::new("end");
    let file = temp.write("apm-server.yml", &yaml("one"));
    let (engine, watcher) = watched(&file);
    drop(watcher);
    temp.write("apm-server.yml", &yaml("two"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(accepts(&engine, "one"));
    let watcher = engine.watch(EVENTS_ONLY).unwrap();
    swapped(&engine, "one", "two");
    let weak = Arc::downgrade(&engine);
    drop(engine);
    eventually("the engine is gone", || weak.strong_count() == 0);
    drop(watcher);
}

#[test]
fn an_engine_without_a_file_has_nothing_to_watch() {
    let engine = Arc::new(Engine::from_yaml("").unwrap());
    assert!(matches!(engine.watch(EVENTS_ONLY), Err(WatchError::NoFile)));
}
