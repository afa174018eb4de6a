//! A YAML document as a tree in which every scalar keeps its text and every node its place.
//!
//! A subset on purpose: one document, no anchors, aliases or tags, text keys.
//! Each of these is refused by name, as are duplicate keys.

use crate::problem::{Place, Problem};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use std::collections::HashMap;

/// How deep mappings and lists may nest; the schema needs 5. Bounds the recursion here.
const DEPTH_MAX: usize = 32;

/// A node of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// The text as the file has it, quotes and escapes resolved.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Node,
}

/// Reads a document. An empty one is an empty mapping.
///
/// # Errors
/// All problems found: at most one of syntax, which ends the reading, and any number of duplicate keys.
pub(crate) fn read(text: &str) -> Result<Node, Vec<Problem>> {
    let mut tree = Tree {
        parser: Parser::new_from_str(text),
        text,
        duplicates: Vec::new(),
    };
    match tree.document() {
        Ok(node) if tree.duplicates.is_empty() => Ok(node),
        Ok(_) => Err(tree.duplicates),
        Err(problem) => {
            tree.duplicates.push(*problem);
            Err(tree.duplicates)
        }
    }
}

type Result1<T> = Result<T, Box<Problem>>;

struct Tree<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    duplicates: Vec<Problem>,
}

impl<'t> Tree<'t> {
    fn next(&mut self) -> Result1<(Event<'t>, Span)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result1<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    if root.is_some() {
                        return Err(problem(
                            span,
                            "",
                            "a second document starts here; keep one document in the file",
                        ));
                    }
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, "", 0)?);
                }
                Event::StreamEnd => break,
                _ => {
                    return Err(problem(
                        span,
                        "",
                        "not a YAML document; start with `version: \"1.0\"`",
                    ));
                }
            }
        }
        let place = Place { line: 1, column: 1 };
        Ok(match root {
            None
            | Some(Node {
                value: Value::Null, ..
            }) => Node {
                place,
                value: Value::Map(Vec::new()),
            },
            Some(node) => node,
        })
    }

    fn node(&mut self, event: Event<'t>, span: Span, path: &str, depth: usize) -> Result1<Node> {
        if depth > DEPTH_MAX {
            return Err(problem(
                span,
                path,
                "nested too deeply; the schema has five levels",
            ));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.is_some())
            }
            _ => (0, false),
        };
        if anchor != 0 {
            return Err(problem(
                span,
                path,
                "anchors (`&name`) are not supported; write the value out",
            ));
        }
        if tag {
            return Err(problem(
                span,
                path,
                "tags (`!name`) are not supported; remove the tag",
            ));
        }
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => Value::Null,
            Event::Scalar(text, ..) => Value::Scalar(text.into_owned()),
            Event::SequenceStart(..) => self.list(path, depth)?,
            Event::MappingStart(..) => self.map(path, depth)?,
            Event::Alias(_) => {
                return Err(problem(
                    span,
                    path,
                    "aliases (`*name`) are not supported; write the value out",
                ));
            }
            _ => return Err(problem(span, path, "a value is missing here")),
        };
        Ok(Node {
            place: place(&span.start),
            value,
        })
    }

    fn list(&mut self, path: &str, depth: usize) -> Result1<Value> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            let path = item_path(path, items.len());
            items.push(self.node(event, span, &path, depth + 1)?);
        }
    }

    fn map(&mut self, path: &str, depth: usize) -> Result1<Value> {
        let mut entries = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(key, _, 0, None) => key.into_owned(),
                _ => return Err(problem(span, path, "a key must be plain text")),
            };
            let key_place = place(&span.start);
            let path = key_path(path, &key);
            if let Some(line) = lines.insert(key.clone(), key_place.line) {
                let message =
                    format!("the key is already given in line {line}; remove one of the two");
                self.duplicates.push(Problem {
                    path: path.clone(),
                    place: Some(key_place),
                    message,
                });
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, &path, depth + 1)?;
            entries.push(Entry {
                key,
                key_place,
                value,
            });
        }
    }

    fn syntax(&self, error: &ScanError) -> Box<Problem> {
        let marker = error.marker();
        let mut message = format!("not valid YAML: {}", error.info());
        let line = self
            .text
            .lines()
            .nth(marker.line().saturating_sub(1))
            .unwrap_or_default();
        if line.contains("${") {
            message.push_str("; put quotes around \"${VAR}\" inside { } and [ ]");
        }
        Box::new(Problem {
            path: String::new(),
            place: Some(place(marker)),
            message,
        })
    }
}

/// The null values of the YAML 1.2 core schema.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn place(marker: &Marker) -> Place {
    Place {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

fn problem(span: Span, path: &str, message: &str) -> Box<Problem> {
    Box::new(Problem {
        path: path.into(),
        place: Some(place(&span.start)),
        message: message.into(),
    })
}

/// The path of `key` in the mapping at `path`. A key of other characters than names have is quoted.
pub(crate) fn key_path(path: &str, key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let key = if !key.is_empty() && key.bytes().all(plain) {
        key.into()
    } else {
        format!("{key:?}")
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// The path of item `index` in the list at `path`.
pub(crate) fn item_path(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(text)
            .expect_err(text)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn places_count_from_one_and_texts_are_kept() {
        let root = read("a:\n  - 2.50\n  - {b: 'x y'}\n").expect("YAML");
        let Value::Map(entries) = root.value else {
            unreachable!("a mapping")
        };
        let Value::List(items) = &entries[0].value.value else {
            unreachable!("a list")
        };
        assert!(matches!(&items[0].value, Value::Scalar(text) if text == "2.50"));
        assert_eq!(items[0].place, Place { line: 2, column: 5 });
        let Value::Map(inner) = &items[1].value else {
            unreachable!("a mapping")
        };
        assert_eq!(inner[0].key_place, Place { line: 3, column: 6 });
        assert_eq!(inner[0].value.place, Place { line: 3, column: 9 });
    }

    #[test]
    fn empty_documents_are_empty_mappings() {
        for text in ["", "# nothing\n", "---\n", "null\n"] {
            let root = read(text).expect(text);
            assert!(
                matches!(root.value, Value::Map(entries) if entries.is_empty()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_outside_the_subset_is_named_with_its_place() {
        for (text, want) in [
            (
                "a: 1\nb: 2\na: 3\n",
                "3:1: a: the key is already given in line 1; remove one of the two",
            ),
            (
                "a: &x 1\n",
                "1:4: a: anchors (`&name`) are not supported; write the value out",
            ),
            (
                "a: !!str 1\n",
                "1:4: a: tags (`!name`) are not supported; remove the tag",
            ),
            (
                "a: 1\n---\nb: 1\n",
                "2:1: a second document starts here; keep one document in the file",
            ),
            ("? [x]\n: 1\n", "1:3: a key must be plain text"),
        ] {
            assert_eq!(problems(text), [want]);
        }
        let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
        assert!(problems(&deep)[0].contains("nested too deeply"));
    }

    #[test]
    fn broken_yaml_says_where_and_helps_with_braces() {
        let found = problems("a: 1\nb: { c: ${D}, e: 1 }\n");
        assert!(found[0].starts_with("2:"), "{found:?}");
        assert!(found[0].contains("put quotes around"), "{found:?}");
    }
}
