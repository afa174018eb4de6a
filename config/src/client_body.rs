//! What requests of the admin API say of a client, read as a file's `api_keys` are.

use crate::check::unknown_provider;
use crate::client::{AllowedProviders, Client};
use crate::json;
use crate::problem::Problem;
use crate::reader::{Field, Reader, Section};
use crate::scalar::integer;
use crate::secret::{KeyDigest, Secret};
use std::time::Duration;

/// The longest time for which an old key goes on to work: 90 days.
const OVERLAP_S_MAX: u64 = 90 * 24 * 3600;
/// How long it does where nothing is said: who holds it has a day to change it.
const OVERLAP_S_DEFAULT: u64 = 24 * 3600;

/// A client as a request creates or changes it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientBody {
    /// The client. Its key is that of before, or zeros.
    pub client: Client,
    /// The key that was given.
    pub key: Option<KeyDigest>,
}

impl ClientBody {
    /// Reads a JSON text: `client_id`, `api_key`, `description`, `allowed_providers`, `ingest`,
    /// `limits`, `budget`. What it leaves out is as in `before`, or has its default; null asks
    /// for the default. `providers` are the ids that there are.
    ///
    /// ```
    /// use coo_llm_config::ClientBody;
    /// let text = r#"{"client_id": "a", "limits": {"req_per_mn": 5}}"#;
    /// let problems = ClientBody::read(text, None, &["openai"]).unwrap_err();
    /// assert_eq!(problems, ["limits.req_per_mn: unknown key; did you mean `req_per_min`?"]);
    /// ```
    ///
    /// # Errors
    /// Every problem, as `path: message`; none repeats a secret.
    pub fn read(
        text: &str,
        before: Option<&Client>,
        providers: &[&str],
    ) -> Result<Self, Vec<String>> {
        of_body(text, |s, reader| {
            let (client, key) = Client::read_body(s, before);
            if let AllowedProviders::Only(ids) = &client.allowed_providers
                && s.has("allowed_providers")
            {
                for (at, id) in ids.iter().enumerate() {
                    if let Some(message) = unknown_provider(providers, id) {
                        reader.complain(&format!("allowed_providers[{at}]"), message);
                    }
                }
            }
            Self { client, key }
        })
    }
}

/// How a client's key is to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateBody {
    /// The next key; without it one is made.
    pub key: Option<KeyDigest>,
    /// How long the one before works beside it.
    pub overlap: Duration,
}

impl RotateBody {
    /// Reads a JSON text: `api_key`, `overlap_seconds`. An empty one is an empty object.
    ///
    /// # Errors
    /// Every problem, as `path: message`; none repeats a secret.
    pub fn read(text: &str) -> Result<Self, Vec<String>> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        of_body(text, |s, _| {
            let key = s.field("api_key").and_then(|field| field.key());
            let seconds = integer(0, OVERLAP_S_MAX);
            let overlap = s.value("overlap_seconds", OVERLAP_S_DEFAULT, seconds);
            Self {
                key: key.as_ref().map(Secret::digest),
                overlap: Duration::from_secs(overlap),
            }
        })
    }
}

