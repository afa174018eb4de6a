//! Rows that do not change any more, in the order in which sinks take them.
//!
//! The history is the spool: it is on disk, bounded by its retention, and coarser with
//! age. A bucket is sealed when its time is over and nothing of it, nor of an earlier
//! one, waits to be written. Whoever takes sealed rows can take them again and gets the
//! same ones.

use super::level::{Level, floor};
use super::usage::{COLUMNS, NUMBERS, Usage};
use super::writer::{Meta, ROW_BYTES};
use super::{History, HistoryError, lock};
use coo_llm_core::UnixMillis;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How far a sink has come: it has all rows of buckets before `second`, and the first
/// `rows` of the bucket that begins there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Unix seconds.
    pub second: u64,
    /// Rows, in the order of [`Sealed::rows`].
    pub rows: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.second, self.rows)
    }
}

/// What one client used of one route in a bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedRow {
    /// The provider.
    pub provider: Arc<str>,
    /// The model.
    pub model: Arc<str>,
    /// The public id of the provider's key.
    pub key: Arc<str>,
    /// The client.
    pub client: Arc<str>,
    /// What was used.
    pub usage: Usage,
}

/// Rows of one sealed bucket, or some of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// Who has these rows after whom: where the taker must be before.
    pub from: Position,
    /// Where the taker is after them.
    pub to: Position,
    /// The first second of the bucket.
    pub start_s: u64,
    /// Seconds of the bucket: 10, 60 or 3600.
    pub width_s: u64,
    /// In a fixed order.
    pub rows: Vec<SealedRow>,
    /// Failures by provider and type; they come with the last rows of a bucket.
    pub errors: Vec<(Arc<str>, Arc<str>, u64)>,
}

/// What comes after a position.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// These rows.
    Rows(Sealed),
    /// Nothing that is sealed yet. The taker may as well be at this position: there are no
    /// rows in between.
    Nothing(Position),
    /// Nobody knows: rows of this time were removed, or folded to a bucket of which the
    /// taker has a part.
    Gone,
}

impl History {
    /// A number of this history, given when it was made; says whose rows a store has.
    #[must_use]
    pub fn instance(&self) -> u64 {
        lock(&self.writer).instance()
    }

    /// The first second that may still get rows.
    #[must_use]
    pub fn sealed_s(&self, now: UnixMillis) -> u64 {
        let mut state = lock(&self.state);
        state.drain(&self.meter, now);
        let current = floor(state.stamp.0 / 1000, Level::TenSeconds.width());
        state
            .waiting
            .oldest()
            .map_or(current, |oldest| oldest.min(current))
    }

    /// The first position of this history.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn first_position(&self, now: UnixMillis) -> Result<Position, HistoryError> {
        let (begins, file, meta) = self.look(now, |_, meta| Ok(meta.begins))?;
        self.give_back(file);
        // What is past the retention of the coarsest rows is nowhere.
        let second = begins.max(meta.kept.of(Level::Hour));
        Ok(Position { second, rows: 0 })
    }

    /// At most `rows_max` rows that are sealed and come after a position of a sink.
    ///
    /// # Errors
    /// Where the file cannot be read, or contradicts itself.
    pub fn next_sealed(
        &self,
        sink: &str,
        from: Position,
        rows_max: usize,
        now: UnixMillis,
    ) -> Result<Next, HistoryError> {
        let is_kept_for = self.sink_position(sink).is_some_and(|kept| kept <= from);
        let sealed = self.sealed_s(now);
        let ((), file, meta) = self.look(now, |_, _| Ok(()))?;
        let found = next(&file, &meta, from, sealed, rows_max.max(1), is_kept_for);
        self.give_back(file);
        let found = found.map_err(|error| HistoryError::of(&self.path, error))?;
        let (found, ids) = match found {
            Found::Rows(sealed, ids) => (sealed, ids),
            Found::Nothing(position) => return Ok(Next::Nothing(position)),
            Found::Gone => return Ok(Next::Gone),
            Found::Unbalanced(detail) => {
                return Err(HistoryError::Damaged {
                    path: self.path.clone(),
                    detail,
                });
            }
        };
        let mut sealed = found;
        let state = lock(&self.state);
        let unknown = || Arc::from("unknown");
        for ((client, route), usage) in ids {
            let names = state.names.routes().get(route as usize).cloned();
            let [provider, model, key] =
                names.unwrap_or_else(|| std::array::from_fn(|_| unknown()));
            sealed.rows.push(SealedRow {
                provider,
                model,
                key,
                client: state.names.client_name(client).unwrap_or_else(unknown),
                usage,
            });
        }
        Ok(Next::Rows(sealed))
    }

    /// About how many bytes the file has of rows after a position, unsealed ones too.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn bytes_after(&self, from: Position, now: UnixMillis) -> Result<u64, HistoryError> {
        let ((), file, meta) = self.look(now, |_, _| Ok(()))?;
        let rows = rows_after(&file, &meta, from);
        self.give_back(file);
        let rows = rows.map_err(|error| HistoryError::of(&self.path, error))?;
        Ok(rows * ROW_BYTES)
    }

    /// Where a sink is, as it last said; `None` for one that never did.
    #[must_use]
    pub fn sink_position(&self, sink: &str) -> Option<Position> {
        lock(&self.writer).sinks().get(sink)
    }

    /// Notes where a sink is: rows after it are kept for it.
    ///
    /// # Errors
    /// Where the file takes nothing now; the sink is then where it was.
    pub fn sink_is_at(&self, sink: &str, position: Position) -> Result<(), HistoryError> {
        let noted = lock(&self.writer).put_sink(sink, position);
        noted.map_err(|error| HistoryError::of(&self.path, error))
    }

    /// Forgets the sinks that are not in the list, so that nothing is kept for them.
    ///
    /// # Errors
    /// Where the file takes nothing now.
    pub fn keep_sinks(&self, sinks: &[&str]) -> Result<(), HistoryError> {
        let kept = lock(&self.writer).keep_sinks(sinks);
        kept.map_err(|error| HistoryError::of(&self.path, error))
    }
}

