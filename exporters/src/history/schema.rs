//! The tables. docs/history.md describes them for whoever reads the file.

use super::latency::Latencies;
use super::level::Level;
use super::usage::COLUMNS;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};

/// `coom` in ASCII, so that `file` and we know whose it is.
pub(super) const APPLICATION_ID: i32 = 0x636f_6f6d;
/// Raised by one when a later version cannot read it as it is.
pub(super) const VERSION: i32 = 2;

/// When each client last asked for something, so that nobody has to look through all rows.
/// It came after the other tables of version 2: a file without it gets it, from its rows.
pub(super) const LAST_REQUESTS: &str = "CREATE TABLE last_requests (
         client INTEGER PRIMARY KEY, last_request_ms INTEGER NOT NULL
     ) STRICT;";

/// The statements that make an empty history.
pub(super) fn create() -> String {
    let mut sql = format!(
        "PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {VERSION};
         CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE routes (
             route INTEGER PRIMARY KEY,
             provider TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL,
             UNIQUE (provider, model, key)
         ) STRICT;
         CREATE TABLE clients (client INTEGER PRIMARY KEY, client_id TEXT NOT NULL UNIQUE) STRICT;
         {LAST_REQUESTS}"
    );
    for level in Level::ALL {
        sql.push_str(&create_level(level));
    }
    sql.push_str(CREATE_SETS);
    sql
}

/// Which clients did something in an hour or a day; see [`ClientSet`](super::clients::ClientSet).
const CREATE_SETS: &str = "
    CREATE TABLE clients_1h (bucket INTEGER PRIMARY KEY, clients BLOB NOT NULL) STRICT;
    CREATE TABLE clients_1d (bucket INTEGER PRIMARY KEY, clients BLOB NOT NULL) STRICT;";

fn create_level(level: Level) -> String {
    let suffix = level.suffix();
    let numbers = "requests INTEGER NOT NULL, errors INTEGER NOT NULL,
         input INTEGER NOT NULL, cached_input INTEGER NOT NULL, cache_write INTEGER NOT NULL,
         output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
         audio_input INTEGER NOT NULL, audio_output INTEGER NOT NULL,
         cost_nano_usd INTEGER NOT NULL, unpriced INTEGER NOT NULL,
         last_request_ms INTEGER NOT NULL, timed INTEGER NOT NULL,
         latency_us INTEGER NOT NULL, latency BLOB NOT NULL";
    format!(
        "CREATE TABLE usage_{suffix} (
             bucket INTEGER NOT NULL, client INTEGER NOT NULL, route INTEGER NOT NULL,
             {numbers}, PRIMARY KEY (bucket, client, route)
         ) STRICT, WITHOUT ROWID;
         CREATE TABLE route_usage_{suffix} (
             bucket INTEGER NOT NULL, route INTEGER NOT NULL,
             {numbers}, PRIMARY KEY (bucket, route)
         ) STRICT, WITHOUT ROWID;
         CREATE TABLE errors_{suffix} (
             bucket INTEGER NOT NULL, provider TEXT NOT NULL, type TEXT NOT NULL,
             requests INTEGER NOT NULL, PRIMARY KEY (bucket, provider, type)
         ) STRICT, WITHOUT ROWID;
         CREATE VIEW history_{suffix} AS SELECT
             datetime(bucket, 'unixepoch') AS time, provider, model, key, client_id,
             requests, errors, input, cached_input, cache_write, output, reasoning,
             audio_input, audio_output, cost_nano_usd / 1e9 AS cost_usd, unpriced,
             CASE WHEN timed > 0 THEN latency_us / 1e3 / timed END AS avg_latency_ms, bucket
         FROM usage_{suffix} JOIN routes USING (route) JOIN clients USING (client);"
    )
}

/// What makes a history of version 1 one of this version: days are new, and are filled
/// later by the thread that flushes, so that the start does not wait for it.
pub(super) fn from_version_1() -> String {
    let day = create_level(Level::Day);
    format!(
        "{day} {CREATE_SETS}
         INSERT INTO meta SELECT 'rolled_to', value FROM meta WHERE name = 'kept_from_1h';
         PRAGMA user_version = {VERSION};"
    )
}

/// Adds a row to a level, or to the row that is there.
pub(super) fn upsert(table: &str, key: &[&str], level: Level) -> String {
    let values = (1..=key.len() + COLUMNS.split(',').count()).map(|n| format!("?{n}"));
    let values: Vec<_> = values.collect();
    let values = format!("VALUES ({})", values.join(", "));
    insert(table, key, level, &values)
}

/// Adds the rows of the hour `?2` to those of the day `?1`.
pub(super) fn roll(table: &str, key: &[&str]) -> String {
    let rest = key[1..].join(", ");
    let rows = format!("SELECT ?1, {rest}, {COLUMNS} FROM {table}_1h WHERE bucket = ?2");
    insert(table, key, Level::Day, &rows)
}

fn insert(table: &str, key: &[&str], level: Level, rows: &str) -> String {
    let suffix = level.suffix();
    let key_names = key.join(", ");
    let sums = COLUMNS.split(',').map(|column| match column.trim() {
        "last_request_ms" => {
            "last_request_ms = max(last_request_ms, excluded.last_request_ms)".to_owned()
        }
        "latency" => "latency = latency_merge(latency, excluded.latency)".to_owned(),
        column => format!("{column} = {column} + excluded.{column}"),
    });
    let sums: Vec<_> = sums.collect();
    format!(
        "INSERT INTO {table}_{suffix} ({key_names}, {COLUMNS}) {rows} \
         ON CONFLICT ({key_names}) DO UPDATE SET {}",
        sums.join(", ")
    )
}

/// Adds `?1` to the cost of a row and `?2` to its requests without a price.
pub(super) fn change_cost(table: &str, key: &[&str], level: Level) -> String {
    let key = key
        .iter()
        .zip(3..)
        .map(|(name, n)| format!("{name} = ?{n}"));
    let key: Vec<_> = key.collect();
    format!(
        "UPDATE {table}_{} SET cost_nano_usd = cost_nano_usd + ?1, unpriced = unpriced + ?2 \
         WHERE {}",
        level.suffix(),
        key.join(" AND ")
    )
}

/// Adds an error count to a level.
pub(super) fn upsert_errors(level: Level) -> String {
    format!(
        "INSERT INTO errors_{} (bucket, provider, type, requests) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (bucket, provider, type) DO UPDATE SET requests = requests + excluded.requests",
        level.suffix()
    )
}

/// Adds the error counts of the hour `?2` to those of the day `?1`.
pub(super) const ROLL_ERRORS: &str = "INSERT INTO errors_1d (bucket, provider, type, requests) \
     SELECT ?1, provider, type, requests FROM errors_1h WHERE bucket = ?2 \
     ON CONFLICT (bucket, provider, type) DO UPDATE SET requests = requests + excluded.requests";

/// Gives a connection the function that [`upsert`] wants.
pub(super) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("latency_merge", 2, flags, |context: &mut Context<'_>| {
        let mut all = Latencies::default();
        for at in 0..2 {
            let ValueRef::Blob(blob) = context.get_raw(at) else {
                return Err(Error::InvalidParameterType(
                    at,
                    context.get_raw(at).data_type(),
                ));
            };
            all.merge_stored(0, blob)
                .map_err(|error| Error::UserFunctionError(Box::new(error)))?;
        }
        Ok(all.encode())
    })
}
