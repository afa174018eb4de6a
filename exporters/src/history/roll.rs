//! Days and sets of clients, made from hours when those are over.
//!
//! A month then is 30 rows of a client and route and not 720, and how many clients there
//! were in it is 30 sets. A flush does not add to them: their rows lie further apart than
//! those of an hour, and the day of an hour that is not over is not asked.

use super::clients::ClientSet;
use super::latency::Malformed;
use super::level::{Level, floor};
use super::schema;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Adds an hour to its day.
pub(super) fn hour(file: &Connection, hour: u64) -> rusqlite::Result<()> {
    let day = floor(hour, Level::Day.width());
    let of = params![day as i64, hour as i64];
    let usage = schema::roll("usage", &["bucket", "client", "route"]);
    file.prepare_cached(&usage)?.execute(of)?;
    let routes = schema::roll("route_usage", &["bucket", "route"]);
    file.prepare_cached(&routes)?.execute(of)?;
    file.prepare_cached(schema::ROLL_ERRORS)?.execute(of)?;
    let mut clients = ClientSet::default();
    add_active(
        file,
        Level::Hour,
        hour,
        hour + Level::Hour.width(),
        &mut clients,
    )?;
    add_clients(file, hour, &clients)
}

/// Adds clients of an hour to its set and to that of its day.
pub(super) fn add_clients(
    file: &Connection,
    hour: u64,
    clients: &ClientSet,
) -> rusqlite::Result<()> {
    for level in [Level::Hour, Level::Day] {
        let mut all = clients.clone();
        let bucket = floor(hour, level.width());
        add_set(file, level, bucket, &mut all)?;
        let sql = format!(
            "INSERT OR REPLACE INTO clients_{} VALUES (?1, ?2)",
            level.suffix()
        );
        file.prepare_cached(&sql)?
            .execute(params![bucket as i64, all.encode()])?;
    }
    Ok(())
}

/// Adds the stored set of an hour or a day, if there is one.
pub(super) fn add_set(
    file: &Connection,
    level: Level,
    bucket: u64,
    to: &mut ClientSet,
) -> rusqlite::Result<()> {
    let suffix = level.suffix();
    let sql = format!("SELECT clients FROM clients_{suffix} WHERE bucket = ?1");
    let mut statement = file.prepare_cached(&sql)?;
    let add = |row: &rusqlite::Row<'_>| {
        let added = to.add_stored(row.get_ref(0)?.as_blob()?);
        added.map_err(|error: Malformed| {
            rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
        })
    };
    let found = statement.query_row([bucket as i64], add).optional()?;
    let () = found.unwrap_or_default();
    Ok(())
}

/// Adds the clients that rows of a level name.
pub(super) fn add_active(
    file: &Connection,
    level: Level,
    start: u64,
    end: u64,
    to: &mut ClientSet,
) -> rusqlite::Result<()> {
    let suffix = level.suffix();
    let sql = format!("SELECT client FROM usage_{suffix} WHERE bucket >= ?1 AND bucket < ?2");
    let mut statement = file.prepare_cached(&sql)?;
    let mut rows = statement.query([start as i64, end as i64])?;
    while let Some(row) = rows.next()? {
        to.insert(row.get(0)?);
    }
    Ok(())
}
