//! A price table: a file in the format of LiteLLM's `model_prices_and_context_window.json`.
//!
//! It is one object of entries by model, each with `litellm_provider`, `mode` and prices in
//! USD a token. Numbers are read as the text that stands there and never through a float.
//! What an entry asks beyond tokens makes its model unpriced, since a cost without it
//! would be wrong. See docs/prices.md.

mod entry;
mod field;

use coo_llm_core::price::PriceList;
use entry::{Entry, Wrong};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use entry::Unpriced;

/// The largest file that is read: twenty times LiteLLM's of 2026, which has 3 MB.
pub const PRICE_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Hex digits of the content's SHA-256 that name a table: 2^48 make no mistake likely.
const HASH_DIGITS: usize = 12;
/// Faults of a file that are listed; a file of another format has thousands of them.
const FAULTS_MAX: usize = 20;
/// What is said of a name that is there more than once.
const TWICE: &str = "stands there twice";
/// The entry that documents the format.
const SAMPLE: &str = "sample_spec";

/// A table as it was read.
#[derive(Clone, Debug)]
pub struct PriceTable {
    entries: HashMap<Box<str>, Known>,
    hash: String,
    version: Option<String>,
    rounded: usize,
}

/// What a table says of a model.
#[derive(Clone, Debug)]
struct Known {
    /// `litellm_provider`.
    provider: Box<str>,
    prices: Result<Arc<PriceList>, Unpriced>,
}

/// What a table has for a model of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its prices.
    Priced(Arc<PriceList>),
    /// It is there, and its price cannot be told from tokens.
    Unpriced(Unpriced),
    /// It is not there.
    Unknown,
}

/// A value of a table that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceFault {
    /// The entry, which is the model's name.
    pub entry: String,
    /// The field of the entry; empty for the entry itself.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Why a table cannot be used.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceTableError {
    /// The file cannot be read.
    Unreadable(String),
    /// Not JSON, or not one object of objects.
    Syntax(String),
    /// Values that are wrong.
    Faults {
        /// The first of them.
        first: Vec<PriceFault>,
        /// How many there are.
        count: usize,
    },
    /// No entry has a price.
    Empty,
}

impl fmt::Display for PriceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry `{}`", self.entry.escape_debug())?;
        if !self.field.is_empty() {
            write!(f, ", field `{}`", self.field.escape_debug())?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for PriceTableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Syntax(why) => write!(f, "is no table of prices: {why}"),
            Self::Faults { first, count } => {
                for (at, fault) in first.iter().enumerate() {
                    if at > 0 {
                        f.write_str("; ")?;
                    }
                    write!(f, "{fault}")?;
                }
                match count - first.len() {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Self::Empty => f.write_str("has no entry with a price"),
        }
    }
}

impl std::error::Error for PriceTableError {}

impl PriceTable {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// [`PriceTableError`] where it is no such table, or has values that cannot be used.
    pub fn parse(content: &[u8]) -> Result<Self, PriceTableError> {
        let Members(list) = serde_json::from_slice(content)
            .map_err(|error| PriceTableError::Syntax(error.to_string()))?;
        let mut entries = HashMap::with_capacity(list.len());
        let (mut faults, mut count, mut rounded, mut version) = (Vec::new(), 0, 0, None);
        for (name, text) in list {
            if name == SAMPLE {
                continue;
            }
            if name == "version" || name == "_version" {
                version = Some(text.get().trim_matches('"').to_owned());
                continue;
            }
            let entry = if entries.contains_key(name.as_str()) {
                Err(Wrong {
                    field: String::new(),
                    message: TWICE.to_owned(),
                })
            } else {
                Entry::read(text)
            };
            match entry {
                Ok(entry) => {
                    rounded += entry.rounded;
                    let known = Known {
                        provider: entry.provider.into(),
                        prices: entry.prices.map(Arc::new),
                    };
                    entries.insert(name.into(), known);
                }
                Err(wrong) => {
                    count += 1;
                    if faults.len() < FAULTS_MAX {
                        faults.push(PriceFault {
                            entry: name,
                            field: wrong.field,
                            message: wrong.message,
                        });
                    }
                }
            }
        }
        if count > 0 {
            let first = faults;
            return Err(PriceTableError::Faults { first, count });
        }
        if entries.values().all(|known| known.prices.is_err()) {
            return Err(PriceTableError::Empty);
        }
        let mut hash = String::with_capacity(HASH_DIGITS);
        for byte in Sha256::digest(content).iter().take(HASH_DIGITS / 2) {
            hash.push_str(&format!("{byte:02x}"));
        }
        Ok(Self {
            entries,
            hash,
            version,
            rounded,
        })
    }

    /// The prices of a model of the provider that the table calls `provider`.
    ///
    /// First the entry `provider/model`, then the entry `model` if it says that it is of
    /// this provider. An entry of another provider is no price of this one.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Found {
        let exact = self.entries.get(format!("{provider}/{model}").as_str());
        let known = exact.or_else(|| {
            let known = self.entries.get(model)?;
            is_of(&known.provider, provider).then_some(known)
        });
        match known.map(|known| &known.prices) {
            Some(Ok(list)) => Found::Priced(Arc::clone(list)),
            Some(Err(why)) => Found::Unpriced(why.clone()),
            None => Found::Unknown,
        }
    }

    /// Every name that entries of this provider have for their models, without the prefix,
    /// and what is known of each.
    #[must_use]
    pub fn of_provider(&self, provider: &str) -> HashMap<Box<str>, Found> {
        let bare = |name: &str| -> Option<Box<str>> {
            let rest = name.strip_prefix(provider)?.strip_prefix('/')?;
            Some(rest.into())
        };
        self.entries
            .iter()
            .flat_map(|(name, known)| {
                let whole = is_of(&known.provider, provider).then(|| name.clone());
                bare(name).into_iter().chain(whole)
            })
            .map(|model| {
                let found = self.find(provider, &model);
                (model, found)
            })
            .collect()
    }

    /// The first hex digits of the SHA-256 of the file's content.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The version that the file gives itself in a member `version`, which LiteLLM's has not.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Entries with prices, and without.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let priced = self.entries.values().filter(|known| known.prices.is_ok());
        let priced = priced.count();
        (priced, self.entries.len() - priced)
    }

    /// Prices that had digits below one femto-USD a token and were rounded to it.
    #[must_use]
    pub fn rounded(&self) -> usize {
        self.rounded
    }

    /// Names of the entries, `litellm_provider` of each, and what is known of it.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, Result<&PriceList, &Unpriced>)> {
        self.entries.iter().map(|(name, known)| {
            let prices = known.prices.as_ref().map(AsRef::as_ref);
            (&**name, &*known.provider, prices)
        })
    }
}

/// Whether an entry's `litellm_provider` is this provider, or a part of it such as
/// `vertex_ai-anthropic_models` or `text-completion-openai`.
fn is_of(entry: &str, provider: &str) -> bool {
    let rest = entry.strip_prefix("text-completion-").unwrap_or(entry);
    rest.strip_prefix(provider)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The members of an object, in its order and each as its text.
struct Members<'f>(Vec<(String, &'f RawValue)>);

impl<'f, 'de: 'f> Deserialize<'de> for Members<'f> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of models")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests;
