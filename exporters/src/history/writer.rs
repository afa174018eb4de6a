//! The writing connection: rows of one bucket a transaction, and what is too old.

use super::level::{KeptFrom, Level, floor};
use super::names::Unsaved;
use super::schema;
use super::usage::Usage;
use super::waiting::Bucket;
use coo_llm_core::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::BTreeMap;
use std::time::Duration;

/// How much of a level goes in one transaction.
const STEP: u64 = Level::Hour.width();
/// Transactions of retention a flush: a day of each level.
const STEPS_MAX: u32 = 24;
/// A clock that is further ahead than this since the last time is not believed at once.
const JUMP: u64 = 86_400_000;
/// For so long nothing is removed after a jump ahead: who sets the clock back within it
/// has lost nothing.
const DISTRUST: u64 = 3_600_000;

/// What the file says about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    /// The first second of the history.
    pub(super) begins: u64,
    pub(super) kept: KeptFrom,
    pub(super) last_stamp: UnixMillis,
    /// Buckets that were written, ever: says which of them a view of the file has.
    pub(super) writes: u64,
}

impl Meta {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let mut statement = connection.prepare("SELECT value FROM meta WHERE name = ?1")?;
        let mut value = |name: &str| -> rusqlite::Result<Option<u64>> {
            let value = statement.query_row([name], |row| row.get::<_, i64>(0));
            Ok(value.optional()?.and_then(|n| u64::try_from(n).ok()))
        };
        let mut kept = [0; 3];
        for level in Level::ALL {
            let Some(from) = value(&format!("kept_from_{}", level.suffix()))? else {
                return Ok(None);
            };
            kept[level as usize] = from;
        }
        let (begins, last) = (value("begins")?, value("last_stamp_ms")?);
        let writes = value("writes")?;
        let all = begins.zip(last).zip(writes);
        Ok(all.map(|((begins, last), writes)| Self {
            begins,
            kept: KeptFrom(kept),
            last_stamp: UnixMillis(last),
            writes,
        }))
    }

    /// Of a history that begins now.
    fn new(now: UnixMillis) -> Self {
        let begins = floor(now.0 / 1000, Level::Hour.width());
        Self {
            begins,
            kept: KeptFrom([begins; 3]),
            last_stamp: now,
            writes: 0,
        }
    }

    fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        let names = Level::ALL.map(|level| format!("kept_from_{}", level.suffix()));
        let kept = names.iter().map(String::as_str).zip(self.kept.0);
        let others = [
            ("begins", self.begins),
            ("last_stamp_ms", self.last_stamp.0),
            ("writes", self.writes),
        ];
        let mut statement = connection.prepare("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
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
    retention: [Duration; 3],
    /// Until when the clock is not believed to be right about what is old.
    distrusts_until: UnixMillis,
    last_seen: UnixMillis,
}

impl Writer {
    /// `None` where a file that is not new says nothing about itself.
    pub(super) fn new(
        connection: Connection,
        is_new: bool,
        retention: [Duration; 3],
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
            connection,
            meta,
            retention,
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
        for level in Level::ALL {
            let at = floor(start, level.width());
            let sql = schema::upsert("usage", &["bucket", "client", "route"], level);
            let mut upsert = transaction.prepare(&sql)?;
            for ((client, route), usage) in &pairs {
                usage.insert(&mut upsert, &[at, u64::from(*client), u64::from(*route)])?;
            }
            let sql = schema::upsert("route_usage", &["bucket", "route"], level);
            let mut upsert = transaction.prepare(&sql)?;
            for (route, usage) in &routes {
                usage.insert(&mut upsert, &[at, u64::from(*route)])?;
            }
            let mut upsert = transaction.prepare(&schema::upsert_errors(level))?;
            for ((provider, error), n) in &bucket.errors {
                upsert.execute(params![at as i64, &**provider, *error, *n as i64])?;
            }
        }
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

    /// Removes rows that are past their retention, an hour of a level a transaction.
    pub(super) fn retire(&mut self, stamp: UnixMillis) -> rusqlite::Result<()> {
        if stamp.0.saturating_sub(self.last_seen.0) > JUMP {
            self.distrusts_until = UnixMillis(stamp.0.saturating_add(DISTRUST));
        }
        self.last_seen = self.last_seen.max(stamp);
        if stamp < self.distrusts_until {
            return Ok(());
        }
        for level in Level::ALL {
            let age = self.retention[level as usize].as_secs();
            let cutoff = floor((stamp.0 / 1000).saturating_sub(age), STEP);
            for _ in 0..STEPS_MAX {
                let from = self.meta.kept.of(level);
                if from >= cutoff {
                    break;
                }
                // Hours without rows are passed over at once.
                let from = self
                    .oldest(level)?
                    .map_or(cutoff, |oldest| oldest.max(from));
                let mut meta = self.meta;
                meta.kept.0[level as usize] = from.saturating_add(STEP).min(cutoff);
                let transaction = self.connection.transaction()?;
                for table in ["usage", "route_usage", "errors"] {
                    let sql = format!("DELETE FROM {table}_{} WHERE bucket < ?1", level.suffix());
                    transaction.execute(&sql, [meta.kept.of(level) as i64])?;
                }
                meta.save(&transaction)?;
                transaction.commit()?;
                self.meta = meta;
            }
        }
        Ok(())
    }

    /// The hour that the oldest rows of a level are in.
    fn oldest(&self, level: Level) -> rusqlite::Result<Option<u64>> {
        let suffix = level.suffix();
        let sql = format!(
            "SELECT min(bucket) FROM (SELECT min(bucket) AS bucket FROM usage_{suffix} \
             UNION ALL SELECT min(bucket) FROM errors_{suffix})"
        );
        let oldest = self
            .connection
            .query_row(&sql, [], |row| row.get::<_, Option<i64>>(0))?;
        Ok(oldest.map(|oldest| floor(oldest.cast_unsigned(), STEP)))
    }

    /// Puts everything into the main file, which then needs no other.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.query_row(sql, [], |_| Ok(()))
    }
}
