//! YAML text -> a tree of nodes that know where they stand.
//!
//! `saphyr-parser`, because its events carry what the other well-kept crates hide: the scalar's text as written
//! (`12345` and `0123` are tokens, not numbers), its quoting, and line and column of keys as well as values. It is
//! pulled event by event, so that this file alone decides how deep a document may be, it has two small
//! dependencies, and it is pure safe Rust that follows YAML 1.2. serde-based crates give typed values without these.
//!
//! Invariants: the tree is at most [`MAX_DEPTH`] deep, so walking and dropping it cannot exhaust the stack; aliases share their
//! node, so no document grows by them; a scalar's text is overwritten when dropped, as it may be a secret.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use zeroize::Zeroizing;

/// How deep mappings and lists may be nested.
pub(super) const MAX_DEPTH: usize = 64;

/// A place in the text, both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pos {
    pub line: u32,
    pub column: u32,
}

pub(super) struct Node {
    pub pos: Pos,
    pub value: Value,
    /// Whether it has a tag that is not one of YAML's own (`!!str` and the like).
    pub foreign_tag: bool,
    /// Whether it has an anchor: `&name`.
    pub anchored: bool,
}

pub(super) enum Value {
    /// `plain`: written without quotes and without the tag `!!str`.
    Scalar {
        text: Zeroizing<String>,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// `null`, `~` or nothing at all: the key is not set.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
            && !self.foreign_tag
    }
}

/// The document is not one that can be read, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub pos: Pos,
    pub found: String,
    pub accepted: &'static str,
    pub hint: Option<&'static str>,
}

/// Reads the one document of `text`; `None` if there is nothing in it.
pub(super) fn read(text: &str) -> Result<Option<Rc<Node>>, Unreadable> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| syntax(&e))?;
        builder.take(event, pos(&span.start))?;
    }
    Ok(builder.root)
}

fn pos(mark: &Marker) -> Pos {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Pos {
        line: number(mark.line().max(1)),
        column: number(mark.col().saturating_add(1)),
    }
}

fn syntax(error: &ScanError) -> Unreadable {
    // The one message that quotes the text: the character may begin a secret.
    let info = error.info();
    let (what, hint) = if info.starts_with("unexpected character") {
        (
            "a character that no value begins with",
            Some("write the value in quotes"),
        )
    } else if info.contains("tab") {
        (info, Some("indent with spaces, not with tabs"))
    } else {
        (info, None)
    };
    Unreadable {
        pos: pos(error.marker()),
        found: format!("a YAML syntax error ({what})"),
        accepted: "YAML 1.2",
        hint,
    }
}

/// A mapping or list whose end has not come yet.
struct Open {
    pos: Pos,
    anchor: usize,
    foreign_tag: bool,
    value: Value,
    /// In a mapping: the key whose value comes next.
    key: Option<Rc<Node>>,
}

#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, pos: Pos) -> Result<(), Unreadable> {
        match event {
            Event::DocumentStart(_) => self.start_document(pos),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag
                    .as_ref()
                    .is_some_and(|t| t.is_yaml_core_schema() && t.suffix == "str");
                let node = Node {
                    pos,
                    foreign_tag: foreign(tag.as_deref()),
                    anchored: anchor != 0,
                    value: Value::Scalar {
                        text: Zeroizing::new(text.into_owned()),
                        plain: style == ScalarStyle::Plain && !is_text,
                    },
                };
                self.close(Rc::new(node), anchor);
                Ok(())
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(pos, anchor, tag.as_deref(), Value::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.open(pos, anchor, tag.as_deref(), Value::Map(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let anchor = open.anchor;
                    let node = Node {
                        pos: open.pos,
                        foreign_tag: open.foreign_tag,
                        anchored: anchor != 0,
                        value: open.value,
                    };
                    self.close(Rc::new(node), anchor);
                }
                Ok(())
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = Rc::clone(node);
                    self.close(node, 0);
                    Ok(())
                }
                None => Err(Unreadable {
                    pos,
                    found: "an alias to a value that contains it".into(),
                    accepted: "aliases to values that end before them",
                    hint: None,
                }),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn start_document(&mut self, pos: Pos) -> Result<(), Unreadable> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err(Unreadable {
            pos,
            found: "a second document".into(),
            accepted: "one document a file",
            hint: Some("remove the line `---` or what follows it"),
        })
    }

    fn open(
        &mut self,
        pos: Pos,
        anchor: usize,
        tag: Option<&Tag>,
        value: Value,
    ) -> Result<(), Unreadable> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Unreadable {
                pos,
                found: format!("more than {MAX_DEPTH} levels of nesting"),
                accepted: "at most 64 levels",
                hint: None,
            });
        }
        self.open.push(Open {
            pos,
            anchor,
            foreign_tag: foreign(tag),
            value,
            key: None,
        });
        Ok(())
    }

    /// A node is complete: it goes into the innermost open collection.
    fn close(&mut self, node: Rc<Node>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => match (&mut open.value, open.key.take()) {
                (Value::List(items), _) => items.push(node),
                (Value::Map(entries), Some(key)) => entries.push((key, node)),
                (_, None) => open.key = Some(node),
                (Value::Scalar { .. }, Some(_)) => {}
            },
        }
    }
}

