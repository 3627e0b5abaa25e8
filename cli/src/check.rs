//! `tollbar check-config`: the effective configuration with its origins, or every problem.
//!
//! Invariant: values come from [`Key::effective`](tollbar::config::Key::effective) only, which masks secrets.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::Serialize;
use tollbar::config::{Config, ConfigError, Loaded, MAX_FILE_SIZE, Origin, Problem, Warning, keys};
use zeroize::Zeroizing;

use crate::{CheckConfig, Error, Format};

/// What messages call standard input.
const STDIN: &str = "<stdin>";

pub fn run(args: &CheckConfig) -> Result<u8, Error> {
    let result = match args.file == Path::new("-") {
        true => from_stdin(),
        false => Config::load(&args.file),
    };
    let result = result.and_then(|loaded| loaded.check_certificates().map(|()| loaded));
    let strict = args.strict
        && result
            .as_ref()
            .is_ok_and(|loaded| !loaded.warnings.is_empty());
    match args.format {
        Format::Text => text(&result)?,
        Format::Json => json(&result)?,
    }
    Ok(match result {
        Err(_) => 2,
        Ok(_) if strict => 1,
        Ok(_) => 0,
    })
}

/// Relative paths of the text begin at the working directory.
fn from_stdin() -> Result<Loaded, ConfigError> {
    let most = MAX_FILE_SIZE + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    // What was read before a failure is checked; that it is incomplete shows there.
    let _ = io::stdin().take(most as u64).read_to_end(&mut bytes);
    let env = |variable: &str| std::env::var(variable).ok();
    Config::parse_bytes(&bytes, STDIN, &env, None)
}

fn text(result: &Result<Loaded, ConfigError>) -> Result<(), Error> {
    let loaded = match result {
        Ok(loaded) => loaded,
        Err(error) => {
            for problem in &error.problems {
                writeln!(io::stderr(), "{problem}")?;
            }
            return Ok(());
        }
    };
    for warning in &loaded.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    let mut out = io::stdout().lock();
    for key in keys() {
        let line = format!("{}: {}", key.name(), key.effective(&loaded.config));
        let origin = loaded.origins.get(key.name()).unwrap_or(&Origin::Default);
        writeln!(out, "{line:<72} # {}", origin_in_words(origin))?;
    }
    writeln!(out, "# {}", who_gets_in(&loaded.config))?;
    Ok(())
}

fn origin_in_words(origin: &Origin) -> String {
    match origin {
        Origin::File {
            file,
            line,
            column,
            variables,
            ..
        } => {
            let from = match variables.is_empty() {
                true => String::new(),
                false => format!(", from ${{{}}}", variables.join("}, ${")),
            };
            format!("{file}:{line}:{column}{from}")
        }
        _ => "default".into(),
    }
}

/// The consequence that is spread over several keys.
fn who_gets_in(config: &Config) -> &'static str {
    match (config.auth_configured(), config.anonymous_enabled()) {
        (false, _) => "no authentication is configured: everybody gets in, without a rate limit",
        (true, true) => "requests without a credential are anonymous: allowed, and rate limited",
        (true, false) => "requests without a credential are refused",
    }
}

#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_configured: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_enabled: Option<bool>,
    keys: Vec<KeyReport<'a>>,
    warnings: Vec<Note<'a>>,
    problems: Vec<Note<'a>>,
}

#[derive(Serialize)]
struct KeyReport<'a> {
    key: &'a str,
    /// As it would stand in a file.
    value: String,
    secret: bool,
    #[serde(flatten)]
    origin: OriginReport<'a>,
}

#[derive(Serialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
enum OriginReport<'a> {
    Default,
    File {
        file: &'a str,
        line: u32,
        column: u32,
        variables: &'a [String],
    },
}

/// A problem or a warning.
#[derive(Serialize)]
struct Note<'a> {
    file: Option<&'a str>,
    line: Option<u32>,
    column: Option<u32>,
    key: Option<&'a str>,
    /// The whole line, as the text format prints it.
    message: String,
}

fn json(result: &Result<Loaded, ConfigError>) -> Result<(), Error> {
    let report = match result {
        Ok(loaded) => Report {
            valid: true,
            auth_configured: Some(loaded.config.auth_configured()),
            anonymous_enabled: Some(loaded.config.anonymous_enabled()),
            keys: keys_of(loaded),
            warnings: loaded.warnings.iter().map(warning).collect(),
            problems: Vec::new(),
        },
        Err(error) => Report {
            valid: false,
            auth_configured: None,
            anonymous_enabled: None,
            keys: Vec::new(),
            warnings: Vec::new(),
            problems: error.problems.iter().map(problem).collect(),
        },
    };
    let mut out = io::stdout().lock();
    // Written whole: a reader that leaves early is told from other failures.
    out.write_all(&serde_json::to_vec_pretty(&report)?)?;
    writeln!(out)?;
    Ok(())
}

fn keys_of(loaded: &Loaded) -> Vec<KeyReport<'_>> {
    keys()
        .iter()
        .map(|key| KeyReport {
            key: key.name(),
            value: key.effective(&loaded.config),
            secret: key.is_secret(),
            origin: match loaded.origins.get(key.name()) {
                Some(Origin::File {
                    file,
                    line,
                    column,
                    variables,
                    ..
                }) => OriginReport::File {
                    file,
                    line: *line,
                    column: *column,
                    variables,
                },
                _ => OriginReport::Default,
            },
        })
        .collect()
}

fn warning(warning: &Warning) -> Note<'_> {
    Note {
        file: Some(&warning.file),
        line: Some(warning.line),
        column: Some(warning.column),
        key: Some(&warning.key),
        message: warning.to_string(),
    }
}

fn problem(problem: &Problem) -> Note<'_> {
    Note {
        file: problem.file.as_deref(),
        line: problem.line,
        column: problem.column,
        key: problem.key.as_deref(),
        message: problem.to_string(),
    }
}
