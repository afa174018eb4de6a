//! A configuration together with the text that it came from, as it may be shown.

use crate::config::Config;
use crate::policy::Policy;
use crate::problem::{Problem, Problems};
use crate::reader::{Field, Reader};
use crate::secret::MASK;
use crate::yaml::{self, Entry, Node, Value};
use crate::{check, read_file};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// What the built-in defaults would be as a file.
const BUILTIN: &str = "
version: \"1.0\"
server: { webui: { enabled: false } }
llm_providers:
  - id: simulator
    type: simulator
    model: sim-small
    models:
      - { id: sim-small, pricing: { input_per_million: 0.15, output_per_million: 0.60 } }
      - { id: sim-large, pricing: { input_per_million: 2.50, output_per_million: 10.00, cached_input_per_million: 1.25 } }
      - { id: sim-embed, pricing: { input_per_million: 0.02, output_per_million: 0 } }
";

/// A configuration, and what was written for it: without secrets, and with `${VAR}` as it
/// stood, so that nothing of the environment is in it.
#[derive(Clone)]
pub struct Document {
    /// What it means.
    pub config: Config,
    masked: Node,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").finish_non_exhaustive()
    }
}

impl Document {
    /// Reads a file, with variables from the environment of this process.
    ///
    /// # Errors
    /// Every problem of the file, or that it cannot be read.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let file = path.display().to_string();
        match read_file(path) {
            // A variable that is not Unicode is as good as not set: the message names it.
            Ok(text) => Self::read(&file, &text, &|name| std::env::var(name).ok()),
            Err(message) => Err(Problems {
                file,
                list: vec![Problem {
                    path: String::new(),
                    place: None,
                    message,
                }],
            }),
        }
    }

    /// Reads a text, with variables from `env`. Problems call it `name`.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn read(
        name: &str,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let read = || {
            // An editor's byte order mark is no part of the first key.
            let root = yaml::read(text.strip_prefix('\u{feff}').unwrap_or(text))?;
            let reader = Reader::new(&root, env);
            let config = Config::of_root(&root, &reader);
            let secrets = reader.secrets();
            let problems = reader.into_problems();
            if problems.is_empty() {
                let masked = masked(root, "", &secrets);
                Ok(Self { config, masked })
            } else {
                Err(problems)
            }
        };
        read().map_err(|list| Problems {
            file: name.into(),
            list,
        })
    }

    /// The built-in defaults: [`Config::builtin`].
    ///
    /// # Panics
    /// Never: a test reads them.
    #[must_use]
    pub fn builtin() -> Self {
        Self::read("built-in defaults", BUILTIN, &|_| None).expect("a test reads it")
    }

    /// The same configuration with another `policy`; what the text leaves out has its default.
    ///
    /// # Errors
    /// Every problem of the text, which is what would stand below `policy:`.
    pub fn with_policy(
        &self,
        name: &str,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let read = || {
            let policy = yaml::read(text)?;
            let root = Node {
                place: policy.place,
                value: Value::Map(vec![Entry {
                    key: "policy".into(),
                    key_place: policy.place,
                    value: policy,
                }]),
            };
            let reader = Reader::new(&root, env);
            let mut next = self.clone();
            next.config.policy =
                Field::root(&reader, &root).section(|root| root.section("policy", Policy::read));
            check::references(&next.config, &reader);
            let problems = reader.into_problems();
            if !problems.is_empty() {
                return Err(problems);
            }
            next.set("policy", root);
            Ok(next)
        };
        read().map_err(|list| Problems {
            file: name.into(),
            list,
        })
    }

    /// Puts the entry of `key` of another document in the place of the own one.
    fn set(&mut self, key: &str, from: Node) {
        let (Value::Map(entries), Value::Map(others)) = (&mut self.masked.value, from.value) else {
            return;
        };
        entries.retain(|entry| entry.key != key);
        entries.extend(others.into_iter().filter(|entry| entry.key == key));
    }

    /// What was written, as JSON that reads as the same configuration once each
    /// [`MASK`] is a secret again. Comments are not in it, nor are defaults.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut out = String::new();
        write(&self.masked, &mut out);
        out
    }

    /// The `policy` of [`Document::shown`], if there is one.
    #[must_use]
    pub fn shown_policy(&self) -> Option<String> {
        let Value::Map(entries) = &self.masked.value else {
            return None;
        };
        let policy = entries.iter().find(|entry| entry.key == "policy")?;
        let mut out = String::new();
        write(&policy.value, &mut out);
        Some(out)
    }
}

/// The tree with a mask in the place of what was read as a secret.
fn masked(node: Node, path: &str, secrets: &BTreeSet<String>) -> Node {
    let value = match node.value {
        Value::Scalar(_) if secrets.contains(path) => Value::Scalar(MASK.into()),
        value @ (Value::Null | Value::Scalar(_)) => value,
        Value::List(items) => {
            let items = items.into_iter().enumerate();
            let masked = items.map(|(at, item)| masked(item, &yaml::item_path(path, at), secrets));
            Value::List(masked.collect())
        }
        Value::Map(entries) => {
            let masked = entries.into_iter().map(|entry| Entry {
                value: masked(entry.value, &yaml::key_path(path, &entry.key), secrets),
                ..entry
            });
            Value::Map(masked.collect())
        }
    };
    Node { value, ..node }
}

