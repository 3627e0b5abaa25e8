//! The conformance vectors of configuration files, `conformance/config.json`: an array of cases.
//!
//! A case has a `yaml`, perhaps `env` (variables) and `files` (name -> content, beside the configuration), and either `ok`
//! (key -> effective value, secrets masked) with all `warnings`, or all `problems`, in order. In texts, the folder of `files` is left out.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tollbar::config::{Config, ConfigError, Loaded, keys};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    yaml: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    ok: Option<BTreeMap<String, String>>,
    #[serde(default)]
    warnings: Vec<Warning>,
    problems: Option<Vec<Problem>>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Warning {
    line: u32,
    column: u32,
    key: String,
    message: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Problem {
    /// Only where it is not the configuration itself.
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    key: Option<String>,
    found: String,
    accepted: String,
    hint: Option<String>,
}

const SOURCE: &str = "apm-server.yml";

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/config.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A folder of its own for the files of a case.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &BTreeMap<String, String>, number: usize) -> Self {
        let name = format!("tollbar-conformance-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        for (name, content) in files {
            fs::write(folder.0.join(name), content).unwrap();
        }
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(case: &Case, folder: &Path) -> Result<Loaded, ConfigError> {
    let env = |name: &str| case.env.get(name).cloned();
    Config::parse(&case.yaml, SOURCE, &env, Some(folder))
}

fn check(case: &Case, number: usize) {
    let folder = Folder::with(&case.files, number);
    let prefix = format!("{}/", folder.0.display());
    let local = |text: &str| text.replace(&prefix, "");
    let name = &case.name;
    match (run(case, &folder.0), &case.ok, &case.problems) {
        (Ok(loaded), Some(ok), None) => {
            for (key, value) in ok {
                let known = keys().iter().find(|k| k.name() == key);
                let known = known.unwrap_or_else(|| panic!("{name}: no key {key}"));
                assert_eq!(
                    &local(&known.effective(&loaded.config)),
                    value,
                    "{name}: {key}"
                );
            }
            let warnings = loaded.warnings.iter().map(|w| Warning {
                line: w.line,
                column: w.column,
                key: w.key.clone(),
                message: w.message.clone(),
            });
            assert_eq!(warnings.collect::<Vec<_>>(), case.warnings, "{name}");
            assert_eq!(
                loaded.config.validate(),
                Ok(()),
                "{name}: what a file gives is valid"
            );
            assert!(
                !format!("{loaded:?}").contains("hunter2"),
                "{name}: a secret shows"
            );
        }
        (Err(error), None, Some(expected)) => {
            let problems = error.problems.iter().map(|p| Problem {
                file: p.file.clone().map(|f| local(&f)).filter(|f| f != SOURCE),
                line: p.line,
                column: p.column,
                key: p.key.clone(),
                found: local(&p.found),
                accepted: p.accepted.clone(),
                hint: p.hint.clone(),
            });
            assert_eq!(&problems.collect::<Vec<_>>(), expected, "{name}");
            let shown = format!("{error}{error:?}");
            assert!(
                !shown.contains("hunter"),
                "{name}: a secret shows in {error}"
            );
            assert_eq!(
                error.to_string().lines().count(),
                expected.len(),
                "{name}: one line each"
            );
        }
        (Ok(_), ..) => panic!("{name}: accepted, but a problem was expected"),
        (Err(error), ..) => panic!("{name}: refused:\n{error}"),
    }
}

#[test]
fn every_configuration_file_gives_the_values_or_the_problems_of_its_vector() {
    let cases = cases();
    for (number, case) in cases.iter().enumerate() {
        check(case, number);
    }
    let good = cases.iter().filter(|c| c.ok.is_some()).count();
    assert!(
        good >= 15 && cases.len() - good >= 40,
        "vectors are missing"
    );
}
