//! What the store knows of one client.

use coo_llm_config::Client;
use coo_llm_core::UnixMillis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration's `api_keys`.
    Config,
    /// The admin API, be it that it changed one of the file.
    Api,
}

impl Source {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Api => "api",
        }
    }
}

/// What was done with a client of some id.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    /// It was made or changed.
    Client {
        client: Client,
        /// When it was made; not known of one of the file.
        created: Option<UnixMillis>,
    },
    /// It is one of the file, and was deleted.
    Removed,
}

/// By id.
pub(super) type Entries = BTreeMap<Arc<str>, Arc<Entry>>;
