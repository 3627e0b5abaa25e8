//! `tollbar config-reference`: the reference of all keys in the documentation, made from the table that the parser uses.

use std::fmt::Write as _;

use tollbar::config::{Key, keys};

/// What stands above the keys.
const INTRODUCTION: &str = include_str!("reference.md");

/// docs/guide/configuration.md
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for key in keys() {
        // Writing to a string does not fail.
        let _ = write_key(&mut page, key);
    }
    page
}

fn write_key(page: &mut String, key: &Key) -> std::fmt::Result {
    writeln!(page, "\n### `{}`\n\n{}\n", key.name(), key.doc())?;
    writeln!(page, "- default: `{}`", key.default())?;
    writeln!(page, "- accepted: {}", key.accepted())?;
    if let Some(deprecated) = key.deprecated_name() {
        writeln!(page, "- deprecated name: `{deprecated}`")?;
    }
    if key.is_secret() {
        writeln!(page, "- secret: never shown")?;
    }
    Ok(())
}
