//! What all readers of values share: texts of the tree, expanded; problems and warnings with their place.
//!
//! Invariant: everything here that becomes part of a message names kinds and places, and quotes only what is neither a secret's
//! nor the environment's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use zeroize::Zeroizing;

use super::env::{self, Lookup};
use super::error::{Problem, Warning, quoted};
use super::flatten::{Assignment, Finding, kind_of};
use super::keys::{Key, keys};
use super::model::Config;
use super::parse::Origin;
use super::yaml::{Node, Pos, Value};

/// A configuration in the making.
pub(super) struct Draft {
    pub config: Config,
    /// Of hosts that name none.
    pub protocol: String,
    pub path: String,
}

/// What the text is called, and what surrounds it.
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub env: Lookup<'a>,
    /// Where relative paths begin; `None`: the process's working directory.
    pub base: Option<&'a Path>,
}

/// A text with its place, after expansion.
pub(super) struct Text {
    pub text: Zeroizing<String>,
    pub pos: Pos,
    /// The variables that it is expanded from.
    pub variables: Vec<String>,
}

/// What a value turned out to be.
pub(super) enum Read<T> {
    Value(T),
    /// Nothing: the default holds.
    Unset,
    /// Not what is accepted; the problem has been noted.
    Failed,
}

/// Reads one document and gathers all that there is to say about it.
pub(super) struct Reader<'a> {
    pub source: Source<'a>,
    pub draft: Draft,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Warning>,
    pub origins: BTreeMap<&'static str, Origin>,
    pub files: Vec<PathBuf>,
    /// How many bytes of values have been read so far.
    expanded: usize,
}

/// How many bytes all values may have together: aliases can make them more than the file.
const MAX_EXPANDED: usize = 4 << 20;

impl<'a> Reader<'a> {
    pub fn new(source: Source<'a>) -> Self {
        Self {
            source,
            draft: Draft {
                config: Config::default(),
                protocol: "http".into(),
                path: String::new(),
            },
            problems: Vec::new(),
            warnings: Vec::new(),
            origins: keys().iter().map(|k| (k.name, Origin::Default)).collect(),
            files: Vec::new(),
            expanded: 0,
        }
    }

    /// The texts of a list, or the one text that stands in its place; and whether some of them could not be read.
    pub fn items(&mut self, a: &Assignment) -> Read<(Vec<Text>, bool)> {
        let items = match &a.node.value {
            Value::List(items) if !a.node.foreign_tag => items,
            _ => {
                return self
                    .text(a, &a.path, &a.node)
                    .map(|text| (vec![text], false));
            }
        };
        let mut texts = Vec::new();
        let mut failed = false;
        for item in items {
            match self.text(a, &a.path, item) {
                Read::Value(text) => texts.push(text),
                Read::Failed => failed = true,
                Read::Unset => {
                    failed = true;
                    self.wrong(a, item.pos, "an entry without a value".into(), None);
                }
            }
        }
        Read::Value((texts, failed))
    }

    /// The text of a single value, expanded.
    pub fn text(&mut self, a: &Assignment, path: &str, node: &Rc<Node>) -> Read<Text> {
        let scalar = match &node.value {
            _ if node.is_null() => return Read::Unset,
            Value::Scalar { text, .. } if !node.foreign_tag => text,
            _ => {
                self.wrong_at(a, path, node.pos, kind_of(node), None);
                return Read::Failed;
            }
        };
        if self.expanded > MAX_EXPANDED {
            // The problem has been noted; the rest is not worth the time.
            return Read::Failed;
        }
        let expanded = match env::expand(scalar, self.source.env) {
            Ok(expanded) => expanded,
            Err(e) => {
                self.wrong_at(a, path, node.pos, e.found(), Some(e.hint()));
                return Read::Failed;
            }
        };
        self.expanded = self.expanded.saturating_add(expanded.text.len());
        if self.expanded > MAX_EXPANDED {
            let found = format!("more than {MAX_EXPANDED} bytes of values, counting aliases");
            self.wrong_at(a, path, node.pos, found, None);
            return Read::Failed;
        }
        if expanded.text.is_empty() && !expanded.variables.is_empty() {
            if a.key.is_secret() {
                let variables = expanded.variables.join(", ");
                let message =
                    format!("is not set, as {variables} is not set and the default is empty");
                self.warn(node.pos, path, message);
            }
            return Read::Unset;
        }
        Read::Value(Text {
            text: expanded.text,
            pos: node.pos,
            variables: expanded.variables,
        })
    }

    pub fn wrong(&mut self, a: &Assignment, pos: Pos, found: String, hint: Option<String>) {
        self.wrong_at(a, &a.path, pos, found, hint);
    }

    pub fn wrong_at(
        &mut self,
        a: &Assignment,
        path: &str,
        pos: Pos,
        found: String,
        hint: Option<String>,
    ) {
        self.finding(Finding {
            pos,
            path: Some(path.to_owned()),
            found,
            accepted: a.key.accepted(),
            hint,
        });
    }

    pub fn finding(&mut self, finding: Finding) {
        self.problems.push(Problem {
            file: Some(self.source.name.to_owned()),
            line: Some(finding.pos.line),
            column: Some(finding.pos.column),
            key: finding.path,
            found: finding.found,
            accepted: finding.accepted,
            hint: finding.hint,
        });
    }

    pub fn warn(&mut self, pos: Pos, path: &str, message: String) {
        self.warnings.push(Warning {
            file: self.source.name.to_owned(),
            line: pos.line,
            column: pos.column,
            key: path.to_owned(),
            message,
        });
    }

    pub fn base(&self) -> PathBuf {
        self.source.base.unwrap_or(Path::new("")).to_owned()
    }
}

impl<T> Read<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Self::Value(value) => Read::Value(f(value)),
            Self::Unset => Read::Unset,
            Self::Failed => Read::Failed,
        }
    }
}

/// How a value may stand in a problem.
pub(super) fn shown(part: &str, text: &Text, key: &Key) -> String {
    if part.is_empty() {
        "an empty string".into()
    } else if key.is_secret() {
        "a single value".into()
    } else if text.variables.is_empty() {
        quoted(part)
    } else {
        // It may be a secret that went to the wrong key.
        format!(
            "a value that comes from ${{{}}}",
            text.variables.join("}, ${")
        )
    }
}
