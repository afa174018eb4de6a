//! An entry as a line of the store: `number checksum json`.

use super::entry::Entry;
use crate::control::hex;
use coo_llm_config::{
    AllowedProviders, Budget, BudgetAction, BudgetPeriod, Client, IngestRight, KeyDigest, Limits,
    OldKey,
};
use coo_llm_core::{NanoUsd, UnixMillis};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of a line's SHA-256 that stand in it: against damage, not against forgery.
const SUM_BYTES: usize = 8;

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Client(Box<Kept>),
    Removed {
        id: String,
    },
    /// Nothing is kept of this id any more.
    Forgotten {
        id: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    id: String,
    key_sha256: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    old_keys: Vec<KeptKey>,
    description: String,
    /// `None` is all.
    allowed_providers: Option<Vec<String>>,
    ingest: String,
    req_per_min: Option<u64>,
    tokens_per_min: Option<u64>,
    budget: Option<KeptBudget>,
    created_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptKey {
    key_sha256: String,
    until_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptBudget {
    nano_usd: u64,
    per: String,
    action: String,
}

/// The line of an entry; `None` says that nothing is kept of the id.
pub(super) fn line(number: u64, id: &str, entry: Option<&Entry>) -> String {
    let id = || id.to_owned();
    let said = match entry {
        Some(Entry::Client { client, created }) => Said::Client(Box::new(kept(client, *created))),
        Some(Entry::Removed) => Said::Removed { id: id() },
        None => Said::Forgotten { id: id() },
    };
    let json = serde_json::to_string(&said).expect("it has string keys and no failing parts");
    format!("{number} {} {json}\n", sum(number, &json))
}

/// Reads the line of this number, without its end.
///
/// # Errors
/// What is wrong with it; nothing of its text is repeated.
pub(super) fn read(line: &[u8], number: u64) -> Result<(String, Option<Entry>), &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let mut parts = line.splitn(3, ' ');
    let (Some(found), Some(sum_found), Some(json)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err("it is not whole");
    };
    if sum_found != sum(number, json) {
        return Err("its checksum is another one");
    }
    if found != number.to_string() {
        return Err("its number is another one");
    }
    let said = serde_json::from_str(json).map_err(|_| "this version does not know what it says")?;
    Ok(match said {
        Said::Client(kept) => {
            let entry = entry(&kept).ok_or("this version does not know what it says")?;
            (kept.id, Some(entry))
        }
        Said::Removed { id } => (id, Some(Entry::Removed)),
        Said::Forgotten { id } => (id, None),
    })
}

fn sum(number: u64, json: &str) -> String {
    let digest = Sha256::digest(format!("{number} {json}"));
    hex::of(&digest[..SUM_BYTES])
}

const RIGHTS: [(IngestRight, &str); 3] = [
    (IngestRight::Off, "off"),
    (IngestRight::Own, "own"),
    (IngestRight::Any, "any"),
];
const PERIODS: [(BudgetPeriod, &str); 2] =
    [(BudgetPeriod::Day, "day"), (BudgetPeriod::Month, "month")];
const ACTIONS: [(BudgetAction, &str); 2] =
    [(BudgetAction::Warn, "warn"), (BudgetAction::Block, "block")];

/// The word for a value of a closed list.
fn word<T: PartialEq>(words: &[(T, &'static str)], value: &T) -> &'static str {
    let known = words.iter().find(|(known, _)| known == value);
    known.map_or("", |(_, word)| word)
}

fn value<T: Copy>(words: &[(T, &'static str)], word: &str) -> Option<T> {
    let known = words.iter().find(|(_, known)| *known == word);
    known.map(|(value, _)| *value)
}

/// How a client's right to send records is written.
pub(super) fn ingest_word(right: IngestRight) -> &'static str {
    word(&RIGHTS, &right)
}

/// How a budget is written: after what time it begins anew, and what happens when it is spent.
pub(super) fn budget_words(budget: &Budget) -> (&'static str, &'static str) {
    (word(&PERIODS, &budget.per), word(&ACTIONS, &budget.action))
}

fn kept(client: &Client, created: Option<UnixMillis>) -> Kept {
    let old_keys = client.old_keys.iter().map(|old| KeptKey {
        key_sha256: hex::of(&old.key.0),
        until_ms: old.until.0,
    });
    Kept {
        id: client.id.clone(),
        key_sha256: hex::of(&client.key.0),
        old_keys: old_keys.collect(),
        description: client.description.clone(),
        allowed_providers: match &client.allowed_providers {
            AllowedProviders::Any => None,
            AllowedProviders::Only(ids) => Some(ids.clone()),
        },
        ingest: ingest_word(client.ingest).to_owned(),
        req_per_min: client.limits.req_per_min,
        tokens_per_min: client.limits.tokens_per_min,
        budget: client.budget.map(|budget| {
            let (per, action) = budget_words(&budget);
            KeptBudget {
                nano_usd: budget.usd.0,
                per: per.to_owned(),
                action: action.to_owned(),
            }
        }),
        created_ms: created.map(|at| at.0),
    }
}

fn entry(kept: &Kept) -> Option<Entry> {
    let digest = |text: &str| hex::digest(text.as_bytes()).map(KeyDigest);
    let old_key = |old: &KeptKey| {
        Some(OldKey {
            key: digest(&old.key_sha256)?,
            until: UnixMillis(old.until_ms),
        })
    };
    let budget = match &kept.budget {
        None => None,
        Some(budget) => Some(Budget {
            usd: NanoUsd(budget.nano_usd),
            per: value(&PERIODS, &budget.per)?,
            action: value(&ACTIONS, &budget.action)?,
        }),
    };
    let allowed = kept.allowed_providers.clone();
    let client = Client {
        id: kept.id.clone(),
        key: digest(&kept.key_sha256)?,
        old_keys: kept.old_keys.iter().map(old_key).collect::<Option<_>>()?,
        description: kept.description.clone(),
        allowed_providers: allowed.map_or(AllowedProviders::Any, AllowedProviders::Only),
        ingest: value(&RIGHTS, &kept.ingest)?,
        limits: Limits {
            req_per_min: kept.req_per_min,
            tokens_per_min: kept.tokens_per_min,
        },
        budget,
    };
    Some(Entry::Client {
        client,
        created: kept.created_ms.map(UnixMillis),
    })
}
