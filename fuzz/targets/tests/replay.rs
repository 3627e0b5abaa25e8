//! Replays the corpora: whatever fuzzing has ever found worth keeping holds today.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::panic::catch_unwind;
use std::path::Path;

fn replay(name: &str) {
    let (_, target) = tollbar_fuzz_targets::TARGETS
        .into_iter()
        .find(|&(known, _)| known == name)
        .unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(name);
    let mut inputs: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "the corpus {name} is missing");
    for input in inputs {
        let data = std::fs::read(&input).unwrap();
        if catch_unwind(|| target(&data)).is_err() {
            panic!("the target {name} fails on {}", input.display());
        }
    }
}

#[test]
fn authorization_headers_of_the_corpus_mean_what_the_reference_says() {
    replay("authorization");
}

#[test]
fn calls_of_the_c_abi_in_the_corpus_are_answered_as_in_rust() {
    replay("c_abi");
}

#[test]
fn client_ip_headers_of_the_corpus_name_whom_the_reference_says() {
    replay("client_ip");
}

#[test]
fn configurations_of_the_corpus_are_answered_and_survive_printing() {
    replay("config");
}

#[test]
fn rate_limit_histories_of_the_corpus_keep_the_promises() {
    replay("ratelimit");
}

#[test]
fn reloads_of_the_corpus_are_whole_or_not_at_all() {
    replay("reload");
}

#[test]
fn any_short_input_is_an_input() {
    for (_, target) in tollbar_fuzz_targets::TARGETS {
        target(&[]);
        for byte in 0..=u8::MAX {
            target(&[byte]);
        }
    }
}
