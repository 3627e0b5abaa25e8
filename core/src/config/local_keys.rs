//! `apm-server.auth.api_key.keys`: API keys that are verified without Elasticsearch.
//!
//! Invariant: a hash is never shown, nor a value that stands where a hash belongs.

use std::collections::HashSet;
use std::rc::Rc;

use super::api_key::{KeyHash, LocalApiKey, Privilege};
use super::error::quoted;
use super::flatten::{Assignment, Finding, kind_of};
use super::reader::{Read, Reader, Text};
use super::yaml::{Node, Pos, Value};
use crate::credential::api_key::HashedKey;

/// The longest id, in bytes.
const MAX_LEN: usize = 512;

const FIELDS: [&str; 3] = ["id", "hash", "privileges"];

/// What each field takes, in the words of a problem.
fn accepted(field: &str) -> String {
    match field {
        "id" => {
            "an id of 1 to 512 bytes without colon, spaces and control characters, each id once"
                .into()
        }
        "hash" => {
            "a hash that `tollbar keygen` printed, tollbar1:<22 characters>:<43 characters>".into()
        }
        "privileges" => {
            let names: Vec<&str> = Privilege::ALL.iter().map(|p| p.as_str()).collect();
            format!("at least one of {}", names.join(", "))
        }
        _ => "the keys id, hash and privileges".into(),
    }
}

pub(super) fn read(reader: &mut Reader<'_>, a: &Assignment) -> Read<Vec<LocalApiKey>> {
    let before = reader.problems.len();
    let mut keys = Vec::new();
    match &a.node.value {
        Value::List(items) if !a.node.foreign_tag => {
            let mut ids = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let entry = Entry {
                    assignment: a,
                    path: format!("{}[{index}]", a.path),
                    node: item,
                };
                keys.extend(entry.read(reader, &mut ids));
            }
        }
        _ => reader.finding(Finding {
            pos: a.node.pos,
            path: Some(a.path.clone()),
            found: kind_of(&a.node),
            accepted: a.key.accepted(),
            hint: None,
        }),
    }
    if reader.problems.len() > before {
        Read::Failed
    } else {
        Read::Value(keys)
    }
}

/// One entry of the list.
struct Entry<'e> {
    assignment: &'e Assignment,
    path: String,
    node: &'e Node,
}