fn of_body<T>(
    text: &str,
    read: impl FnOnce(&Section<'_>, &Reader<'_>) -> T,
) -> Result<T, Vec<String>> {
    let said = |problems: Vec<Problem>| {
        let said = problems.into_iter().map(|mut problem| {
            problem.place = None;
            problem.to_string()
        });
        said.collect::<Vec<_>>()
    };
    let root = json::read(text).map_err(said)?;
    // Nothing is expanded, so nobody asks.
    let reader = Reader::new(&root, &|_| None);
    let value = Field::root(&reader, &root).section(|s| read(s, &reader));
    let problems = reader.into_problems();
    if problems.is_empty() {
        Ok(value)
    } else {
        Err(said(problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Budget, BudgetAction, BudgetPeriod, IngestRight, Limits};
    use coo_llm_core::NanoUsd;

    fn read(text: &str) -> Result<ClientBody, Vec<String>> {
        ClientBody::read(text, None, &["openai", "local"])
    }

    #[test]
    fn a_body_is_read_as_a_file_is() {
        let text = r#"{"client_id": "a", "api_key": "k", "description": "costs ${X} \ud83d\ude00",
            "allowed_providers": ["local"], "ingest": "off",
            "limits": {"req_per_min": 5, "tokens_per_min": null},
            "budget": {"usd": 0.100000001, "per": "day", "action": "warn"}}"#;
        let body = read(text).expect("sound");
        assert_eq!(body.key, Some(Secret::new("k").digest()));
        let expected = Client {
            id: "a".into(),
            key: KeyDigest([0; 32]),
            old_keys: Vec::new(),
            description: "costs ${X} \u{1f600}".into(),
            allowed_providers: AllowedProviders::Only(vec!["local".into()]),
            ingest: IngestRight::Off,
            limits: Limits {
                req_per_min: Some(5),
                tokens_per_min: None,
            },
            budget: Some(Budget {
                usd: NanoUsd(100_000_001),
                per: BudgetPeriod::Day,
                action: BudgetAction::Warn,
            }),
        };
        assert_eq!(body.client, expected);
        // A change leaves what it does not name, and null takes away.
        let change = |text| ClientBody::read(text, Some(&expected), &[]).expect("sound");
        assert_eq!(change("{}").client, expected);
        assert_eq!(change("{}").key, None);
        let changed = change(r#"{"limits": {"tokens_per_min": 7}, "budget": null}"#).client;
        let limits = Limits {
            req_per_min: None,
            tokens_per_min: Some(7),
        };
        let budget = None;
        assert_eq!(
            changed,
            Client {
                limits,
                budget,
                ..expected
            }
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_path_and_no_secret() {
        for (text, says) in [
            ("", "is not JSON"),
            ("{}", "client_id: is missing; give the client an id"),
            (
                r#"{"client_id": "a", "description": 5}"#,
                "description: expected text, in quotes",
            ),
            (
                r#"{"client_id": "a", "allowed_providers": [true]}"#,
                "allowed_providers[0]: expected text",
            ),
            (
                r#"{"client_id": "a", "limits": {"req_per_min": "5"}}"#,
                "limits.req_per_min: expected a number",
            ),
            (r#"{"client_id": "a b"}"#, "client_id: `a b` is not an id"),
            (r#"{"client_id": "none"}"#, "is reserved"),
            (
                r#"{"client_id": "a", "limit": {}}"#,
                "limit: unknown key; did you mean `limits`?",
            ),
            (
                r#"{"client_id": "a", "limits": {"req_per_min": 0}}"#,
                "limits.req_per_min: `0` is not a whole number",
            ),
            (
                r#"{"client_id": "a", "budget": {"usd": 1e2}}"#,
                "budget.usd: `1e2` is not an amount of USD",
            ),
            (
                r#"{"client_id": "a", "allowed_providers": ["opnai"]}"#,
                "allowed_providers[0]: no provider has this id; did you mean `openai`?",
            ),
            (
                r#"{"client_id": "a", "allowed_providers": []}"#,
                "allows no provider",
            ),
            (
                r#"{"client_id": "a", "client_id": "b"}"#,
                "client_id: is given twice",
            ),
            (
                r#"{"client_id": "a", "api_key": "my secret"}"#,
                "api_key: the key holds a space",
            ),
            (
                r#"{"client_id": "a", "api_key": "sk-****"}"#,
                "api_key: is the mask",
            ),
            (
                r#"{"client_id": "a", "api_key": {"x": "my secret"}}"#,
                "api_key: expected a single value",
            ),
            (r#""my secret""#, "expected a mapping of keys"),
            ("client_id: a", "is not JSON"),
            (&"[".repeat(1000), "is not JSON"),
        ] {
            let problems = read(text).expect_err(text).join("\n");
            assert!(problems.contains(says), "{text}: {problems}");
            assert!(!problems.contains("my secret"), "{problems}");
        }
        let before = read(r#"{"client_id": "a"}"#).expect("sound").client;
        let other = ClientBody::read(r#"{"client_id": "b"}"#, Some(&before), &[]);
        assert!(other.expect_err("another id")[0].contains("is not the client of the path"));
    }

    #[test]
    fn a_rotation_has_a_bounded_overlap() {
        let read = |text| RotateBody::read(text);
        assert_eq!(
            read("").expect("sound").overlap,
            Duration::from_secs(86_400)
        );
        let body = read(r#"{"overlap_seconds": 0, "api_key": "k"}"#).expect("sound");
        assert_eq!(body.overlap, Duration::ZERO);
        assert_eq!(body.key, Some(Secret::new("k").digest()));
        for text in [
            r#"{"overlap_seconds": 7776001}"#,
            r#"{"overlap_seconds": -1}"#,
            r#"{"overlap": 1}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
