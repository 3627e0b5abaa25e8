//! The tree of a document -> a flat list of the known keys in it and their values.
//!
//! Nested and dotted keys are mixed freely: a key's full name is the names on the way to it, joined by dots. Sections that
//! are no business of ours are not even looked into. Merge keys (`<<`) work as in YAML 1.1: what stands beside them wins.
//!
//! Invariant: the work is bounded by the file's size and [`MAX_MERGED`], however often a document merges the same mapping.

use std::collections::HashMap;
use std::rc::Rc;

use super::keys::{self, Found, Key};
use super::yaml::{Node, Pos, Value};

/// How many entries may come in through merge keys.
const MAX_MERGED: usize = 20_000;

/// A known key with its value.
pub(super) struct Assignment {
    pub key: &'static Key,
    /// The name in the file; differs from the key's own where it is deprecated.
    pub path: String,
    pub deprecated: bool,
    pub pos: Pos,
    pub node: Rc<Node>,
    /// How many merge keys lie on the way; fewer win.
    merges: u32,
}

/// A problem or warning with its place; the file's name is added by whoever knows it.
pub(super) struct Finding {
    pub pos: Pos,
    pub path: Option<String>,
    pub found: String,
    pub accepted: String,
    pub hint: Option<String>,
}

/// What a document holds for us.
#[derive(Default)]
pub(super) struct Flat {
    pub assignments: Vec<Assignment>,
    pub problems: Vec<Finding>,
    /// Place, full name, message.
    pub warnings: Vec<(Pos, String, String)>,
    /// How many entries came in through merge keys.
    merged: usize,
}

pub(super) fn flatten(root: &Node) -> Flat {
    let mut flat = Flat::default();
    if root.is_null() {
        return flat;
    }
    match &root.value {
        Value::Map(entries) if !root.foreign_tag => flat.walk(entries, "", 0),
        _ => flat.problems.push(Finding {
            pos: root.pos,
            path: None,
            found: kind_of(root),
            accepted: "a mapping of keys to values".into(),
            hint: None,
        }),
    }
    flat.settle();
    flat
}

type Entries = [(Rc<Node>, Rc<Node>)];

impl Flat {
    fn walk(&mut self, entries: &Entries, section: &str, merges: u32) {
        if merges > 0 {
            self.merged = self.merged.saturating_add(entries.len());
            if self.merged > MAX_MERGED {
                return;
            }
        }
        let mut seen: HashMap<&str, Pos> = HashMap::with_capacity(entries.len());
        for (key, value) in entries {
            let Some((name, plain)) = scalar(key) else {
                self.odd_key(key, section);
                continue;
            };
            if plain && name == "<<" {
                continue;
            }
            let path = join(section, name);
            let found = keys::find(&path);
            if let Some(first) = seen.insert(name, key.pos)
                && !matches!(found, Found::Foreign)
            {
                self.duplicate(&path, key.pos, first);
                // A section's content is looked at all the same: all problems come at once.
                if !matches!(found, Found::Section) {
                    continue;
                }
            }
            self.entry(path, found, key, value, merges);
        }
        for (key, value) in entries {
            if scalar(key) == Some(("<<", true)) {
                self.merge(value, section, merges + 1, &seen);
            }
        }
    }

    fn entry(&mut self, path: String, found: Found, key: &Node, value: &Rc<Node>, merges: u32) {
        match found {
            Found::Key {
                key: known,
                deprecated,
            } => self.assignments.push(Assignment {
                key: known,
                path,
                deprecated,
                pos: key.pos,
                node: Rc::clone(value),
                merges,
            }),
            Found::Section => self.section(path, value, merges),
            Found::Ignored => self.warnings.push((
                key.pos,
                path,
                "is a key of APM Server that has no effect in Tollbar".into(),
            )),
            Found::Unknown => self.problems.push(Finding {
                pos: key.pos,
                hint: self.hint(&path),
                found: "an unknown key".into(),
                accepted: accepted_below(&path),
                path: Some(display(&path)),
            }),
            Found::Foreign => self.near_miss(&path, key.pos),
        }
    }

    fn section(&mut self, path: String, value: &Node, merges: u32) {
        if value.is_null() {
            return;
        }
        match &value.value {
            Value::Map(entries) if !value.foreign_tag => self.walk(entries, &path, merges),
            _ => self.problems.push(Finding {
                pos: value.pos,
                found: kind_of(value),
                accepted: format!("a mapping with the keys {}", names(&path)),
                hint: matches!(value.value, Value::Scalar { .. }).then(|| {
                    "put a space after the colon of each key, and indent the keys below".into()
                }),
                path: Some(path),
            }),
        }
    }

    /// The mappings of a merge key count as if they stood here, except for what does stand here.
    fn merge(&mut self, value: &Node, section: &str, merges: u32, seen: &HashMap<&str, Pos>) {
        let mappings: &[Rc<Node>] = match &value.value {
            Value::List(items) => items,
            _ => &[],
        };
        let mut covered: Vec<&str> = seen.keys().copied().collect();
        covered.sort_unstable();
        let single = std::iter::once(value).filter(|v| !matches!(v.value, Value::List(_)));
        for mapping in mappings.iter().map(Rc::as_ref).chain(single) {
            if self.merged > MAX_MERGED {
                return;
            }
            match &mapping.value {
                Value::Map(entries) => {
                    let rest: Vec<_> = entries
                        .iter()
                        .filter(|(k, _)| {
                            scalar(k).is_none_or(|(n, _)| covered.binary_search(&n).is_err())
                        })
                        .cloned()
                        .collect();
                    self.walk(&rest, section, merges);
                }
                _ => self.problems.push(Finding {
                    pos: mapping.pos,
                    path: Some(display(&join(section, "<<"))),
                    found: kind_of(mapping),
                    accepted: "an alias to a mapping, or a list of such aliases".into(),
                    hint: None,
                }),
            }
        }
    }

