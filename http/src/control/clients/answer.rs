//! What the endpoints of clients answer.

use super::entry::Source;
use super::roster::Listed;
use super::row::{budget_words, ingest_word};
use crate::control::figures::Usd;
use coo_llm_config::{AllowedProviders, MASK, Secret};
use coo_llm_core::UnixMillis;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A key that was made, in the one answer that has it.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String)]
pub struct ShownOnce(pub(super) Secret);

impl Serialize for ShownOnce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// A client was made, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClientChanged {
    /// `created`, `updated`, `deleted` or `rotated`.
    pub(super) status: &'static str,
    /// The client's id.
    pub(super) client_id: String,
    /// The key, if it was made here; nobody can show it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_key: Option<ShownOnce>,
    /// Of a rotation: the unix second by which the keys before work no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) old_keys_end: Option<u64>,
}

impl ClientChanged {
    pub(super) fn new(status: &'static str, id: &str) -> Self {
        Self {
            status,
            client_id: id.to_owned(),
            api_key: None,
            old_keys_end: None,
        }
    }
}

/// The clients.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientList {
    pub(super) clients: Vec<ClientShown>,
}

/// A client.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientShown {
    id: String,
    /// A mask; only the digest of a key is kept.
    api_key: &'static str,
    description: String,
    /// Ids of providers, or `*` for all.
    allowed_providers: Vec<String>,
    /// Whose records it may send to `/ingest/v1/records`: `off`, `own` or `any`.
    ingest: &'static str,
    limits: LimitsShown,
    /// Null where it has none.
    budget: Option<BudgetShown>,
    /// `config` for one of the file, `api` for one that was made or changed here.
    source: &'static str,
    /// Unix seconds; null for one that began in the file.
    created_at: Option<u64>,
    /// When its last request ended, in unix seconds; null where none is known.
    last_used: Option<u64>,
    /// The unix second by which each older key that still works does so no more.
    old_keys_end: Vec<u64>,
}

/// Limits by the minute; null is no limit.
#[derive(Debug, Serialize, ToSchema)]
struct LimitsShown {
    req_per_min: Option<u64>,
    tokens_per_min: Option<u64>,
}

/// A budget.
#[derive(Debug, Serialize, ToSchema)]
struct BudgetShown {
    usd: Usd,
    /// `day` or `month`, in UTC.
    per: &'static str,
    /// `warn` or `block`.
    action: &'static str,
}

impl ClientShown {
    pub(super) fn new(listed: Listed<'_>, last_used: Option<UnixMillis>) -> Self {
        let Listed {
            client,
            source,
            created,
        } = listed;
        Self {
            id: client.id.clone(),
            api_key: MASK,
            description: client.description.clone(),
            allowed_providers: match &client.allowed_providers {
                AllowedProviders::Any => vec!["*".to_owned()],
                AllowedProviders::Only(ids) => ids.clone(),
            },
            ingest: ingest_word(client.ingest),
            limits: LimitsShown {
                req_per_min: client.limits.req_per_min,
                tokens_per_min: client.limits.tokens_per_min,
            },
            budget: client.budget.map(|budget| {
                let (per, action) = budget_words(&budget);
                BudgetShown {
                    usd: Usd(budget.usd),
                    per,
                    action,
                }
            }),
            source: Source::as_str(source),
            created_at: created.map(|at| at.0 / 1000),
            last_used: last_used.map(|at| at.0 / 1000),
            old_keys_end: client
                .old_keys
                .iter()
                .map(|old| old.until.0.div_ceil(1000))
                .collect(),
        }
    }
}

/// A client to make, or what is to change of one: what is left out of a change stays, null
/// asks for the default.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document; bodies are read by the rules of the file"
)]
pub(super) struct ClientGiven {
    /// Of a client to make: 1 to 64 letters, digits, `.`, `_` and `-`.
    client_id: Option<String>,
    /// Without it one is made, and shown once.
    api_key: Option<String>,
    /// For people.
    description: Option<String>,
    /// Ids of providers, or `["*"]`, the default.
    allowed_providers: Option<Vec<String>>,
    /// `off`, `own` (the default) or `any`.
    ingest: Option<String>,
    limits: Option<LimitsGiven>,
    budget: Option<BudgetGiven>,
}

/// Limits by the minute.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document; bodies are read by the rules of the file"
)]
struct LimitsGiven {
    #[schema(minimum = 1)]
    req_per_min: Option<u64>,
    #[schema(minimum = 1)]
    tokens_per_min: Option<u64>,
}

/// A budget.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document; bodies are read by the rules of the file"
)]
struct BudgetGiven {
    /// An amount above zero with at most 9 decimals.
    usd: f64,
    /// `day` or `month` (the default).
    per: Option<String>,
    /// `warn` or `block` (the default).
    action: Option<String>,
}

/// How a key is to be replaced.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document; bodies are read by the rules of the file"
)]
pub(super) struct RotationGiven {
    /// Without it one is made, and shown once.
    api_key: Option<String>,
    /// For how long the keys before go on to work; a day where it is left out.
    #[schema(minimum = 0, maximum = 7_776_000)]
    overlap_seconds: Option<u64>,
}