type Ids = Vec<((u32, u32), Usage)>;

enum Found {
    Rows(Sealed, Ids),
    Nothing(Position),
    Gone,
    Unbalanced(String),
}

/// The rows after a position, from a view of the file.
fn next(
    file: &Connection,
    meta: &Meta,
    from: Position,
    sealed: u64,
    rows_max: usize,
    is_kept_for: bool,
) -> rusqlite::Result<Found> {
    let mut at = from;
    loop {
        let Some(level) = level_at(file, meta, at)? else {
            if !is_kept_for {
                return Ok(Found::Gone);
            }
            // There were no rows in the rest of this hour, or they would be kept.
            at = Position {
                second: hour_end(at.second),
                rows: 0,
            };
            continue;
        };
        // Rows of a level reach to where those of the next finer one begin; what is kept
        // of an hour for a sink reaches to the hour's end.
        let end = match finer(level).map(|finer| meta.kept.of(finer)) {
            _ if at.second < meta.kept.of(level) => hour_end(at.second),
            Some(finer) if finer > at.second => finer,
            _ => sealed,
        };
        let width = level.width();
        let end = floor(end.min(sealed), width);
        match first_bucket(file, level, at.second, end)? {
            Some(start) => {
                let skip = if start == at.second { at.rows } else { 0 };
                return rows(file, level, from, start, skip, rows_max);
            }
            None if end <= at.second || end >= floor(sealed, width) => {
                // Never past what is sealed, nor back.
                let second = end.max(at.second);
                let rows = if second == from.second { from.rows } else { 0 };
                return Ok(Found::Nothing(Position { second, rows }));
            }
            None => {
                at = Position {
                    second: end,
                    rows: 0,
                }
            }
        }
    }
}

/// Rows at the finest width of each time after a position.
fn rows_after(file: &Connection, meta: &Meta, from: Position) -> rusqlite::Result<u64> {
    let mut rows = 0;
    let mut end = i64::MAX as u64;
    for level in Level::FLUSHED {
        let start = meta.kept.of(level).max(from.second);
        let sql = format!(
            "SELECT count(*) FROM usage_{} WHERE bucket >= ?1 AND bucket < ?2",
            level.suffix()
        );
        let n: i64 = file.query_row(&sql, [start as i64, end as i64], |row| row.get(0))?;
        rows += n.cast_unsigned();
        end = end.min(start);
    }
    Ok(rows.saturating_sub(from.rows))
}

const fn finer(level: Level) -> Option<Level> {
    match level {
        Level::TenSeconds => None,
        Level::Minute => Some(Level::TenSeconds),
        Level::Hour => Some(Level::Minute),
        Level::Day => Some(Level::Hour),
    }
}

/// The first second of the next hour.
const fn hour_end(second: u64) -> u64 {
    floor(second, Level::Hour.width()) + Level::Hour.width()
}

