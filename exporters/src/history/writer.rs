//! The writing connection: rows of one bucket a transaction, and what is too old.

use super::Options;
use super::clients::ClientSet;
use super::each_client::LastRequests;
use super::level::{Kept, Level, floor};
use super::names::Unsaved;
use super::sealed::Position;
use super::sinks::Sinks;
use super::usage::Usage;
use super::waiting::Bucket;
use super::{roll, schema};
use coo_llm_core::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// How much of a level goes in one transaction.
const STEP: u64 = Level::Hour.width();
/// Transactions of retention a flush: a day of each level.
const STEPS_MAX: u32 = 24;
/// Hours that are added to their days a flush; more than one only where they wait, as after
/// a stop or of a history that had no days.
const ROLLED_MAX: u32 = 24;
/// A clock that is further ahead than this since the last time is not believed at once.
const JUMP: u64 = 86_400_000;
/// For so long nothing is removed after a jump ahead: who sets the clock back within it
/// has lost nothing.
const DISTRUST: u64 = 3_600_000;

/// About what a row takes in the file, its share of the pages included.
pub(super) const ROW_BYTES: u64 = 160;

/// The number of this history, given where it has none.
fn instance(connection: &Connection) -> rusqlite::Result<u64> {
    // SQLite seeds its generator from the system.
    connection.execute(
        "INSERT INTO meta VALUES ('instance', random() & 0x7fffffffffffffff) ON CONFLICT DO NOTHING",
        [],
    )?;
    let sql = "SELECT value FROM meta WHERE name = 'instance'";
    connection.query_row(sql, [], |row| row.get(0).map(i64::cast_unsigned))
}

/// What the file says about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    /// The first second of the history.
    pub(super) begins: u64,
    pub(super) kept: Kept,
    pub(super) last_stamp: UnixMillis,
    /// Buckets that were written, ever: says which of them a view of the file has.
    pub(super) writes: u64,
}

fn is_version_1(connection: &Connection) -> rusqlite::Result<bool> {
    connection.pragma_query_value(None, "user_version", |row| Ok(row.get::<_, i32>(0)? == 1))
}

impl Meta {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        let mut value = |name: &str| -> rusqlite::Result<Option<u64>> {
            let value = statement.query_row([name], |row| row.get::<_, i64>(0));
            Ok(value.optional()?.and_then(|n| u64::try_from(n).ok()))
        };
        let mut from = [0; 3];
        for level in Level::FLUSHED {
            let Some(kept) = value(&format!("kept_from_{}", level.suffix()))? else {
                return Ok(None);
            };
            from[level as usize] = kept;
        }
        let rolled_to = match value("rolled_to")? {
            Some(rolled_to) => rolled_to,
            // Version 1 had no days.
            None if is_version_1(connection)? => from[Level::Hour as usize],
            None => return Ok(None),
        };
        let (begins, last) = (value("begins")?, value("last_stamp_ms")?);
        let writes = value("writes")?;
        let all = begins.zip(last).zip(writes);
        Ok(all.map(|((begins, last), writes)| Self {
            begins,
            kept: Kept { from, rolled_to },
            last_stamp: UnixMillis(last),
            writes,
        }))
    }

    /// Of a history that begins now.
    fn new(now: UnixMillis) -> Self {
        let begins = floor(now.0 / 1000, Level::Hour.width());
        Self {
            begins,
            kept: Kept {
                from: [begins; 3],
                rolled_to: begins,
            },
            last_stamp: now,
            writes: 0,
        }
    }

    fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        let names = Level::FLUSHED.map(|level| format!("kept_from_{}", level.suffix()));
        let kept = names.iter().map(String::as_str).zip(self.kept.from);
        let others = [
            ("rolled_to", self.kept.rolled_to),
            ("begins", self.begins),
            ("last_stamp_ms", self.last_stamp.0),
            ("writes", self.writes),
        ];
        let mut statement =
            connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
        for (name, value) in kept.chain(others) {
            statement.execute(params![name, value as i64])?;
        }
        Ok(())
    }
}

/// The one that writes.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    meta: Meta,
    /// See [`History::instance`](super::History::instance).
    instance: u64,
    sinks: Sinks,
    retention: [Duration; 3],
    spool_rows_max: u64,
    spool_folds: u64,
    /// Until when the clock is not believed to be right about what is old.
    distrusts_until: UnixMillis,
    last_seen: UnixMillis,
}

