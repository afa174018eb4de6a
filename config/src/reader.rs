//! Walks the YAML tree into typed values and collects every problem on the way.
//!
//! ```text
//! Node --> Section (a mapping) --> Field (a value) --> parsed value | Problem
//! ```
//! A section remembers which keys were asked for; the others are unknown keys.
//! A value that cannot be read is reported and replaced by its default, so that
//! the walk goes on.

use crate::expand::expand;
use crate::problem::{Place, Problem};
use crate::scalar::Wrong;
use crate::secret::{MASK, Secret};
use crate::yaml::{Entry, Node, Value, item_path, key_path};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Collects problems and knows the place of each path.
pub(crate) struct Reader<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    places: BTreeMap<String, Place>,
    problems: RefCell<Vec<Problem>>,
    /// The paths of what was read as a secret.
    secrets: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(root: &Node, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let mut places = BTreeMap::new();
        note_places(root, "", &mut places);
        Self {
            env,
            places,
            problems: RefCell::default(),
            secrets: RefCell::default(),
        }
    }

    /// Whether the file gives the path a value other than null.
    pub(crate) fn is_given(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// Reports a problem at `path`; its place is that of the nearest parent the file has.
    pub(crate) fn complain(&self, path: &str, message: impl Into<String>) {
        let mut known = path;
        while !known.is_empty() && !self.places.contains_key(known) {
            known = &known[..known.rfind(['.', '[']).unwrap_or(0)];
        }
        let place = self.places.get(known).copied();
        self.complain_at(place.unwrap_or(Place { line: 1, column: 1 }), path, message);
    }

    fn complain_at(&self, place: Place, path: &str, message: impl Into<String>) {
        let problem = Problem {
            path: path.into(),
            place: Some(place),
            message: message.into(),
        };
        self.problems.borrow_mut().push(problem);
    }

    /// The paths of all that was read as a secret so far.
    pub(crate) fn secrets(&self) -> BTreeSet<String> {
        self.secrets.borrow().clone()
    }

    /// The problems in the file's order, each once.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.place);
        problems.dedup();
        problems
    }
}

/// Notes every node that is not null, under its path.
fn note_places(node: &Node, path: &str, places: &mut BTreeMap<String, Place>) {
    match &node.value {
        Value::Null => return,
        Value::Scalar(_) => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                note_places(item, &item_path(path, index), places);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                note_places(&entry.value, &key_path(path, &entry.key), places);
            }
        }
    }
    places.insert(path.into(), node.place);
}

/// One value of the file.
pub(crate) struct Field<'a> {
    reader: &'a Reader<'a>,
    node: &'a Node,
    pub(crate) path: String,
}

impl<'a> Field<'a> {
    /// The whole document.
    pub(crate) fn root(reader: &'a Reader<'a>, node: &'a Node) -> Self {
        Self {
            reader,
            node,
            path: String::new(),
        }
    }

    pub(crate) fn complain(&self, message: impl Into<String>) {
        self.reader
            .complain_at(self.node.place, &self.path, message);
    }

    /// The scalar's text, expanded; anything else is reported.
    fn text(&self) -> Option<String> {
        let Value::Scalar(raw) = &self.node.value else {
            self.complain(format!(
                "expected a single value, found {}",
                kind(&self.node.value)
            ));
            return None;
        };
        match expand(raw, self.reader.env) {
            Ok(text) => Some(text),
            Err(message) => {
                self.complain(message);
                None
            }
        }
    }

    /// The value that `parse` makes of the text.
    pub(crate) fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = self.text()?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.complain(format!("{} {wrong}", self.shown()));
                None
            }
        }
    }

    /// The text as the file has it, for a message; never what a variable held, nor
    /// what may be a secret in the wrong place.
    fn shown(&self) -> String {
        match &self.node.value {
            Value::Scalar(raw)
                if (1..=32).contains(&raw.len())
                    && !raw.contains("sk-")
                    && !raw.contains(['@', '$']) =>
            {
                format!("`{}`", raw.escape_debug())
            }
            _ => "the value".into(),
        }
    }

    /// A secret. An empty text is none: `${VAR:-}` makes it optional.
    pub(crate) fn secret(&self) -> Option<Secret> {
        let text = self.secret_text()?;
        if text.contains(|c: char| c.is_control()) {
            self.complain("the secret holds a line break or control character; remove it");
            return None;
        }
        (!text.is_empty()).then(|| Secret::new(text))
    }

    fn secret_text(&self) -> Option<String> {
        self.reader.secrets.borrow_mut().insert(self.path.clone());
        let text = self.text()?;
        if text == MASK {
            self.complain("is the mask that stands for a secret; write the secret itself");
            return None;
        }
        Some(text)
    }

    /// A key to call with: a secret that must be there, without spaces.
    pub(crate) fn key(&self) -> Option<Secret> {
        let text = self.secret_text()?;
        if text.is_empty() {
            self.complain("the key is empty; write it, or set its variable");
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            self.complain("the key holds a space, line break or control character; remove it");
        } else {
            return Some(Secret::new(text));
        }
        None
    }

    /// Reads a mapping. `read` is called in any case, so that the caller always gets a value.
    pub(crate) fn section<T>(&self, read: impl FnOnce(&Section<'a>) -> T) -> T {
        let (entries, broken): (&[Entry], bool) = match &self.node.value {
            Value::Map(entries) => (entries, false),
            other => {
                self.complain(format!("expected a mapping of keys, found {}", kind(other)));
                (&[], true)
            }
        };
        let section = Section {
            reader: self.reader,
            path: self.path.clone(),
            entries,
            broken,
            asked: RefCell::default(),
        };
        let value = read(&section);
        section.report_unknown_keys();
        value
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Vec<Self> {
        match &self.node.value {
            Value::List(items) => self.fields_of(items),
            other => {
                self.complain(format!("expected a list, found {}", kind(other)));
                Vec::new()
            }
        }
    }

    /// The items of a list, or the mapping itself as the only one.
    pub(crate) fn one_or_items(self) -> Vec<Self> {
        if matches!(self.node.value, Value::Map(_)) {
            vec![self]
        } else {
            self.items()
        }
    }

    fn fields_of(&self, items: &'a [Node]) -> Vec<Self> {
        let field = |(index, node)| Self {
            reader: self.reader,
            node,
            path: item_path(&self.path, index),
        };
        items.iter().enumerate().map(field).collect()
    }

    /// The entries of a mapping with free keys.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Self)> {
        match &self.node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|entry| {
                    let path = key_path(&self.path, &entry.key);
                    (
                        entry.key.as_str(),
                        Self {
                            reader: self.reader,
                            node: &entry.value,
                            path,
                        },
                    )
                })
                .collect(),
            other => {
                self.complain(format!("expected a mapping of keys, found {}", kind(other)));
                Vec::new()
            }
        }
    }
}

