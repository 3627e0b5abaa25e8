//! The flat list of keys and values -> a [`Config`], driven by the table of keys.
//!
//! Every value is looked at, whatever is wrong with the others: a file's problems come all at once. The values of secret keys
//! and everything that came from the environment are never quoted.

use std::path::Path;

use zeroize::Zeroizing;

use super::api_key::Pem;
use super::env;
use super::error::{Problem, quoted};
use super::flatten::{Assignment, Finding, flatten};
use super::keys::{Key, Kind, keys};
use super::model::SecretToken;
use super::reader::{Read, Reader, Text, shown};
use super::values::{self, Mismatch};
use super::yaml::{self, Node, Value};
use super::{load, local_keys, tokens};

/// Where the value of a key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The key is not set.
    Default,
    /// The key is set in a file.
    #[non_exhaustive]
    File {
        /// The file, or the name that was given to the text.
        file: String,
        /// The line of the key, from 1.
        line: u32,
        /// The column of the key, from 1, in characters.
        column: u32,
        /// The names of the environment variables that its value is expanded from; mostly none.
        variables: Vec<String>,
    },
}

impl Reader<'_> {
    pub fn read(&mut self, text: &str) {
        match yaml::read(text) {
            Err(e) => self.finding(Finding {
                pos: e.pos,
                path: None,
                found: e.found,
                accepted: e.accepted.into(),
                hint: e.hint.map(Into::into),
            }),
            Ok(None) => self.nobody_is_asked(&[]),
            Ok(Some(root)) => self.document(&root),
        }
    }

    fn document(&mut self, root: &Node) {
        let flat = flatten(root);
        for problem in flat.problems {
            self.finding(problem);
        }
        for (pos, path, message) in flat.warnings {
            self.warn(pos, &path, message);
        }
        for a in &flat.assignments {
            self.swallowed_secret(a);
        }
        let all = flat.assignments;
        let set: Vec<&Assignment> = all.iter().filter(|a| !a.node.is_null()).collect();
        for key in keys() {
            if let Some(assignment) = self.choose(key, &set) {
                self.assign(assignment);
            }
        }
        self.too_many_tokens(&set);
        self.unverifiable(&set);
        self.origins_with_a_path(&set);
        self.nobody_is_asked(&all);
        self.files.extend(self.draft.config.api_key.files());
        self.warnings.sort_by_key(|w| (w.line, w.column));
    }

    /// `secret_token: &tok3n` is an anchor without a value: taken as "not set" it would open the doors.
    fn swallowed_secret(&mut self, a: &Assignment) {
        if a.key.is_secret() && a.node.anchored && a.node.is_null() {
            let found = "a YAML anchor (`&…` without quotes) and no value".to_owned();
            self.wrong(
                a,
                a.node.pos,
                found,
                Some("write the value in quotes".into()),
            );
        }
    }

    /// The assignment that counts for a key. Its successor wins over a deprecated name.
    fn choose<'s>(&mut self, key: &Key, set: &[&'s Assignment]) -> Option<&'s Assignment> {
        let find = |deprecated| {
            set.iter()
                .find(|a| a.key.name == key.name && a.deprecated == deprecated)
                .copied()
        };
        let (new, old) = (find(false), find(true));
        if let Some(old) = old {
            let message = match new {
                None => format!("is deprecated; write `{}` instead", key.name),
                Some(_) => format!(
                    "is deprecated and has no effect, as its successor `{}` is set, too; remove it",
                    key.name
                ),
            };
            self.warn(old.pos, &old.path, message);
        }
        new.or(old)
    }

    fn assign(&mut self, a: &Assignment) {
        let read = match &a.key.kind {
            Kind::Bool(set) => self
                .one(a, values::boolean)
                .map(|v| set(&mut self.draft, v)),
            Kind::Int { min, max, set } => self
                .one(a, |t| values::integer(t, *min, *max))
                .map(|v| set(&mut self.draft, v)),
            Kind::Duration { max, set } => self
                .one(a, |t| values::duration(t, *max))
                .map(|v| set(&mut self.draft, v)),
            Kind::Choice(names, set) => self
                .one(a, |t| choice(t, names))
                .map(|v| set(&mut self.draft, v)),
            Kind::UrlPath(set) => self
                .one(a, values::url_path)
                .map(|v| set(&mut self.draft, v)),
            Kind::Names(set) => self.many(a, name).map(|v| set(&mut self.draft, v)),
            Kind::Texts { parse, set, .. } => self.many(a, parse).map(|v| set(&mut self.draft, v)),
            Kind::Networks(set) => self
                .many(a, values::network)
                .map(|v| set(&mut self.draft, v)),
            Kind::Hosts => {
                let (protocol, path) = (self.draft.protocol.clone(), self.draft.path.clone());
                self.many(a, |t| values::host(t, &protocol, &path))
                    .map(|v| self.draft.config.api_key.elasticsearch.hosts = v)
            }
            Kind::Pem(set) => {
                let base = self.base();
                self.one(a, |t| pem(t, &base))
                    .map(|v| set(&mut self.draft, v))
            }
            Kind::PemList(set) => {
                let base = self.base();
                self.many(a, |t| pem(t, &base))
                    .map(|v| set(&mut self.draft, v))
            }
            Kind::Tokens => self.tokens(a),
            Kind::TokenFile => self.token_file(a),
            Kind::LocalKeys => {
                local_keys::read(self, a).map(|v| self.draft.config.api_key.keys = v)
            }
        };
        if matches!(read, Read::Value(())) {
            let variables = named_variables(&a.node);
            self.origins.insert(
                a.key.name,
                Origin::File {
                    file: self.source.name.to_owned(),
                    line: a.pos.line,
                    column: a.pos.column,
                    variables,
                },
            );
        }
    }

    /// A key that takes one value.
    fn one<T>(&mut self, a: &Assignment, parse: impl Fn(&str) -> Result<T, Mismatch>) -> Read<T> {
        match self.text(a, &a.path, &a.node) {
            Read::Value(text) => self.parsed(a, &text, &text.text, &parse),
            Read::Unset => Read::Unset,
            Read::Failed => Read::Failed,
        }
    }

    /// A key that takes a list, or a text with commas.
    fn many<T>(
        &mut self,
        a: &Assignment,
        parse: impl Fn(&str) -> Result<T, Mismatch>,
    ) -> Read<Vec<T>> {
        let (texts, mut failed) = match self.items(a) {
            Read::Value(items) => items,
            Read::Unset => return Read::Unset,
            Read::Failed => return Read::Failed,
        };
        let is_list = matches!(a.node.value, Value::List(_));
        // Commas of a PEM text are its own.
        let split = !is_list && !texts.iter().any(|t| is_inline_pem(&t.text));
        let mut values = Vec::new();
        for text in &texts {
            let parts: Vec<&str> = match split {
                true => text.text.split(',').map(str::trim).collect(),
                false => vec![text.text.as_str()],
            };
            for part in parts {
                match self.parsed(a, text, part, &parse) {
                    Read::Value(value) => values.push(value),
                    Read::Unset | Read::Failed => failed = true,
                }
            }
        }
        if failed {
            Read::Failed
        } else {
            Read::Value(values)
        }
    }

    fn parsed<T>(
        &mut self,
        a: &Assignment,
        text: &Text,
        part: &str,
        parse: &impl Fn(&str) -> Result<T, Mismatch>,
    ) -> Read<T> {
        match parse(part) {
            Ok(value) => Read::Value(value),
            Err(Mismatch { found, hint }) => {
                let found = found.unwrap_or_else(|| shown(part, text, a.key));
                self.wrong(a, text.pos, found, hint);
                Read::Failed
            }
        }
    }

    fn tokens(&mut self, a: &Assignment) -> Read<()> {
        let (texts, mut failed) = match self.items(a) {
            Read::Value(items) => items,
            Read::Unset => return Read::Unset,
            Read::Failed => return Read::Failed,
        };
        if texts.is_empty() && !failed {
            let hint = "leave the key out if no token is wanted".to_owned();
            self.wrong(a, a.node.pos, "an empty list".into(), Some(hint));
            return Read::Failed;
        }
        let mut good = Vec::new();
        for text in &texts {
            match tokens::check(text.text.as_bytes()) {
                Ok(()) => good.push(SecretToken::new(text.text.as_bytes())),
                Err(why) => {
                    self.wrong(a, text.pos, why.found().into(), None);
                    failed = true;
                }
            }
        }
        if failed {
            return Read::Failed;
        }
        tokens::add(&mut self.draft.config.secret_tokens, good);
        Read::Value(())
    }

    fn token_file(&mut self, a: &Assignment) -> Read<()> {
        let text = match self.text(a, &a.path, &a.node) {
            Read::Value(text) => text,
            Read::Unset => return Read::Unset,
            Read::Failed => return Read::Failed,
        };
        if text.text.is_empty() {
            self.wrong(a, text.pos, "an empty string".into(), None);
            return Read::Failed;
        }
        let path = self.base().join(text.text.as_str());
        self.files.push(path.clone());
        let content = match load::read_file(&path) {
            Ok(content) => content,
            Err(why) => {
                let found = format!("the file {}, {why}", quoted(&path.display().to_string()));
                self.wrong(a, text.pos, found, None);
                return Read::Failed;
            }
        };
        let lines = tokens::lines(&content);
        if lines.is_empty() {
            let found = format!(
                "the file {}, in which no token stands",
                quoted(&path.display().to_string())
            );
            self.wrong(a, text.pos, found, None);
            return Read::Failed;
        }
        let mut good = Vec::new();
        let mut failed = false;
        for line in lines {
            match line {
                Ok(token) => good.push(token),
                Err(bad) => {
                    failed = true;
                    self.problems.push(Problem {
                        file: Some(path.display().to_string()),
                        line: Some(bad.line),
                        column: Some(bad.column),
                        key: Some(a.path.clone()),
                        found: bad.why.found().into(),
                        accepted: a.key.accepted(),
                        hint: None,
                    });
                }
            }
        }
        if failed {
            return Read::Failed;
        }
        tokens::add(&mut self.draft.config.secret_tokens, good);
        self.draft.config.secret_token_file = Some(path);
        Read::Value(())
    }
}