impl Writer {
    /// `None` where a file that is not new says nothing about itself.
    pub(super) fn new(
        connection: Connection,
        is_new: bool,
        options: &Options,
        now: UnixMillis,
    ) -> rusqlite::Result<Option<Self>> {
        let loaded = Meta::load(&connection)?;
        let meta = match loaded {
            Some(meta) => meta,
            None if is_new => {
                let meta = Meta::new(now);
                meta.save(&connection)?;
                meta
            }
            None => return Ok(None),
        };
        Ok(Some(Self {
            instance: instance(&connection)?,
            sinks: Sinks::load(&connection)?,
            connection,
            meta,
            retention: options.retention,
            spool_rows_max: options.spool_bytes_max / ROW_BYTES,
            spool_folds: 0,
            distrusts_until: UnixMillis(0),
            last_seen: meta.last_stamp,
        }))
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) const fn last_stamp(&self) -> UnixMillis {
        self.meta.last_stamp
    }

    /// What the next write is called.
    pub(super) const fn next_write(&self) -> u64 {
        self.meta.writes + 1
    }

    pub(super) const fn instance(&self) -> u64 {
        self.instance
    }

    pub(super) const fn sinks(&self) -> &Sinks {
        &self.sinks
    }

    /// Hours of rows of a level that sinks get from the next coarser one.
    pub(super) const fn spool_folds(&self) -> u64 {
        self.spool_folds
    }

    pub(super) fn put_sink(&mut self, sink: &str, at: Position) -> rusqlite::Result<()> {
        self.sinks.put(&mut self.connection, sink, at)
    }

    pub(super) fn keep_sinks(&mut self, wanted: &[&str]) -> rusqlite::Result<()> {
        self.sinks.keep(&mut self.connection, wanted)
    }

    /// Adds a bucket to all levels, with new names.
    pub(super) fn write(
        &mut self,
        start: u64,
        bucket: &Bucket,
        names: &Unsaved,
        stamp: UnixMillis,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        names.insert(&transaction)?;
        // In the order of the primary key, so that pages are filled one after the other.
        let pairs: BTreeMap<_, _> = bucket.usage.iter().collect();
        let mut routes: BTreeMap<u32, Usage> = BTreeMap::new();
        for ((_, route), usage) in &pairs {
            routes.entry(*route).or_default().add(usage);
        }
        // A day has nothing of an hour yet that goes on.
        let is_late = start < self.meta.kept.rolled_to;
        let levels = if is_late {
            &Level::ALL[..]
        } else {
            &Level::FLUSHED[..]
        };
        for level in levels.iter().copied() {
            let at = floor(start, level.width());
            let sql = schema::upsert("usage", &["bucket", "client", "route"], level);
            let mut upsert = transaction.prepare_cached(&sql)?;
            for ((client, route), usage) in &pairs {
                usage.insert(&mut upsert, &[at, u64::from(*client), u64::from(*route)])?;
            }
            let sql = schema::upsert("route_usage", &["bucket", "route"], level);
            let mut upsert = transaction.prepare_cached(&sql)?;
            for (route, usage) in &routes {
                usage.insert(&mut upsert, &[at, u64::from(*route)])?;
            }
            let mut upsert = transaction.prepare_cached(&schema::upsert_errors(level))?;
            for ((provider, error), n) in &bucket.errors {
                upsert.execute(params![at as i64, &**provider, *error, *n as i64])?;
            }
        }
        if is_late {
            let mut clients = ClientSet::default();
            pairs.keys().for_each(|(client, _)| clients.insert(*client));
            roll::add_clients(&transaction, floor(start, STEP), &clients)?;
        }
        LastRequests::write(&transaction, bucket)?;
        let meta = Meta {
            last_stamp: stamp.max(self.meta.last_stamp),
            writes: self.meta.writes + 1,
            ..self.meta
        };
        meta.save(&transaction)?;
        transaction.commit()?;
        self.meta = meta;
        Ok(())
    }

    #[cfg(test)]
    pub(super) const fn set_spool_rows_max(&mut self, rows: u64) {
        self.spool_rows_max = rows;
    }

    /// Notes that nothing comes before a moment; the disk has it when this returns.
    pub(super) fn save_stamp(&mut self, stamp: UnixMillis) -> rusqlite::Result<()> {
        let last_stamp = stamp.max(self.meta.last_stamp);
        let meta = Meta {
            last_stamp,
            ..self.meta
        };
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        meta.save(&transaction)?;
        transaction.commit()?;
        self.meta = meta;
        Ok(())
    }

    /// Adds the hours that are over to their days, one a transaction. To be called when
    /// nothing waits of what came before `stamp`.
    pub(super) fn roll(&mut self, stamp: UnixMillis) -> rusqlite::Result<()> {
        let over = floor(stamp.0 / 1000, STEP);
        for _ in 0..ROLLED_MAX {
            let from = self.meta.kept.rolled_to;
            if from >= over {
                break;
            }
            // Hours without rows are passed over at once.
            let next = self.first_from(Level::Hour, from)?;
            let next = next.filter(|next| *next < over);
            let mut meta = self.meta;
            meta.kept.rolled_to = next.map_or(over, |next| next + STEP);
            let transaction = self.connection.transaction()?;
            if let Some(next) = next {
                roll::hour(&transaction, next)?;
            }
            meta.save(&transaction)?;
            transaction.commit()?;
            self.meta = meta;
        }
        Ok(())
    }