    /// Searching for what was meant takes a while: a file of a hundred thousand unknown keys is not worth it.
    fn hint(&self, path: &str) -> Option<String> {
        const MOST: usize = 200;
        if self.problems.len() > MOST {
            return None;
        }
        keys::nearest(path).map(|n| format!("did you mean `{n}`?"))
    }

    fn odd_key(&mut self, key: &Node, section: &str) {
        // At the top and beside APM Server's own keys this is none of our business.
        if matches!(keys::find(&join(section, "?")), Found::Unknown) {
            self.problems.push(Finding {
                pos: key.pos,
                path: Some(section.to_owned()),
                found: format!("{} as a key", kind_of(key)),
                accepted: format!("the keys {}", names(section)),
                hint: None,
            });
        }
    }

    fn duplicate(&mut self, path: &str, pos: Pos, first: Pos) {
        self.problems.push(Finding {
            pos,
            path: Some(display(path)),
            found: format!("the key a second time; the first is in line {}", first.line),
            accepted: "each key once".into(),
            hint: None,
        });
    }

    /// A foreign key is passed over in silence, unless one slip makes it one of ours: that would leave doors open.
    fn near_miss(&mut self, path: &str, pos: Pos) {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        let first = path.split('.').next().unwrap_or(path);
        let misplaced = section.is_empty() && keys::children("apm-server").contains(&name)
            || first != "apm-server" && path.starts_with("auth.");
        let meant = if misplaced {
            Some(format!("apm-server.{path}"))
        } else {
            ["", "apm-server"].iter().find_map(|parent| {
                let rest = match *parent {
                    "" => path,
                    _ => path.strip_prefix("apm-server.")?,
                };
                let typed = rest.split('.').next()?;
                keys::children(parent)
                    .into_iter()
                    .find(|c| typed != *c && slip(typed, c))
                    .map(|c| join(parent, c))
            })
        };
        if let Some(meant) = meant {
            self.warnings.push((
                pos,
                display(path),
                format!(
                    "is not a key of Tollbar and has no effect; did you mean `{}`?",
                    display(&meant)
                ),
            ));
        }
    }

    /// Of several values for one name the one with the fewest merge keys on its way counts; two of equal rank are a problem.
    fn settle(&mut self) {
        if self.merged > MAX_MERGED {
            self.assignments.clear();
            self.problems.clear();
            self.problems.push(Finding {
                pos: Pos { line: 1, column: 1 },
                path: None,
                found: format!(
                    "more than {MAX_MERGED} keys that come in through merge keys (`<<`)"
                ),
                accepted: "fewer merge keys".into(),
                hint: None,
            });
            return;
        }
        let mut all = std::mem::take(&mut self.assignments);
        all.sort_by_key(|a| (a.merges, a.pos.line, a.pos.column));
        let mut kept: Vec<Assignment> = Vec::with_capacity(all.len());
        for assignment in all {
            match kept.iter().find(|k| k.path == assignment.path) {
                None => kept.push(assignment),
                Some(first) if first.merges == assignment.merges && assignment.merges == 0 => {
                    let first = first.pos;
                    self.duplicate(&assignment.path, assignment.pos, first);
                }
                Some(_) => {}
            }
        }
        self.assignments = kept;
    }
}

fn slip(typed: &str, known: &str) -> bool {
    let len = known.chars().count();
    typed.chars().count().abs_diff(len) <= 2
        && strsim::osa_distance(typed, known) <= if len <= 4 { 1 } else { 2 }
}

fn scalar(node: &Node) -> Option<(&str, bool)> {
    match &node.value {
        Value::Scalar { text, plain } => Some((text, *plain)),
        _ => None,
    }
}

fn join(section: &str, name: &str) -> String {
    match section {
        "" => name.to_owned(),
        _ => format!("{section}.{name}"),
    }
}

fn names(section: &str) -> String {
    keys::children(section).join(", ")
}

/// The keys that are accepted in the nearest section on the way to an unknown path.
fn accepted_below(path: &str) -> String {
    let mut section = path;
    while let Some((parent, _)) = section.rsplit_once('.') {
        let known = keys::children(parent);
        if !known.is_empty() {
            return format!("one of {}", known.join(", "));
        }
        section = parent;
    }
    "a known key".into()
}

/// A key's name as it may stand in a message. What follows the first character that no key holds is left out:
/// `secret_token=hunter2:` is a slip, too.
fn display(path: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '<' | '[' | ']');
    let shown: String = path.chars().take_while(|c| allowed(*c)).take(120).collect();
    if shown.len() == path.len() {
        shown
    } else {
        shown + "…"
    }
}

/// What kind of value a node is, without its content.
pub(super) fn kind_of(node: &Node) -> String {
    match &node.value {
        // Not even the tag is shown: without quotes a token may begin with an exclamation mark.
        _ if node.foreign_tag => "a value with a YAML tag (`!…` without quotes)".into(),
        _ if node.is_null() => "null".into(),
        Value::Scalar { text, .. } if text.is_empty() => "an empty string".into(),
        Value::Scalar { .. } => "a single value".into(),
        Value::List(items) if items.is_empty() => "an empty list".into(),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
    }
}
