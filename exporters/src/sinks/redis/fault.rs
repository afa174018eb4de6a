//! What Redis says, as a reason.

use crate::sinks::{Fault, Reason};
use redis::{ErrorKind, RedisError};

/// The fault that an error is.
pub(super) fn of(error: &RedisError, is_connecting: bool, secret: Option<&str>) -> Fault {
    let mut detail = error.to_string();
    // A server that does not know a command repeats its arguments.
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        detail = detail.replace(secret, "***");
    }
    Fault::new(reason(error, is_connecting), detail)
}

fn reason(error: &RedisError, is_connecting: bool) -> Reason {
    match error.code() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => return Reason::Auth,
        Some(
            "LOADING" | "OOM" | "READONLY" | "BUSY" | "CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN"
            | "NOREPLICAS" | "MISCONF" | "UNKILLABLE",
        ) => return Reason::Busy,
        _ => {}
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => Reason::Auth,
        ErrorKind::ClusterConnectionNotFound => Reason::Connect,
        // "ERR max number of clients reached"
        _ if says(error, "max number of clients") => Reason::Busy,
        // What NOPERM is within a script, by Redis 7.0 and by those after it.
        _ if says(error, "user executing the script") || says(error, "ACL failure in script") => {
            Reason::Auth
        }
        _ if error.is_timeout() && !is_connecting => Reason::Timeout,
        _ if is_connecting || error.is_connection_refusal() => Reason::Connect,
        ErrorKind::Io | ErrorKind::Parse => Reason::Broken,
        _ => Reason::Refused,
    }
}

fn says(error: &RedisError, what: &str) -> bool {
    error.detail().is_some_and(|detail| detail.contains(what))
}
