//! A Redis sink, as the configuration wants it.

use coo_llm_config::{RedisSink as Wanted, Secret};
use coo_llm_exporters::sinks::redis::{RedisOptions, RedisRetention, RedisSink};

/// Rows a call: where each has a client and a route of its own, the script keeps Redis busy for
/// about 20 ms (benches/RESULTS.md).
pub(super) const ROWS_MAX: usize = 250;
/// Where Linux says what this machine is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

pub(super) fn sink(wanted: &Wanted) -> RedisSink {
    // A name for people alone: without one the list of instances has their numbers.
    let name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    let retention = wanted.retention;
    RedisSink::new(RedisOptions {
        nodes: wanted.nodes(),
        username: wanted.username.clone(),
        password: wanted.password.as_ref().map(Secret::expose).map(Into::into),
        db: wanted.db,
        is_cluster: wanted.cluster,
        is_tls: wanted.tls,
        ca_file: wanted.ca_file.clone(),
        prefix: wanted.key_prefix.clone(),
        name: name.trim().to_owned(),
        retention: RedisRetention {
            minute: retention.one_minute,
            hour: retention.one_hour,
            day: retention.one_day,
        },
    })
}
