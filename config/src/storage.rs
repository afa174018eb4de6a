//! `storage`: the history and the sinks.

mod postgres;
mod redis;

pub use postgres::PostgresSink;
pub use redis::{RedisRetention, RedisSink};

use crate::reader::{Field, Section};
use crate::scalar::{base_url, boolean, integer, non_empty, positive_duration};
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// The longest flush interval.
const FLUSH_MAX: Duration = HOUR;

/// The `storage` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// The embedded history; `None` where `storage.history.enabled` is false.
    pub history: Option<History>,
    /// Where else the counters go.
    pub sinks: Vec<Sink>,
    /// How often they go there, and the history's rows to its file.
    pub flush_interval: Duration,
    /// What waits for sinks that are down.
    pub spool: Spool,
}

/// The embedded SQLite history.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The database file.
    pub path: PathBuf,
    /// How long rows are kept.
    pub retention: Retention,
}

/// How long the rows of each bucket width are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    /// Buckets of 10 seconds.
    pub ten_seconds: Duration,
    /// Buckets of 1 minute.
    pub one_minute: Duration,
    /// Buckets of 1 hour.
    pub one_hour: Duration,
}

/// A store that the counters are written to.
#[derive(Clone, Debug, PartialEq)]
pub enum Sink {
    /// Redis or Redis Cluster.
    Redis(RedisSink),
    /// InfluxDB.
    Influx(InfluxSink),
    /// PostgreSQL.
    Postgres(PostgresSink),
}

/// An InfluxDB sink.
#[derive(Clone, Debug, PartialEq)]
pub struct InfluxSink {
    /// The base URL.
    pub addr: String,
    /// The API token, if there is one.
    pub token: Option<Secret>,
    /// The organisation; without one the v1 API is used.
    pub org: Option<String>,
    /// The bucket, or the database of the v1 API.
    pub bucket: String,
    /// A PEM file of further root certificates for `https`.
    pub ca_file: Option<PathBuf>,
}

/// Rows on disk that sinks have not taken yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Spool {
    /// The folder.
    pub path: PathBuf,
    /// How large it may grow, in bytes.
    pub max_bytes: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            history: Some(History::default()),
            sinks: Vec::new(),
            flush_interval: Duration::from_secs(10),
            spool: Spool::default(),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self {
            path: "./data/history.db".into(),
            retention: Retention::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            ten_seconds: DAY,
            one_minute: DAY * 30,
            one_hour: DAY * 730,
        }
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            path: "./data/spool".into(),
            max_bytes: 1 << 30,
        }
    }
}

impl Storage {
    pub(crate) fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let history = s.field("history").map(|field| field.section(History::read));
        let sinks = s
            .field("runtime")
            .map(Field::one_or_items)
            .unwrap_or_default();
        Self {
            history: history.unwrap_or(default.history),
            sinks: sinks
                .iter()
                .filter_map(|sink| sink.section(Sink::read))
                .collect(),
            flush_interval: s.value("flush_interval", default.flush_interval, flush_interval),
            spool: s.section("spool", Spool::read),
        }
    }
}

impl History {
    fn read(s: &Section<'_>) -> Option<Self> {
        s.choice("type", (), &[("sqlite", ())]);
        let history = Self {
            path: s
                .optional("path", non_empty)
                .map_or(Self::default().path, PathBuf::from),
            retention: s.section("retention", Retention::read),
        };
        s.value("enabled", true, boolean).then_some(history)
    }
}

impl Retention {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let retention = Self {
            ten_seconds: s.value("10s", default.ten_seconds, retention),
            one_minute: s.value("1m", default.one_minute, retention),
            one_hour: s.value("1h", default.one_hour, retention),
        };
        if retention.one_minute < retention.ten_seconds {
            s.complain("1m", "is shorter than that of 10s; write at least as much");
        }
        if retention.one_hour < retention.one_minute {
            s.complain("1h", "is shorter than that of 1m; write at least as much");
        }
        retention
    }
}

impl Spool {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            path: s
                .optional("path", non_empty)
                .map_or(default.path, PathBuf::from),
            max_bytes: s.value("max_bytes", default.max_bytes, integer(1, 1 << 50)),
        }
    }
}

/// Rows are removed by the hour.
fn retention(text: &str) -> Result<Duration, String> {
    let kept = positive_duration(text)?;
    if kept < HOUR {
        return Err("is too short; write 1h or more".to_owned());
    }
    Ok(kept)
}

/// What a kill loses; a minute of rows a flush is much already.
fn flush_interval(text: &str) -> Result<Duration, String> {
    let interval = positive_duration(text)?;
    if !(Duration::from_secs(1)..=FLUSH_MAX).contains(&interval) {
        return Err("is not between 1s and 1h".to_owned());
    }
    Ok(interval)
}

#[derive(Clone, Copy)]
enum SinkType {
    Redis,
    Influx,
    Postgres,
}

impl Sink {
    fn read(s: &Section<'_>) -> Option<Self> {
        let words = [
            ("redis", SinkType::Redis),
            ("influxdb", SinkType::Influx),
            ("postgres", SinkType::Postgres),
        ];
        let hint = "write redis, influxdb or postgres";
        let kind = s.required("type", hint, |text| crate::reader::one_of(text, &words));
        match kind {
            Some(SinkType::Redis) => RedisSink::read(s).map(Self::Redis),
            Some(SinkType::Influx) => InfluxSink::read(s).map(Self::Influx),
            Some(SinkType::Postgres) => PostgresSink::read(s).map(Self::Postgres),
            None => {
                // Which keys it may have depends on the type: do not call them unknown.
                let of_others = ["token", "org", "bucket", "url", "schema"];
                for key in redis::KEYS.into_iter().chain(of_others) {
                    s.field(key);
                }
                None
            }
        }
    }
}

impl InfluxSink {
    fn read(s: &Section<'_>) -> Option<Self> {
        let token = s.secret("token");
        let org = s
            .optional("org", |text| Ok(text.to_owned()))
            .filter(|org| !org.is_empty());
        let addr = s.required(
            "addr",
            "write a URL, such as http://localhost:8086",
            base_url,
        );
        let bucket = s.required("bucket", "name the bucket to write to", non_empty);
        let ca_file = s.optional("ca_file", non_empty).map(PathBuf::from);
        let is_plain = |addr: &String| !addr.starts_with("https://");
        if ca_file.is_some() && addr.as_ref().is_some_and(is_plain) {
            s.complain("ca_file", "is only for an https:// URL; remove it");
        }
        Some(Self {
            addr: addr?,
            token,
            org,
            bucket: bucket?,
            ca_file,
        })
    }
}