impl Entry<'_> {
    fn read(&self, reader: &mut Reader<'_>, ids: &mut HashSet<String>) -> Option<LocalApiKey> {
        let Value::Map(entries) = &self.node.value else {
            self.problem(reader, "", self.node.pos, kind_of(self.node), None);
            return None;
        };
        self.unknown_fields(reader, entries);
        let id = self.id(reader, ids);
        let hash = self.hash(reader);
        let privileges = self.privileges(reader);
        Some(LocalApiKey {
            id: id?,
            hash: hash?,
            privileges: privileges?,
        })
    }

    fn unknown_fields(&self, reader: &mut Reader<'_>, entries: &[(Rc<Node>, Rc<Node>)]) {
        let mut seen = HashSet::new();
        for (key, _) in entries {
            let name = match &key.value {
                Value::Scalar { text, .. } => text.as_str(),
                _ => "",
            };
            if !FIELDS.contains(&name) {
                let near = FIELDS.iter().find(|f| strsim::osa_distance(name, f) <= 2);
                let hint = near.map(|f| format!("did you mean `{f}`?"));
                self.problem(
                    reader,
                    "",
                    key.pos,
                    "an unknown key in the entry".into(),
                    hint,
                );
            } else if !seen.insert(name) {
                self.problem(reader, "", key.pos, format!("`{name}` a second time"), None);
            }
        }
    }

    fn field(&self, name: &str) -> Option<&Rc<Node>> {
        let Value::Map(entries) = &self.node.value else {
            return None;
        };
        let named =
            |key: &Node| matches!(&key.value, Value::Scalar { text, .. } if text.as_str() == name);
        entries.iter().find(|(k, _)| named(k)).map(|(_, v)| v)
    }

    /// The text of a field that must be there.
    fn text(&self, reader: &mut Reader<'_>, name: &str) -> Option<Text> {
        let path = format!("{}.{name}", self.path);
        let read = match self.field(name) {
            Some(node) => reader.text(self.assignment, &path, node),
            None => Read::Unset,
        };
        match read {
            Read::Value(text) => Some(text),
            Read::Unset => {
                self.problem(reader, name, self.node.pos, "nothing".into(), None);
                None
            }
            Read::Failed => None,
        }
    }

    fn id(&self, reader: &mut Reader<'_>, ids: &mut HashSet<String>) -> Option<String> {
        let text = self.text(reader, "id")?;
        let id = text.text.as_str();
        let refused = |c: char| c == ':' || c.is_whitespace() || c.is_control();
        let found = if id.is_empty() {
            "an empty string".to_owned()
        } else if id.len() > MAX_LEN {
            "an id that is too long".to_owned()
        } else if id.contains(refused) {
            // What stands after the colon may be the secret itself.
            "an id with a colon, a space or a control character in it".to_owned()
        } else if !ids.insert(id.to_owned()) {
            format!("the id {} a second time", quoted(id))
        } else {
            return Some(id.to_owned());
        };
        self.problem(reader, "id", text.pos, found, None);
        None
    }

    fn hash(&self, reader: &mut Reader<'_>) -> Option<KeyHash> {
        let text = self.text(reader, "hash")?;
        let hash = text.text.as_str();
        if HashedKey::parse(hash).is_some() {
            return Some(KeyHash::new(hash));
        }
        let found = if hash.is_empty() {
            "an empty string"
        } else {
            "a value that is no such hash"
        };
        self.problem(reader, "hash", text.pos, found.into(), None);
        None
    }

    fn privileges(&self, reader: &mut Reader<'_>) -> Option<Vec<Privilege>> {
        let path = format!("{}.privileges", self.path);
        let texts = match self.field("privileges").map(|n| (n, &n.value)) {
            Some((_, Value::List(items))) => {
                let mut texts = Vec::new();
                for item in items {
                    match reader.text(self.assignment, &path, item) {
                        Read::Value(text) => texts.push((text.text, text.pos)),
                        Read::Unset => texts.push((String::new().into(), item.pos)),
                        Read::Failed => return None,
                    }
                }
                texts
            }
            _ => {
                let text = self.text(reader, "privileges")?;
                let parts = text
                    .text
                    .split(',')
                    .map(|p| (p.trim().to_owned().into(), text.pos));
                parts.collect()
            }
        };
        if texts.is_empty() {
            self.problem(
                reader,
                "privileges",
                self.node.pos,
                "an empty list".into(),
                None,
            );
            return None;
        }
        let mut privileges = Vec::new();
        let mut failed = false;
        for (text, pos) in texts {
            match Privilege::from_name(&text) {
                Some(p) if privileges.contains(&p) => {}
                Some(p) => privileges.push(p),
                None => {
                    failed = true;
                    let near = Privilege::ALL
                        .iter()
                        .find(|p| strsim::osa_distance(&text, p.as_str()) <= 3);
                    let hint = near.map(|p| format!("did you mean `{}`?", p.as_str()));
                    self.problem(
                        reader,
                        "privileges",
                        pos,
                        "an unknown privilege".into(),
                        hint,
                    );
                }
            }
        }
        (!failed).then_some(privileges)
    }

    fn problem(
        &self,
        reader: &mut Reader<'_>,
        field: &str,
        pos: Pos,
        found: String,
        hint: Option<String>,
    ) {
        let path = match field {
            "" => self.path.clone(),
            _ => format!("{}.{field}", self.path),
        };
        reader.finding(Finding {
            pos,
            path: Some(path),
            found,
            accepted: accepted(field),
            hint,
        });
    }
}
