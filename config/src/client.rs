//! `api_keys`: the clients, what they may use and how much.

use crate::reader::{Field, Section};
use crate::scalar::{id, integer, usd};
use crate::secret::{KeyDigest, Secret};
use coo_llm_core::{NanoUsd, UnixMillis};

/// A client.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its id: the `client_id` label.
    pub id: String,
    /// The digest of its key; the key itself is not kept.
    pub key: KeyDigest,
    /// Keys that it had and that still work, for a while. A file has none: keys are rotated
    /// over the admin API.
    pub old_keys: Vec<OldKey>,
    /// For people.
    pub description: String,
    /// Where its requests may go.
    pub allowed_providers: AllowedProviders,
    /// Whose records it may send to `/ingest/v1/records`.
    pub ingest: IngestRight,
    /// Its limits.
    pub limits: Limits,
    /// Its budget.
    pub budget: Option<Budget>,
}

/// A key that works until its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldKey {
    /// Its digest.
    pub key: KeyDigest,
    /// The first moment at which it works no more.
    pub until: UnixMillis,
}

/// Where a client's requests may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedProviders {
    /// Anywhere: `["*"]`.
    Any,
    /// To the providers of these ids.
    Only(Vec<String>),
}

impl AllowedProviders {
    /// Whether `provider` is among them.
    #[must_use]
    pub fn allows(&self, provider: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ids) => ids.iter().any(|id| id == provider),
        }
    }
}

/// Whose records a client may send to `/ingest/v1/records`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IngestRight {
    /// Nobody's.
    Off,
    /// Its own: those whose `client_id` is its id.
    #[default]
    Own,
    /// Every client's, as a gateway needs it that serves many.
    Any,
}

/// Limits by the minute; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute.
    pub req_per_min: Option<u64>,
    /// Tokens a minute.
    pub tokens_per_min: Option<u64>,
}

/// A client's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The amount.
    pub usd: NanoUsd,
    /// After what time it starts anew, in UTC.
    pub per: BudgetPeriod,
    /// What happens when it is spent.
    pub action: BudgetAction,
}

/// After what time a budget starts anew, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetPeriod {
    /// At midnight.
    Day,
    /// On the first of the month.
    Month,
}

/// What happens when a budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetAction {
    /// It is said in metrics and log.
    Warn,
    /// Requests are refused.
    Block,
}

impl Client {
    /// A missing id is read as empty and a missing key as zeros; both have been reported then.
    pub(crate) fn read(s: &Section<'_>) -> Self {
        let name = s.required("id", "give the client an id, such as `id: client-1`", id);
        Self {
            id: name.unwrap_or_default(),
            key: read_key(s).unwrap_or(KeyDigest([0; 32])),
            old_keys: Vec::new(),
            description: read_description(s),
            allowed_providers: s
                .field("allowed_providers")
                .map_or(AllowedProviders::Any, |field| read_allowed(&field)),
            ingest: read_ingest(s),
            limits: s.section("limits", Limits::read),
            budget: s.section("budget", Budget::read),
        }
    }

