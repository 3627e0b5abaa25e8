//! `include/tollbar.h` is what `src` says. `make header` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

const TOP: &str = include_str!("../header/top.h");
const EXAMPLE: &str = include_str!("../examples/quickstart.c");
const END: &str = include_str!("../header/end.h");

/// The example stands in a comment, without the comment at its own top.
fn top() -> String {
    let (_, code) = EXAMPLE.split_once("*/\n").unwrap();
    let lines: Vec<String> = code
        .trim_end()
        .lines()
        .map(|line| format!(" *     {line}").trim_end().to_owned())
        .collect();
    assert!(!code.contains("*/"), "a comment can't hold another one");
    TOP.replace(" * @EXAMPLE@", &lines.join("\n"))
}

fn generated() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    config.header = Some(top().trim_end().to_owned());
    let mut header = Vec::new();
    cbindgen::Builder::new()
        .with_crate(here)
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut header);
    let header = String::from_utf8(header).unwrap();
    let (body, guard) = header.rsplit_once("#endif  /* TOLLBAR_H */").unwrap();
    assert_eq!(guard.trim(), "");
    format!("{body}{END}\n#endif /* TOLLBAR_H */\n")
}

#[test]
fn the_header_is_what_the_source_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/tollbar.h");
    let generated = generated();
    if std::env::var_os("TOLLBAR_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "include/tollbar.h is out of date: run `make header`"
    );
}