fn foreign(tag: Option<&Tag>) -> bool {
    const OWN: [&str; 7] = ["str", "int", "bool", "null", "float", "seq", "map"];
    let Some(tag) = tag else {
        return false;
    };
    let own = tag.is_yaml_core_schema() && OWN.contains(&tag.suffix.as_str());
    // The non-specific tag `!` means what no tag means.
    let none = tag.handle.is_empty() && tag.suffix == "!";
    !own && !none
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Rc<Node> {
        read(text).unwrap().unwrap()
    }

    fn entry(node: &Node, index: usize) -> (Rc<Node>, Rc<Node>) {
        match &node.value {
            Value::Map(entries) => entries[index].clone(),
            _ => panic!("not a mapping"),
        }
    }

    fn text(node: &Node) -> &str {
        match &node.value {
            Value::Scalar { text, .. } => text,
            _ => panic!("not a scalar"),
        }
    }

    #[test]
    fn numbers_keep_the_text_that_was_written() {
        let root = root("a: 12345\nb: 0123\nc: 0x1F\nd: 1e3");
        for (i, written) in ["12345", "0123", "0x1F", "1e3"].iter().enumerate() {
            assert_eq!(text(&entry(&root, i).1), *written);
        }
    }

    #[test]
    fn places_are_counted_from_one_and_in_characters() {
        let root = root("# ü\nü: x\nkey: value\n");
        let (key, value) = entry(&root, 0);
        assert_eq!((key.pos.line, key.pos.column), (2, 1));
        assert_eq!((value.pos.line, value.pos.column), (2, 4));
        let (_, value) = entry(&root, 1);
        assert_eq!((value.pos.line, value.pos.column), (3, 6));
    }

    #[test]
    fn windows_line_ends_count_as_one() {
        let root = root("a: 1\r\nb: 2\r\n");
        assert_eq!(entry(&root, 1).0.pos, Pos { line: 2, column: 1 });
    }

    #[test]
    fn null_is_null_only_without_quotes() {
        let root = root("a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: !!str null");
        let nulls: Vec<bool> = (0..6).map(|i| entry(&root, i).1.is_null()).collect();
        assert_eq!(nulls, [true, true, true, false, false, false]);
    }

    #[test]
    fn an_alias_is_the_node_it_names() {
        let root = root("a: &x [1, 2]\nb: *x");
        assert!(Rc::ptr_eq(&entry(&root, 0).1, &entry(&root, 1).1));
    }

    #[test]
    fn nothing_but_comments_is_no_document() {
        for text in ["", "\n", "# only this\n", "---\n", "\u{feff}"] {
            let document = read(text).unwrap();
            assert!(document.is_none_or(|n| n.is_null()), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_returns_quickly() {
        for text in [
            "[".repeat(1 << 20),
            "{".repeat(1 << 20),
            "- ".repeat(1 << 19),
            "? ".repeat(1 << 19),
            "[{a: ".repeat(1 << 18),
            (0..1000)
                .map(|i| format!("{}a:\n", " ".repeat(i)))
                .collect(),
        ] {
            let start = std::time::Instant::now();
            assert!(read(&text).is_err());
            assert!(start.elapsed().as_secs() < 5, "{:?}", &text[..10]);
        }
    }

    #[test]
    fn a_second_document_is_an_error_with_its_place() {
        let error = read("a: 1\n---\nb: 2\n").err().unwrap();
        assert_eq!(error.pos, Pos { line: 2, column: 1 });
    }

    #[test]
    fn an_alias_to_itself_is_an_error() {
        assert!(read("a: &x [*x]").is_err());
    }

    #[test]
    fn no_syntax_error_shows_the_text() {
        for text in [
            "a: @hunter2",
            "a: `hunter2",
            "a: 'hunter2",
            "a: \"\\q hunter2\"",
            "a: hunter2: b",
            "a: *hunter2",
        ] {
            let found = read(text).err().unwrap().found;
            assert!(
                !found.contains("hunter2") && !found.contains('@'),
                "{found}"
            );
        }
    }
}
