//! What is wrong with a configuration, and what works but deserves a word.
//!
//! Invariants: a [`ConfigError`] holds at least one problem; nothing here ever holds a secret's value.

use std::fmt;
use std::path::PathBuf;

/// Everything that is wrong with a configuration. Nothing of it has been put into force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(&self.problems))]
#[non_exhaustive]
pub struct ConfigError {
    /// Every problem, never empty, in the order of file, line and column; the first thousand where there are more.
    pub problems: Vec<Problem>,
    /// The files that were read or could not be read: when one of them changes, it is worth another try.
    pub files: Vec<PathBuf>,
}

impl ConfigError {
    /// The problems sorted, those of the file `main` first; `None` if there are none.
    pub(super) fn new(
        mut problems: Vec<Problem>,
        main: Option<&str>,
        files: Vec<PathBuf>,
    ) -> Option<Self> {
        const MOST: usize = 1000;
        if problems.is_empty() {
            return None;
        }
        // Problems without a position (an unreadable file) come first: the others may follow from them.
        problems.sort_by_key(|p| (p.file.as_deref() != main, p.line, p.column));
        problems.truncate(MOST);
        Some(Self { problems, files })
    }

    /// A file that was noticed to have changed would let everybody in.
    #[cfg(feature = "watch")]
    pub(crate) fn authentication_gone(file: &std::path::Path, files: Vec<PathBuf>) -> Self {
        let problem = Problem {
            file: Some(file.display().to_string()),
            line: None,
            column: None,
            key: None,
            found: "a file without authentication, where the configuration in force has one".into(),
            accepted: "a secret token or API keys, in a file that is reloaded because it changed"
                .into(),
            hint: Some("to let everybody in, reload it by hand or restart".into()),
        };
        Self {
            problems: vec![problem],
            files,
        }
    }

    /// An engine was asked to read its file again, but was not made from one.
    pub(crate) fn no_file_to_reload() -> Self {
        let problem = Problem {
            file: None,
            line: None,
            column: None,
            key: None,
            found: "an engine that was not made from a file".into(),
            accepted: "the path of a configuration file, or the configuration itself".into(),
            hint: None,
        };
        Self {
            problems: vec![problem],
            files: Vec::new(),
        }
    }
}

impl ConfigError {
    /// One problem with one key, of a configuration that was read before.
    pub(crate) fn of_key(key: &str, found: String, accepted: &str) -> Self {
        let problem = Problem {
            file: None,
            line: None,
            column: None,
            key: Some(key.to_owned()),
            found,
            accepted: accepted.to_owned(),
            hint: None,
        };
        Self {
            problems: vec![problem],
            files: Vec::new(),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// One thing that is wrong: where, what was found, what is accepted.
///
/// `Display` is one line: `file:line:column: key: found …; accepted …; did you mean …?`
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file, or the name that was given to the text. `None`: the configuration was built by a program.
    pub file: Option<String>,
    /// The line, from 1. `None`: the problem has no place in the file, as when it cannot be read.
    pub line: Option<u32>,
    /// The column, from 1, counted in characters.
    pub column: Option<u32>,
    /// The full dotted name of the key. `None`: the problem is the file's, not a key's.
    pub key: Option<String>,
    /// What was found. Of a secret this says what kind of value it is, never the value.
    pub found: String,
    /// What is accepted instead.
    pub accepted: String,
    /// What was probably meant, or what to do: `did you mean …?`
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        position(f, self.file.as_deref(), self.line, self.column)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        write!(f, "found {}; accepted {}", self.found, self.accepted)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Something that works but deserves a word: a deprecated key, a key without effect.
///
/// `Display` is one line: `file:line:column: key: message`
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The file, or the name that was given to the text.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, counted in characters.
    pub column: u32,
    /// The full dotted name of the key.
    pub key: String,
    /// What to know, and what to write instead.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        position(f, Some(&self.file), Some(self.line), Some(self.column))?;
        write!(f, "{}: {}", self.key, self.message)
    }
}

fn position(
    f: &mut fmt::Formatter<'_>,
    file: Option<&str>,
    line: Option<u32>,
    column: Option<u32>,
) -> fmt::Result {
    let mut any = false;
    if let Some(file) = file {
        f.write_str(file)?;
        any = true;
    }
    for number in [line, column].into_iter().flatten() {
        write!(f, ":{number}")?;
    }
    if any { f.write_str(": ") } else { Ok(()) }
}

/// How text of a file may stand in a message: on one line, without control characters, cut after 60 characters.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        if i == LONGEST {
            out.push('…');
            break;
        }
        out.extend(c.escape_debug());
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem {
            file: Some("apm-server.yml".into()),
            line: Some(3),
            column: Some(5),
            key: Some("apm-server.auth.secret_tokn".into()),
            found: "an unknown key".into(),
            accepted: "one of …".into(),
            hint: Some("did you mean `secret_token`?".into()),
        }
    }

    #[test]
    fn a_problem_is_one_line_with_place_key_found_accepted_and_hint() {
        assert_eq!(
            problem().to_string(),
            "apm-server.yml:3:5: apm-server.auth.secret_tokn: found an unknown key; accepted one of …; \
             did you mean `secret_token`?"
        );
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_and_never_none() {
        assert_eq!(ConfigError::new(vec![], None, vec![]), None);
        let early = Problem {
            line: Some(1),
            ..problem()
        };
        let other = Problem {
            file: Some("tokens".into()),
            ..early.clone()
        };
        let all = vec![other.clone(), problem(), early.clone()];
        let error = ConfigError::new(all, Some("apm-server.yml"), vec![]).unwrap();
        assert_eq!(error.problems, [early, problem(), other]);
        assert_eq!(error.to_string().lines().count(), 3);
    }

    #[test]
    fn quoted_text_stays_on_one_line_and_is_cut() {
        assert_eq!(quoted("a\nb\u{1b}"), "\"a\\nb\\u{1b}\"");
        assert!(quoted(&"x".repeat(1000)).chars().count() < 70);
    }
}