fn write(node: &Node, out: &mut String) {
    let list = |out: &mut String, ends: [char; 2], items: &mut dyn Iterator<Item = String>| {
        out.push(ends[0]);
        out.push_str(&items.collect::<Vec<_>>().join(","));
        out.push(ends[1]);
    };
    let text = |node| {
        let mut out = String::new();
        write(node, &mut out);
        out
    };
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Scalar(scalar) if is_literal(scalar) => out.push_str(scalar),
        Value::Scalar(scalar) => write_string(scalar, out),
        Value::List(items) => list(out, ['[', ']'], &mut items.iter().map(text)),
        Value::Map(entries) => {
            let mut entries = entries.iter().map(|entry| {
                let mut key = String::new();
                write_string(&entry.key, &mut key);
                format!("{key}:{}", text(&entry.value))
            });
            list(out, ['{', '}'], &mut entries);
        }
    }
}

/// Whether it is a number or a truth value in JSON as it stands: all its digits stay.
fn is_literal(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_whole = |text: &str| digits(text) && (text == "0" || !text.starts_with('0'));
    match text.split_once('.') {
        None => text == "true" || text == "false" || is_whole(text),
        Some((whole, part)) => is_whole(whole) && digits(part),
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail. Controls are below U+FFFF.
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
server: { admin_api_key: "${ADMIN}", workers: 2, webui: { enabled: false, admin_password_hash: "$argon2id$secret" } }
llm_providers:
  - { id: one, type: custom, base_url: "http://127.0.0.1:1/${PATH_VAR}", api_keys: ["k-secret-1", "${KEY}"],
      pricing: { input_per_million: 2.50, output_per_million: 0 } }
api_keys:
  - { id: a, key: a-secret, description: "says \"hi\"\n\\" }
  - { id: "007", key_sha256: "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD" }
model_aliases: { "f.1": "one:m" }
"#;

    fn env(name: &str) -> Option<String> {
        match name {
            "ADMIN" | "KEY" => Some(format!("env-secret-{name}")),
            "PATH_VAR" => Some("env-path".into()),
            _ => None,
        }
    }

    fn document(text: &str) -> Document {
        Document::read("test", text, &env).expect("a sound configuration")
    }

    #[test]
    fn the_built_in_defaults_are_what_they_are_as_a_file() {
        assert_eq!(Document::builtin().config, Config::builtin());
    }

    #[test]
    fn what_is_shown_has_no_secret_and_reads_as_the_same() {
        let document = document(TEXT);
        let shown = document.shown();
        for secret in ["secret", "env-", "BA7816", "argon2"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        for part in [
            r#""workers":2"#,
            r#""input_per_million":2.50"#,
            r#""base_url":"http://127.0.0.1:1/${PATH_VAR}""#,
            r#""api_keys":["sk-****","sk-****"]"#,
            r#""id":"007""#,
            r#""description":"says \"hi\"\u000a\\""#,
        ] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
        // What is shown is not taken for a configuration with keys.
        let problems = Document::read("test", &shown, &env).expect_err("masks are no secrets");
        assert_eq!(problems.list.len(), 6, "{problems}");
        assert!(problems.to_string().contains("the mask"), "{problems}");
        let mut filled = String::new();
        for (count, part) in shown.split(MASK).enumerate() {
            let hash = "$argon2id$x";
            let of_place = match count {
                _ if part.ends_with("admin_password_hash\":\"") => hash.to_owned(),
                _ if part.ends_with("key_sha256\":\"") => "0".repeat(63) + "1",
                _ => format!("key-{count}"),
            };
            filled += part;
            filled += &of_place;
        }
        let filled = filled.strip_suffix("key-6").expect("six masks");
        let again = Document::read("test", filled, &env).expect("a sound configuration");
        assert_eq!(again.shown(), shown);
        assert_eq!(
            again.config.providers[0].pricing,
            document.config.providers[0].pricing
        );
        assert_eq!(again.config.aliases, document.config.aliases);
    }

    #[test]
    fn a_policy_is_replaced_whole_or_not_at_all() {
        let document = document(TEXT);
        let put = |text: &str| document.with_policy("request", text, &env);
        let next = put(r#"{"algorithm": "hybrid", "fallback": {"providers": ["one"]}}"#);
        let next = next.expect("a sound policy");
        assert_eq!(next.config.policy.fallback.providers, ["one"]);
        assert_eq!(next.config.clients, document.config.clients);
        assert_eq!(
            next.shown_policy().as_deref(),
            Some(r#"{"algorithm":"hybrid","fallback":{"providers":["one"]}}"#)
        );
        assert_eq!(document.shown_policy(), None);
        for (bad, says) in [
            ("algorithm: fastest", "policy.algorithm"),
            (
                "fallback: { providers: [two] }",
                "policy.fallback.providers[0]",
            ),
            ("retries: 3", "policy.retries"),
            ("[1]", "expected a mapping"),
        ] {
            let problems = put(bad).expect_err(bad).to_string();
            assert!(problems.contains(says), "{problems}");
        }
    }
}
