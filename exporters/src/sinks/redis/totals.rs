//! What all instances have written to a Redis, added up.

use super::RedisOptions;
use super::batch::LAST;
use super::keys::{Keys, Width, parts, with_colons};
use super::link::Link;
use crate::history::Position;
use crate::history::{NUMBERS, TOTALS, totals_of};
use crate::sinks::{Fault, Reason};
use coo_llm_core::snapshot::Totals;
use coo_llm_core::{Micros, UnixMillis};
use redis::Pipeline;
use std::collections::{BTreeMap, HashMap};

/// Hashes that are asked for at a time.
const HASHES_MAX: usize = 500;
/// How often an instance that writes meanwhile is read again.
const TRIES_MAX: u32 = 5;

/// Of which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// All of it.
    Ever,
    /// The day of UTC that has this second.
    Day(u64),
    /// The hour.
    Hour(u64),
    /// The minute, in which clients have no numbers of their own.
    Minute(u64),
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests, tokens, cost; `last_request` only where the span is [`Span::Ever`].
    pub totals: Totals,
    /// Requests that took a known time.
    pub timed: u64,
    /// How long these took together.
    pub latency: Micros,
}

/// Who writes to a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Its number.
    pub instance: u64,
    /// What it is called.
    pub name: String,
    /// Unix seconds when it last was there.
    pub seen_s: u64,
    /// How far it has come; `None` before its first rows.
    pub position: Option<Position>,
}

/// What a Redis has of all instances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedisTotals {
    /// Who wrote it.
    pub writers: Vec<Writer>,
    /// All.
    pub total: Counted,
    /// By provider, model and key.
    pub by_route: BTreeMap<[String; 3], Counted>,
    /// By client.
    pub by_client: BTreeMap<String, Counted>,
    /// Failures by provider and type.
    pub errors: BTreeMap<(String, String), u64>,
}

type Hash = HashMap<String, String>;

/// Reads and adds up what all instances wrote. Of each it is what it had at one moment: an
/// instance that writes meanwhile is read again.
///
/// # Errors
/// Where Redis does not answer or has what none of ours wrote, and where an instance writes so
/// often that it was never still ([`Reason::Busy`]).
pub async fn totals(options: &RedisOptions, span: Span) -> Result<RedisTotals, Fault> {
    let mut link = Link::new(options).await?;
    let mut list = redis::cmd("HGETALL");
    list.arg(Keys::instances(&options.prefix));
    let listed: BTreeMap<String, String> = link.ask(&list).await?;
    let mut all = RedisTotals::default();
    for (name, seen) in listed {
        let malformed = || {
            let key = Keys::instances(&options.prefix);
            Fault::new(Reason::Refused, format!("{key} has {name}, {seen}"))
        };
        let instance = u64::from_str_radix(&name, 16).map_err(|_| malformed())?;
        let seen: serde_json::Value = serde_json::from_str(&seen).map_err(|_| malformed())?;
        let keys = Keys::new(&options.prefix, instance);
        let position = add(&mut link, &keys, span, &mut all).await?;
        all.writers.push(Writer {
            instance,
            name: seen["name"].as_str().unwrap_or_default().to_owned(),
            seen_s: seen["seen"].as_u64().unwrap_or(0),
            position,
        });
    }
    Ok(all)
}

/// Adds what one instance has; where it is.
async fn add(
    link: &mut Link,
    keys: &Keys,
    span: Span,
    all: &mut RedisTotals,
) -> Result<Option<Position>, Fault> {
    for _ in 0..TRIES_MAX {
        let before = position(link, keys).await?;
        let read = Read::new(link, keys, span).await?;
        if position(link, keys).await? == before {
            read.add_to(all)?;
            return Ok(before);
        }
    }
    let detail = format!("instance {} writes without a pause", keys.instance());
    Err(Fault::new(Reason::Busy, detail))
}