    /// Reads what a request says of a client. What it leaves out is as in `before`, or has its
    /// default; a key is only in the second part, if one is given.
    pub(crate) fn read_body(s: &Section<'_>, before: Option<&Self>) -> (Self, Option<KeyDigest>) {
        let name = match before {
            Some(before) => s.value("client_id", before.id.clone(), |text| {
                let is_same = text == before.id;
                let wrong = || "is not the client of the path; an id does not change".to_owned();
                is_same.then(|| text.to_owned()).ok_or_else(wrong)
            }),
            None => {
                let hint = "give the client an id, such as \"client_id\": \"client-1\"";
                s.required("client_id", hint, id).unwrap_or_default()
            }
        };
        let key = s.field("api_key").and_then(|field| field.key());
        let default = Self {
            id: String::new(),
            key: KeyDigest([0; 32]),
            old_keys: Vec::new(),
            description: String::new(),
            allowed_providers: AllowedProviders::Any,
            ingest: IngestRight::default(),
            limits: Limits::default(),
            budget: None,
        };
        let mut client = before.unwrap_or(&default).clone();
        client.id = name;
        // Each key is asked for in any case, so that it is known.
        let description = read_description(s);
        let allowed = s.field("allowed_providers");
        let allowed = allowed.map_or(AllowedProviders::Any, |field| read_allowed(&field));
        let ingest = read_ingest(s);
        let limits = s.section("limits", Limits::read);
        let budget = s.section("budget", Budget::read);
        if s.has("description") {
            client.description = description;
        }
        if s.has("allowed_providers") {
            client.allowed_providers = allowed;
        }
        if s.has("ingest") {
            client.ingest = ingest;
        }
        if s.has("limits") {
            client.limits = limits;
        }
        if s.has("budget") {
            client.budget = budget;
        }
        (client, key.as_ref().map(Secret::digest))
    }

    /// Whether a key was read; see [`Client::read`].
    pub(crate) fn has_key(&self) -> bool {
        self.key != KeyDigest([0; 32])
    }
}

fn read_description(s: &Section<'_>) -> String {
    s.optional("description", |text| Ok(text.to_owned()))
        .unwrap_or_default()
}

fn read_ingest(s: &Section<'_>) -> IngestRight {
    let words = [
        ("off", IngestRight::Off),
        ("own", IngestRight::Own),
        ("any", IngestRight::Any),
    ];
    s.choice("ingest", IngestRight::default(), &words)
}

/// `key` or `key_sha256`, exactly one of them.
fn read_key(s: &Section<'_>) -> Option<KeyDigest> {
    let (plain, hashed) = (s.field("key"), s.field("key_sha256"));
    match (plain, hashed) {
        (Some(_), Some(field)) => {
            field.complain("`key` is given too; keep one of the two");
            None
        }
        (None, None) => {
            s.missing(
                "key",
                "write `key: \"${CLIENT_KEY}\"`, or `key_sha256` with its SHA-256",
            );
            None
        }
        (Some(field), None) => field.key().as_ref().map(Secret::digest),
        (None, Some(field)) => {
            let text = field.key()?;
            let digest = KeyDigest::from_hex(text.expose());
            if digest.is_none() {
                field.complain("is not a SHA-256; write its 64 hexadecimal digits");
            }
            digest
        }
    }
}

fn read_allowed(field: &Field<'_>) -> AllowedProviders {
    let items = field.items();
    if items.is_empty() {
        field.complain("allows no provider; write [\"*\"] for all of them");
    }
    let names: Vec<String> = items
        .iter()
        .filter_map(|item| item.parse(|text| Ok(text.to_owned())))
        .collect();
    if names.iter().any(|name| name == "*") {
        if names.len() > 1 {
            field.complain("`*` already allows every provider; keep it alone");
        }
        return AllowedProviders::Any;
    }
    AllowedProviders::Only(names)
}

impl Limits {
    pub(crate) fn read(s: &Section<'_>) -> Self {
        let per_minute = |key| s.optional(key, integer(1, 1 << 50));
        Self {
            req_per_min: per_minute("req_per_min"),
            tokens_per_min: per_minute("tokens_per_min"),
        }
    }
}

impl Budget {
    fn read(s: &Section<'_>) -> Option<Self> {
        let usd = s.required("usd", "write the amount, such as 100.00", usd);
        let periods = [("day", BudgetPeriod::Day), ("month", BudgetPeriod::Month)];
        let actions = [("warn", BudgetAction::Warn), ("block", BudgetAction::Block)];
        let per = s.choice("per", BudgetPeriod::Month, &periods);
        let action = s.choice("action", BudgetAction::Block, &actions);
        Some(Self {
            usd: usd?,
            per,
            action,
        })
    }
}