/// One mapping of the file with a closed set of keys.
pub(crate) struct Section<'a> {
    reader: &'a Reader<'a>,
    pub(crate) path: String,
    entries: &'a [Entry],
    /// It was no mapping, which has been reported: do not report missing keys on top.
    broken: bool,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The value of `key`; `None` where it is absent or null.
    pub(crate) fn field(&self, key: &'static str) -> Option<Field<'a>> {
        self.asked.borrow_mut().push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        if matches!(entry.value.value, Value::Null) {
            return None;
        }
        Some(Field {
            reader: self.reader,
            node: &entry.value,
            path: key_path(&self.path, key),
        })
    }

    /// Whether `key` is there, be it null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The parsed value of `key`, if it is there.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.field(key)?.parse(parse)
    }

    /// The parsed value of `key`, or the default.
    pub(crate) fn value<T>(
        &self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// The parsed value of `key`; absent is reported as missing with `hint`.
    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        hint: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        match self.field(key) {
            Some(field) => field.parse(parse),
            None => {
                self.missing(key, hint);
                None
            }
        }
    }

    /// One of a closed list of words.
    pub(crate) fn choice<T: Copy>(&self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        self.value(key, default, |text| one_of(text, words))
    }

    /// The secret of `key`, if there is one and it is not empty.
    pub(crate) fn secret(&self, key: &'static str) -> Option<Secret> {
        self.field(key)?.secret()
    }

    /// The section of `key`, or what an absent one gives: its default.
    pub(crate) fn section<T: Default>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Section<'a>) -> T,
    ) -> T {
        self.field(key)
            .map(|field| field.section(read))
            .unwrap_or_default()
    }

    /// The items of the list of `key`; none where it is absent.
    pub(crate) fn items(&self, key: &'static str) -> Vec<Field<'a>> {
        self.field(key)
            .map(|field| field.items())
            .unwrap_or_default()
    }

    /// Reports that `key` is missing.
    pub(crate) fn missing(&self, key: &str, hint: &str) {
        if !self.broken {
            self.complain(key, format!("is missing; {hint}"));
        }
    }

    /// Reports a problem with `key`, which may be a path below this section.
    pub(crate) fn complain(&self, key: &str, message: impl Into<String>) {
        let path = if self.path.is_empty() {
            key.into()
        } else {
            format!("{}.{key}", self.path)
        };
        self.reader.complain(&path, message);
    }

    fn report_unknown_keys(&self) {
        let asked = self.asked.borrow();
        for entry in self.entries {
            if asked.contains(&entry.key.as_str()) {
                continue;
            }
            let hint = match nearest(&entry.key, &asked) {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("the keys here are {}", asked.join(", ")),
            };
            let path = key_path(&self.path, &entry.key);
            self.reader
                .complain_at(entry.key_place, &path, format!("unknown key; {hint}"));
        }
    }
}

/// The value of the word `text`.
pub(crate) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let hint = nearest(text, &names).map(|word| format!("; did you mean `{word}`?"));
    Err(format!(
        "is not one of {}{}",
        names.join(", "),
        hint.unwrap_or_default()
    ))
}

/// The candidate that `word` is probably a misspelling of.
pub(crate) fn nearest<'w>(word: &str, candidates: &[&'w str]) -> Option<&'w str> {
    // Distances cost the product of the lengths: no suggestions for novels.
    if word.len() > 64 {
        return None;
    }
    candidates
        .iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&word.to_lowercase(), candidate),
                *candidate,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .map(|(_, candidate)| candidate)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Scalar(_) => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping of keys",
    }
}
