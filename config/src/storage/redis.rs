//! A sink of type redis.

use crate::reader::Section;
use crate::scalar::{boolean, integer, non_empty, positive_duration};
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Keys of a sink of this type, but for `type`.
pub(super) const KEYS: [&str; 9] = [
    "addr",
    "username",
    "password",
    "db",
    "cluster",
    "tls",
    "ca_file",
    "key_prefix",
    "retention",
];

/// A Redis sink.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisSink {
    /// `host:port`; of a cluster some of its nodes, with commas.
    pub addr: String,
    /// The ACL user, if it is not `default`.
    pub username: Option<String>,
    /// The password, if there is one.
    pub password: Option<Secret>,
    /// The database number.
    pub db: u32,
    /// Whether it is a cluster.
    pub cluster: bool,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What all keys begin with.
    pub key_prefix: String,
    /// How long buckets stay there.
    pub retention: RedisRetention,
}

/// How long the buckets of each width stay after their end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RedisRetention {
    /// Buckets of 1 minute.
    pub one_minute: Duration,
    /// Buckets of 1 hour.
    pub one_hour: Duration,
    /// Buckets of 1 day.
    pub one_day: Duration,
}

impl Default for RedisRetention {
    fn default() -> Self {
        Self {
            one_minute: DAY,
            one_hour: DAY * 7,
            one_day: DAY * 400,
        }
    }
}

impl RedisRetention {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            one_minute: s.value("1m", default.one_minute, retention),
            one_hour: s.value("1h", default.one_hour, retention),
            one_day: s.value("1d", default.one_day, retention),
        }
    }
}

/// Rows reach a sink after some seconds.
fn retention(text: &str) -> Result<Duration, String> {
    let kept = positive_duration(text)?;
    if kept < HOUR {
        return Err("is too short; write 1h or more".to_owned());
    }
    Ok(kept)
}

impl RedisSink {
    /// Hosts and ports.
    #[must_use]
    pub fn nodes(&self) -> Vec<(String, u16)> {
        self.addr.split(',').filter_map(node).collect()
    }

    pub(super) fn read(s: &Section<'_>) -> Option<Self> {
        let db = s.value("db", 0, integer(0, u32::MAX.into()));
        let username = s.optional("username", non_empty);
        let password = s.secret("password");
        let cluster = s.value("cluster", false, boolean);
        let tls = s.value("tls", false, boolean);
        let ca_file = s.optional("ca_file", non_empty).map(PathBuf::from);
        let key_prefix = s.value("key_prefix", "coo".to_owned(), key_prefix);
        let retention = s.section("retention", RedisRetention::read);
        let addr = s.required("addr", "write host:port, such as localhost:6379", |text| {
            let are_nodes = text.split(',').all(|part| node(part).is_some());
            match are_nodes {
                true if !text.contains(['/', '@', ' ']) => Ok(text.to_owned()),
                _ => Err("is not host:port, such as localhost:6379".to_owned()),
            }
        });
        if ca_file.is_some() && !tls {
            s.complain("ca_file", "is only for tls: true; remove it");
        }
        if username.is_some() && password.is_none() {
            s.complain("username", "needs a password; write it, or remove the user");
        }
        if cluster && db != 0 {
            s.complain("db", "a cluster has only database 0; remove it");
        }
        let addr = addr?;
        if addr.contains(',') && !cluster {
            s.complain("addr", "names several nodes; write one, or cluster: true");
        }
        Some(Self {
            addr,
            username,
            password,
            db: u32::try_from(db).unwrap_or(0),
            cluster,
            tls,
            ca_file,
            key_prefix,
            retention,
        })
    }
}

fn node(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?))
}

/// Braces decide about the slot of a cluster, and are ours.
fn key_prefix(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(is_plain) {
        return Err("is not 1 to 64 letters, digits and `._-:/`".to_owned());
    }
    Ok(text.to_owned())
}
