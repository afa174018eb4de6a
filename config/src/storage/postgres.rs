//! A PostgreSQL sink.

use super::Retention;
use crate::reader::Section;
use crate::scalar::non_empty;
use crate::secret::Secret;
use std::path::PathBuf;

/// The longest name that PostgreSQL does not cut.
const NAME_BYTES_MAX: usize = 63;

/// A PostgreSQL sink.
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresSink {
    /// The connection URL, which may hold a password.
    pub url: Secret,
    /// A PEM file of further root certificates for TLS.
    pub ca_file: Option<PathBuf>,
    /// The schema that has the tables.
    pub schema: String,
    /// How long rows of each width stay: then they are added up to the next one, and at last removed.
    pub retention: Retention,
}

impl PostgresSink {
    pub(super) fn read(s: &Section<'_>) -> Option<Self> {
        let url = s.secret("url");
        if url.is_none() {
            s.missing("url", "write postgres://user:password@host/database");
        }
        let is_url = |url: &Secret| {
            url.expose().starts_with("postgres://") || url.expose().starts_with("postgresql://")
        };
        if url.as_ref().is_some_and(|url| !is_url(url)) {
            s.complain(
                "url",
                "is not a URL; write postgres://user:password@host/database",
            );
        }
        let ca_file = s.optional("ca_file", non_empty).map(PathBuf::from);
        let schema = s.value("schema", "coo_llm".to_owned(), schema);
        let retention = s.section("retention", Retention::read);
        Some(Self {
            url: url?,
            ca_file,
            schema,
            retention,
        })
    }
}

/// A name that needs no quotes.
fn schema(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    // PostgreSQL keeps these for itself.
    let is_theirs = text.starts_with("pg_");
    if !begins || is_theirs || text.len() > NAME_BYTES_MAX || !text.chars().all(is_plain) {
        return Err("is not 1 to 63 small letters, digits and `_`".to_owned());
    }
    Ok(text.to_owned())
}
