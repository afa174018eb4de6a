//! What an error of PostgreSQL means for a sink.

use crate::sinks::{Fault, Reason};
use std::error::Error as _;
use std::io;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// A fault of a call on a connection that stood.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
pub(super) fn of(error: Error) -> Fault {
    named(&error, Reason::Broken)
}

/// A fault of making a connection.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
pub(super) fn of_connecting(error: Error) -> Fault {
    named(&error, Reason::Connect)
}

/// Whether the store refuses rows for what they are.
pub(super) fn is_of_a_row(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| reason(code) == Reason::Refused)
}

fn named(error: &Error, otherwise: Reason) -> Fault {
    if let Some(told) = error.as_db_error() {
        // Not its detail, which has values, nor what it was asked.
        let detail = format!("{} ({})", told.message(), told.code().code());
        return Fault::new(reason(told.code()), detail);
    }
    let cause = error.source();
    let is_late = cause
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut);
    let detail = match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    let reason = if is_late { Reason::Timeout } else { otherwise };
    Fault::new(reason, detail)
}

/// By the classes of PostgreSQL's appendix A, "Error Codes".
fn reason(code: &SqlState) -> Reason {
    let code = code.code();
    match code {
        // Read-only transaction (a standby), serialisation, deadlock.
        "25006" | "40001" | "40P01" => return Reason::Busy,
        "42501" => return Reason::Auth,
        // The database is not there.
        "3D000" => return Reason::Connect,
        _ => {}
    }
    match code.get(..2).unwrap_or_default() {
        "28" => Reason::Auth,
        // Out of something, a limit, a lock, the operator, the disk, itself.
        "53" | "54" | "55" | "57" | "58" | "XX" => Reason::Busy,
        "22" | "23" => Reason::Refused,
        // A connection's end; a transaction's; a schema that is not as it was.
        _ => Reason::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_reasons() {
        for (code, expected) in [
            (SqlState::INVALID_PASSWORD, Reason::Auth),
            (SqlState::INSUFFICIENT_PRIVILEGE, Reason::Auth),
            (SqlState::DISK_FULL, Reason::Busy),
            (SqlState::TOO_MANY_CONNECTIONS, Reason::Busy),
            (SqlState::ADMIN_SHUTDOWN, Reason::Busy),
            (SqlState::CANNOT_CONNECT_NOW, Reason::Busy),
            (SqlState::LOCK_NOT_AVAILABLE, Reason::Busy),
            (SqlState::READ_ONLY_SQL_TRANSACTION, Reason::Busy),
            (SqlState::T_R_DEADLOCK_DETECTED, Reason::Busy),
            (SqlState::T_R_SERIALIZATION_FAILURE, Reason::Busy),
            (SqlState::CHECK_VIOLATION, Reason::Refused),
            (SqlState::UNTRANSLATABLE_CHARACTER, Reason::Refused),
            (SqlState::CONNECTION_FAILURE, Reason::Broken),
            (SqlState::UNDEFINED_TABLE, Reason::Broken),
        ] {
            assert_eq!(reason(&code), expected, "{code:?}");
        }
    }
}