/// The level whose rows go on at a position.
fn level_at(file: &Connection, meta: &Meta, at: Position) -> rusqlite::Result<Option<Level>> {
    let hour = floor(at.second, Level::Hour.width());
    for level in Level::FLUSHED {
        let is_aligned = at.second.is_multiple_of(level.width());
        if meta.kept.of(level) <= at.second && is_aligned {
            return Ok(Some(level));
        }
        // What is kept for a sink that is in the midst of this hour.
        let is_begun = at.second != hour || at.rows > 0;
        let end = hour_end(hour);
        if is_begun && is_aligned && first_bucket(file, level, at.second, end)?.is_some() {
            return Ok(Some(level));
        }
    }
    Ok(None)
}

fn first_bucket(
    file: &Connection,
    level: Level,
    from: u64,
    end: u64,
) -> rusqlite::Result<Option<u64>> {
    let mut first = None;
    for table in ["usage", "errors"] {
        let sql = format!(
            "SELECT min(bucket) FROM {table}_{} WHERE bucket >= ?1 AND bucket < ?2",
            level.suffix()
        );
        let mut statement = file.prepare(&sql)?;
        let found = statement.query_row([from as i64, end as i64], |row| {
            row.get::<_, Option<i64>>(0)
        })?;
        let found = found.map(i64::cast_unsigned);
        first = match (first, found) {
            (Some(a), Some(b)) => Some(u64::min(a, b)),
            (a, b) => a.or(b),
        };
    }
    Ok(first)
}

fn rows(
    file: &Connection,
    level: Level,
    from: Position,
    start: u64,
    skip: u64,
    rows_max: usize,
) -> rusqlite::Result<Found> {
    let suffix = level.suffix();
    let sql = format!(
        "SELECT client, route, {COLUMNS} FROM usage_{suffix} WHERE bucket = ?1 \
         ORDER BY client, route LIMIT ?2 OFFSET ?3"
    );
    let mut statement = file.prepare(&sql)?;
    // One more says whether these are the last.
    let mut rows = statement.query([start as i64, rows_max as i64 + 1, skip as i64])?;
    let mut ids: Ids = Vec::new();
    while let Some(row) = rows.next()? {
        let mut usage = Usage::default();
        usage.add_row(row, 2)?;
        ids.push(((row.get(0)?, row.get(1)?), usage));
    }
    let is_last = ids.len() <= rows_max;
    ids.truncate(rows_max);
    let to = if is_last {
        Position {
            second: start + level.width(),
            rows: 0,
        }
    } else {
        Position {
            second: start,
            rows: skip + ids.len() as u64,
        }
    };
    let mut errors = Vec::new();
    if is_last {
        if let Some(detail) = unbalanced(file, level, start)? {
            return Ok(Found::Unbalanced(detail));
        }
        let sql = format!(
            "SELECT provider, type, requests FROM errors_{suffix} WHERE bucket = ?1 \
             ORDER BY provider, type"
        );
        let mut statement = file.prepare(&sql)?;
        let mut rows = statement.query([start as i64])?;
        while let Some(row) = rows.next()? {
            let text = |at| row.get::<_, String>(at).map(Arc::from);
            errors.push((text(0)?, text(1)?, row.get::<_, i64>(2)?.cast_unsigned()));
        }
    }
    let sealed = Sealed {
        from,
        to,
        start_s: start,
        width_s: level.width(),
        rows: Vec::with_capacity(ids.len()),
        errors,
    };
    Ok(Found::Rows(sealed, ids))
}

/// The double entry: a bucket's rows by client must add up to its rows by route, which were
/// written beside them. What is wrong, where they do not.
fn unbalanced(file: &Connection, level: Level, start: u64) -> rusqlite::Result<Option<String>> {
    let sums: Vec<_> = NUMBERS.iter().map(|name| format!("sum({name})")).collect();
    let mut entries = [BTreeMap::new(), BTreeMap::new()];
    for (entry, table) in entries.iter_mut().zip(["usage", "route_usage"]) {
        let sql = format!(
            "SELECT route, {} FROM {table}_{} WHERE bucket = ?1 GROUP BY route",
            sums.join(", "),
            level.suffix()
        );
        let mut statement = file.prepare(&sql)?;
        let mut rows = statement.query([start as i64])?;
        while let Some(row) = rows.next()? {
            let mut numbers = [0i64; NUMBERS.len()];
            for (at, number) in numbers.iter_mut().enumerate() {
                *number = row.get(at + 1)?;
            }
            entry.insert(row.get::<_, i64>(0)?, numbers);
        }
    }
    let [by_client, by_route] = &entries;
    Ok((by_client != by_route).then(|| {
        format!(
            "in the {} bucket at {start}, rows by client and by route differ",
            level.suffix()
        )
    }))
}