    /// Removes rows that are past their retention, an hour of a level a transaction.
    pub(super) fn retire(&mut self, stamp: UnixMillis) -> rusqlite::Result<()> {
        if stamp.0.saturating_sub(self.last_seen.0) > JUMP {
            self.distrusts_until = UnixMillis(stamp.0.saturating_add(DISTRUST));
        }
        self.last_seen = self.last_seen.max(stamp);
        if stamp < self.distrusts_until {
            return Ok(());
        }
        for level in Level::FLUSHED {
            let age = self.retention[level as usize].as_secs();
            let cutoff = floor((stamp.0 / 1000).saturating_sub(age), STEP);
            let cutoff = self.held(level, cutoff)?;
            for _ in 0..STEPS_MAX {
                let from = self.meta.kept.of(level);
                if from >= cutoff {
                    break;
                }
                // Hours without rows are passed over at once.
                let oldest = self.first_from(level, 0)?;
                let from = oldest.map_or(cutoff, |oldest| oldest.max(from));
                let mut meta = self.meta;
                meta.kept.from[level as usize] = from.saturating_add(STEP).min(cutoff);
                let transaction = self.connection.transaction()?;
                let mut but = String::new();
                for hour in self.sinks.begun().filter(|_| level != Level::Hour) {
                    let end = hour + STEP;
                    let _infallible = write!(but, " AND NOT (bucket >= {hour} AND bucket < {end})");
                }
                let tables = ["usage", "route_usage", "errors"].map(|table| (table, level));
                // A day goes with its first hour: without it, it is no day.
                let of_days = tables.map(|(table, _)| (table, Level::Day));
                let sets = [Level::Hour, Level::Day].map(|level| ("clients", level));
                let more = of_days.into_iter().chain(sets);
                let more = more.filter(|_| level == Level::Hour);
                for (table, of) in tables.into_iter().chain(more) {
                    let suffix = of.suffix();
                    let sql = format!("DELETE FROM {table}_{suffix} WHERE bucket < ?1{but}");
                    let mut delete = transaction.prepare(&sql)?;
                    delete.execute([meta.kept.of(level) as i64])?;
                }
                meta.save(&transaction)?;
                transaction.commit()?;
                self.meta = meta;
            }
        }
        Ok(())
    }

    /// How far rows may be removed: those that a sink does not have are kept for it, the
    /// newest first, as far as there is room.
    fn held(&mut self, level: Level, cutoff: u64) -> rusqlite::Result<u64> {
        let Some(hold) = self.sinks.hold() else {
            return Ok(cutoff);
        };
        // Beyond the coarsest rows there is nothing to fall back to, and no end.
        let kept = self.meta.kept.of(level);
        if level == Level::Hour || hold >= cutoff || kept >= cutoff {
            return Ok(cutoff);
        }
        let sql = format!(
            "SELECT bucket / {STEP} * {STEP}, count(*) FROM usage_{} \
             WHERE bucket >= ?1 AND bucket < ?2 GROUP BY 1 ORDER BY 1 DESC",
            level.suffix()
        );
        let mut statement = self.connection.prepare(&sql)?;
        let from = hold.max(kept);
        let mut hours = statement.query([from as i64, cutoff as i64])?;
        let mut rows = 0;
        while let Some(hour) = hours.next()? {
            rows += hour.get::<_, i64>(1)?.cast_unsigned();
            if rows > self.spool_rows_max {
                let fold = hour.get::<_, i64>(0)?.cast_unsigned() + STEP;
                self.spool_folds += (fold - from) / STEP;
                return Ok(fold);
            }
        }
        Ok(from)
    }

    /// The hour that the first rows of a level from a second on are in.
    fn first_from(&self, level: Level, from: u64) -> rusqlite::Result<Option<u64>> {
        let suffix = level.suffix();
        let first =
            |table| format!("SELECT min(bucket) AS b FROM {table}_{suffix} WHERE bucket >= ?1");
        let (usage, errors) = (first("usage"), first("errors"));
        let sql = format!("SELECT min(b) FROM ({usage} UNION ALL {errors})");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let first = statement.query_row([from as i64], |row| row.get::<_, Option<i64>>(0))?;
        Ok(first.map(|first| floor(first.cast_unsigned(), STEP)))
    }

    /// Puts everything into the main file, which then needs no other.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.query_row(sql, [], |_| Ok(()))
    }
}
