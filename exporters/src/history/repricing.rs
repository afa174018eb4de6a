//! New costs in a history that no gateway holds: in all widths, in one transaction.

use super::archive::{Archive, ArchiveRow, Place};
use super::error::HistoryError;
use super::level::{Level, floor};
use super::query::Window;
use super::{file, schema};
use coo_llm_core::{NanoUsd, UnixMillis};
use rusqlite::{Connection, params};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A history that is held to write new costs to it.
///
/// [`Rewrite::commit`] writes them; dropped without it, the file is as it was.
#[derive(Debug)]
pub struct Rewrite {
    path: PathBuf,
    archive: Archive,
    connection: Connection,
    _lock: File,
}

/// What was rewritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Rows of [`Archive::read`] that have another cost now.
    pub rows: u64,
}

impl Rewrite {
    /// Holds a history. No gateway may run on it, nor start on it until this ends.
    ///
    /// # Errors
    /// As [`Archive::open`], and where it is in use or cannot be written.
    pub fn begin(path: &Path) -> Result<Self, HistoryError> {
        // The gateway's way would make one where there is none.
        drop(Archive::open(path)?);
        let opened = file::open(path)?;
        let store = |error| HistoryError::of(path, error);
        opened
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(store)?;
        Ok(Self {
            path: path.to_owned(),
            archive: Archive::open(path)?,
            connection: opened.connection,
            _lock: opened.lock,
        })
    }

    /// What is there, as before.
    #[must_use]
    pub const fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Gives the rows of a window that [`Archive::window`] made the costs that `price` says;
    /// `None` leaves one as it is. A row that has one has no request without a price any more.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub fn rewrite(
        &mut self,
        window: Window,
        mut price: impl FnMut(&ArchiveRow<'_>) -> Option<NanoUsd>,
    ) -> Result<Rewritten, HistoryError> {
        let mut done = Rewritten::default();
        let rolled_to = self.archive.rolled_to();
        self.archive.read_places(window, |row, place| {
            let totals = &row.usage.totals;
            let Some(cost) = price(row) else {
                return Ok::<_, HistoryError>(());
            };
            if (cost, 0) == (totals.cost, totals.unpriced) {
                return Ok(());
            }
            done.rows += 1;
            let more = Change {
                cost: cost.0.wrapping_sub(totals.cost.0).cast_signed(),
                unpriced: totals.unpriced.wrapping_neg().cast_signed(),
            };
            let coarser = Level::ALL.into_iter();
            let coarser = coarser.filter(|level| level.width() >= place.level.width());
            for level in coarser.filter(|l| *l != Level::Day || row.start_s < rolled_to) {
                let changed = more.apply(&self.connection, level, row.start_s, place);
                let changed = changed.map_err(|error| HistoryError::of(&self.path, error))?;
                if !changed {
                    let detail = format!("usage_{} lacks a row", level.suffix());
                    let path = self.path.clone();
                    return Err(HistoryError::Damaged { path, detail });
                }
            }
            Ok(())
        })?;
        Ok(done)
    }

    /// Writes it, and says so in `meta`: how often that was done, when at last, and of what
    /// time.
    ///
    /// # Errors
    /// Where the file cannot be written; it is then as it was.
    pub fn commit(self, window: Window, now: UnixMillis) -> Result<(), HistoryError> {
        let store = |error| HistoryError::of(&self.path, error);
        let notes = [
            ("repriced_at_ms", now.0),
            ("repriced_from", window.start_s),
            ("repriced_to", window.end_s),
        ];
        let note = |(name, value): (&str, u64)| {
            let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
            self.connection.execute(sql, params![name, value as i64])
        };
        for pair in notes {
            note(pair).map_err(store)?;
        }
        let sql = "INSERT INTO meta VALUES ('reprices', 1) \
                   ON CONFLICT (name) DO UPDATE SET value = value + 1";
        self.connection.execute(sql, []).map_err(store)?;
        // Its view would keep the checkpoint from what was just written.
        let Self {
            archive,
            connection,
            path,
            _lock,
        } = self;
        drop(archive);
        let store = |error| HistoryError::of(&path, error);
        connection.execute_batch("COMMIT").map_err(store)?;
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        connection
            .query_row(checkpoint, [], |_| Ok(()))
            .map_err(store)
    }
}

/// What a row's numbers change by.
struct Change {
    cost: i64,
    unpriced: i64,
}

impl Change {
    /// To a row of a level, and to that of its route; whether they are there.
    fn apply(
        &self,
        file: &Connection,
        level: Level,
        second: u64,
        place: &Place,
    ) -> rusqlite::Result<bool> {
        let bucket = floor(second, level.width()) as i64;
        let usage = schema::change_cost("usage", &["bucket", "route", "client"], level);
        let routes = schema::change_cost("route_usage", &["bucket", "route"], level);
        let (cost, unpriced) = (self.cost, self.unpriced);
        let rows = file.prepare_cached(&usage)?.execute(params![
            cost,
            unpriced,
            bucket,
            place.route,
            place.client
        ])?;
        let of_routes =
            file.prepare_cached(&routes)?
                .execute(params![cost, unpriced, bucket, place.route])?;
        Ok((rows, of_routes) == (1, 1))
    }
}
