//! Counters in Redis, that `redis-cli` can read.
//!
//! ```text
//! {coo:5f0c..}:fence                         second, rows: where this instance is
//! {coo:5f0c..}:total                         requests, input, output, cost_nano_usd, ...
//! {coo:5f0c..}:route:openai:gpt-4o:openai-1  the same of a provider, model and key
//! {coo:5f0c..}:client:web                    the same of a client
//! {coo:5f0c..}:errors                        failures by provider:type
//! {coo:5f0c..}:day:2026-11-24:total ...      all of them by the day, the hour and the minute
//! {coo:5f0c..}:clients, {coo:5f0c..}:routes  sets of the names
//! coo:instances                              who writes here, and when it was last there
//! ```
//!
//! Each but the last is written by one script, which looks at the fence first and moves it last
//! (`redis/apply.lua`). The braces put an instance into one slot of a cluster, so that the script
//! works there, and different instances into different ones. Numbers are integers that
//! `HINCRBY` adds in 64 bits; columns that are 0 are not there.
//!
//! A batch is of one bucket, so it is added up by key before it goes: a client with forty routes
//! costs what one with one route costs.

mod batch;
mod fault;
mod keys;
mod link;
mod totals;

pub use totals::{Counted, RedisTotals, Span, Writer, totals};

use super::{Applied, Fault, Reason, Sink, Stored};
use crate::history::{Position, Sealed};
use batch::Batch;
use keys::Keys;
use link::{Link, Program};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a Redis is reached, and what is kept in it.
#[derive(Clone)]
pub struct RedisOptions {
    /// Host and port; several only for a cluster.
    pub nodes: Vec<(String, u16)>,
    /// The ACL user; without one it is `default`.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The database; a cluster has only 0.
    pub db: u32,
    /// Whether it is a Redis Cluster.
    pub is_cluster: bool,
    /// Whether to speak TLS.
    pub is_tls: bool,
    /// Certificates of the authorities to trust instead of the system's, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// What all keys begin with.
    pub prefix: String,
    /// What this instance is called in the list of instances.
    pub name: String,
    /// How long buckets stay after their end.
    pub retention: RedisRetention,
}

/// How long the buckets of each width stay after their end; totals stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisRetention {
    /// Buckets of a minute.
    pub minute: Duration,
    /// Buckets of an hour.
    pub hour: Duration,
    /// Buckets of a day of UTC.
    pub day: Duration,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.password.as_ref().map(|_| "***");
        f.debug_struct("RedisOptions")
            .field("nodes", &self.nodes)
            .field("username", &self.username)
            .field("password", &secret)
            .field("is_cluster", &self.is_cluster)
            .field("is_tls", &self.is_tls)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The sink.
pub struct RedisSink {
    options: RedisOptions,
    /// `None` while a call is under way, and after one that failed: what an answer comes late
    /// on is not used again.
    link: Option<Link>,
    apply: Program,
    position: Program,
}

impl fmt::Debug for RedisSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSink")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl RedisSink {
    /// A sink that connects when it is first asked.
    #[must_use]
    pub fn new(options: RedisOptions) -> Self {
        Self {
            options,
            link: None,
            apply: Program::new(include_str!("redis/apply.lua")),
            position: Program::new(include_str!("redis/position.lua")),
        }
    }

    async fn connected(&mut self) -> Result<Link, Fault> {
        match self.link.take() {
            Some(link) => Ok(link),
            None => Link::new(&self.options).await,
        }
    }

    async fn locate(&self, link: &mut Link, instance: u64) -> Result<Stored, Fault> {
        let keys = Keys::new(&self.options.prefix, instance);
        let seen = serde_json::json!({ "name": self.options.name, "seen": now_s() });
        let mut note = redis::cmd("HSET");
        note.arg(Keys::instances(&self.options.prefix))
            .arg(keys.instance())
            .arg(seen.to_string());
        let _fields: i64 = link.ask(&note).await?;
        let mut call = self.position.call(2);
        call.arg(keys.fence()).arg(keys.total());
        let (second, rows, policy): (String, String, String) =
            link.run(&self.position, call).await?;
        if policy.starts_with("allkeys-") {
            let detail = format!(
                "its maxmemory-policy {policy} throws counters away; set noeviction, or one that \
                 begins with volatile-"
            );
            return Err(Fault::new(Reason::Refused, detail));
        }
        if second.is_empty() {
            return Ok(Stored::Nothing);
        }
        match (second.parse(), rows.parse()) {
            (Ok(second), Ok(rows)) => Ok(Stored::At(Position { second, rows })),
            _ => {
                let detail = format!("{} has no two numbers", keys.fence());
                Err(Fault::new(Reason::Refused, detail))
            }
        }
    }
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl Sink for RedisSink {
    async fn position(&mut self, instance: u64) -> Result<Stored, Fault> {
        let was_idle = self.link.is_some();
        let mut link = self.connected().await?;
        let mut stored = self.locate(&mut link, instance).await;
        // Redis, or what is before it, closes connections that were idle.
        if was_idle && stored.as_ref().is_err_and(|it| it.reason == Reason::Broken) {
            link = Link::new(&self.options).await?;
            stored = self.locate(&mut link, instance).await;
        }
        let stored = stored?;
        self.link = Some(link);
        Ok(stored)
    }

    async fn apply(
        &mut self,
        instance: u64,
        at: Option<Position>,
        rows: &Sealed,
    ) -> Result<Applied, Fault> {
        let keys = Keys::new(&self.options.prefix, instance);
        let batch = Batch::new(&keys, rows, &self.options.retention, now_s());
        let mut link = self.connected().await?;
        let call = batch.call(&self.apply, at, rows.to);
        let taken: i64 = link.run(&self.apply, call).await?;
        self.link = Some(link);
        match taken {
            1 => Ok(Applied::Taken(Vec::new())),
            _ => Ok(Applied::Elsewhere),
        }
    }
}