fn name(text: &str) -> Result<String, Mismatch> {
    if text.is_empty() {
        Err(Mismatch::default())
    } else {
        Ok(text.to_owned())
    }
}

fn choice<'n>(text: &str, names: &[&'n str]) -> Result<&'n str, Mismatch> {
    if let Some(name) = names.iter().find(|n| n.eq_ignore_ascii_case(text)) {
        return Ok(name);
    }
    let near = names.iter().find(|n| strsim::osa_distance(text, n) <= 2);
    Err(Mismatch {
        found: None,
        hint: near.map(|n| format!("did you mean `{n}`?")),
    })
}

fn is_inline_pem(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN ")
}

fn pem(text: &str, base: &Path) -> Result<Pem, Mismatch> {
    if text.is_empty() {
        Err(Mismatch::default())
    } else if is_inline_pem(text) {
        Ok(Pem::Inline(Zeroizing::new(text.to_owned())))
    } else {
        Ok(Pem::File(base.join(text)))
    }
}

/// The environment variables that a value names, for its origin.
fn named_variables(node: &Node) -> Vec<String> {
    let nothing = |_: &str| Some("x".to_owned());
    match &node.value {
        Value::Scalar { text, .. } => env::expand(text, &nothing)
            .map(|e| e.variables)
            .unwrap_or_default(),
        Value::List(items) => items.iter().flat_map(|i| named_variables(i)).collect(),
        Value::Map(entries) => entries
            .iter()
            .flat_map(|(_, v)| named_variables(v))
            .collect(),
    }
}
