//! What the history knows of clients alone: when each last asked, what each has spent.

use super::level::{Level, Piece, cover};
use super::query::Window;
use super::schema;
use super::waiting::Bucket;
use super::writer::Meta;
use coo_llm_core::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use std::collections::{BTreeMap, HashMap};

/// When each client last asked, by its number in the file; what is not written yet too.
#[derive(Debug, Default)]
pub(super) struct LastRequests(HashMap<u32, UnixMillis>);

impl LastRequests {
    /// Reads what the file has; one of before there was this table gets it.
    pub(super) fn load(connection: &mut Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'last_requests'";
        let is_there = connection.query_row(sql, [], |_| Ok(())).optional()?;
        if is_there.is_none() {
            let transaction = connection.transaction()?;
            transaction.execute_batch(&format!(
                "{} INSERT INTO last_requests SELECT client, max(last_request_ms) \
                 FROM usage_{} GROUP BY client;",
                schema::LAST_REQUESTS,
                Level::Hour.suffix()
            ))?;
            transaction.commit()?;
        }
        let mut statement =
            connection.prepare("SELECT client, last_request_ms FROM last_requests")?;
        let mut rows = statement.query([])?;
        let mut last = HashMap::new();
        while let Some(row) = rows.next()? {
            last.insert(
                row.get(0)?,
                UnixMillis(row.get::<_, i64>(1)?.cast_unsigned()),
            );
        }
        Ok(Self(last))
    }

    /// Takes over what a bucket says.
    pub(super) fn note(&mut self, bucket: &Bucket) {
        for ((client, _), usage) in &bucket.usage {
            if let Some(at) = usage.totals.last_request {
                let last = self.0.entry(*client).or_insert(at);
                *last = at.max(*last);
            }
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, UnixMillis)> {
        self.0.iter().map(|(client, at)| (*client, *at))
    }

    /// Writes what a bucket says.
    pub(super) fn write(transaction: &Transaction<'_>, bucket: &Bucket) -> rusqlite::Result<()> {
        let mut last = Self::default();
        last.note(bucket);
        let last: BTreeMap<_, _> = last.all().collect();
        let sql = "INSERT INTO last_requests VALUES (?1, ?2) ON CONFLICT (client) DO UPDATE \
                   SET last_request_ms = max(last_request_ms, excluded.last_request_ms)";
        let mut upsert = transaction.prepare(sql)?;
        for (client, at) in last {
            upsert.execute(params![client, at.0.cast_signed()])?;
        }
        Ok(())
    }
}

/// What clients have spent, by their numbers in the file.
pub(super) type Spent = HashMap<u32, u64>;

/// Adds what the file has of a window; of one client, or of all.
pub(super) fn add_spent(
    file: &Connection,
    meta: &Meta,
    window: Window,
    client: Option<u32>,
    spent: &mut Spent,
) -> rusqlite::Result<()> {
    let mut add = |client: u32, nano: i64| {
        let sum = spent.entry(client).or_default();
        *sum = sum.saturating_add(nano.cast_unsigned());
    };
    for Piece { level, start, end } in cover(meta.kept, window.start_s, window.end_s, None) {
        let suffix = level.suffix();
        let Some(client) = client else {
            let sql = format!(
                "SELECT client, sum(cost_nano_usd) FROM usage_{suffix} \
                 WHERE bucket >= ?1 AND bucket < ?2 GROUP BY bucket, client"
            );
            let mut statement = file.prepare(&sql)?;
            let mut rows = statement.query([start, end].map(u64::cast_signed))?;
            while let Some(row) = rows.next()? {
                add(row.get(0)?, row.get(1)?);
            }
            continue;
        };
        let sql = format!(
            "SELECT coalesce(sum(cost_nano_usd), 0) FROM usage_{suffix} \
             WHERE bucket = ?1 AND client = ?2"
        );
        let mut statement = file.prepare(&sql)?;
        for bucket in (start..end).step_by(level.width() as usize) {
            let of_bucket = [bucket.cast_signed(), client.into()];
            add(client, statement.query_row(of_bucket, |row| row.get(0))?);
        }
    }
    Ok(())
}