async fn position(link: &mut Link, keys: &Keys) -> Result<Option<Position>, Fault> {
    let mut ask = redis::cmd("HMGET");
    ask.arg(keys.fence()).arg("second").arg("rows");
    let (second, rows): (Option<u64>, Option<u64>) = link.ask(&ask).await?;
    let position = second.zip(rows);
    Ok(position.map(|(second, rows)| Position { second, rows }))
}

/// The hashes of one instance.
struct Read {
    routes: Vec<(String, Hash)>,
    clients: Vec<(String, Hash)>,
    total: Hash,
    errors: Hash,
}

impl Read {
    async fn new(link: &mut Link, keys: &Keys, span: Span) -> Result<Self, Fault> {
        let of = match span {
            Span::Ever => String::new(),
            Span::Day(second) => Keys::bucket(Width::Day, second),
            Span::Hour(second) => Keys::bucket(Width::Hour, second),
            Span::Minute(second) => Keys::bucket(Width::Minute, second),
        };
        let mut names = Pipeline::new();
        names.cmd("SMEMBERS").arg(keys.routes());
        names.cmd("SMEMBERS").arg(keys.clients());
        names.cmd("HGETALL").arg(keys.of(&format!("{of}total")));
        names.cmd("HGETALL").arg(keys.of(&format!("{of}errors")));
        let (routes, clients, total, errors): (Vec<String>, Vec<String>, Hash, Hash) =
            link.ask_all(&names).await?;
        Ok(Self {
            routes: hashes(link, keys, &format!("{of}route:"), routes).await?,
            clients: hashes(link, keys, &format!("{of}client:"), clients).await?,
            total,
            errors,
        })
    }

    fn add_to(&self, all: &mut RedisTotals) -> Result<(), Fault> {
        all.total.add(&self.total)?;
        for (route, hash) in &self.routes {
            if let Some(parts) = parts(route).filter(|_| !hash.is_empty()) {
                all.by_route.entry(parts).or_default().add(hash)?;
            }
        }
        for (client, hash) in &self.clients {
            if !hash.is_empty() {
                all.by_client.entry(client.clone()).or_default().add(hash)?;
            }
        }
        for (name, n) in &self.errors {
            if let Some((provider, kind)) = name.split_once(':') {
                let key = (with_colons(provider), kind.to_owned());
                let sum = all.errors.entry(key).or_default();
                *sum = sum.saturating_add(number(name, n)?);
            }
        }
        Ok(())
    }
}

async fn hashes(
    link: &mut Link,
    keys: &Keys,
    of: &str,
    names: Vec<String>,
) -> Result<Vec<(String, Hash)>, Fault> {
    let mut found = Vec::with_capacity(names.len());
    for names in names.chunks(HASHES_MAX) {
        let mut ask = Pipeline::new();
        for name in names {
            ask.cmd("HGETALL").arg(keys.of(&format!("{of}{name}")));
        }
        let read: Vec<Hash> = link.ask_all(&ask).await?;
        found.extend(names.iter().cloned().zip(read));
    }
    Ok(found)
}

fn number(name: &str, text: &str) -> Result<u64, Fault> {
    let number = text.parse();
    number.map_err(|_| Fault::new(Reason::Refused, format!("{name} is {text}, no counter")))
}

impl Counted {
    fn add(&mut self, hash: &Hash) -> Result<(), Fault> {
        let n = |name: &str| hash.get(name).map_or(Ok(0), |text| number(name, text));
        let mut numbers = [0; TOTALS];
        for (at, name) in numbers.iter_mut().zip(NUMBERS) {
            *at = n(name)?;
        }
        let last = n(LAST)?;
        let last = (last > 0).then_some(UnixMillis(last));
        self.totals = self.totals.plus(&totals_of(numbers, last));
        let [timed, latency_us] = [NUMBERS[TOTALS], NUMBERS[TOTALS + 1]].map(n);
        let (timed, latency_us) = (timed?, latency_us?);
        self.timed = self.timed.saturating_add(timed);
        self.latency.0 = self.latency.0.saturating_add(latency_us);
        Ok(())
    }
}
