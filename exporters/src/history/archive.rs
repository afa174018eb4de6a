//! A history's file as it is at one moment, read row by row: for an export, or to price the
//! past anew. The gateway may run meanwhile.

use super::error::HistoryError;
use super::file;
use super::level::Level;
use super::names::Names;
use super::query::{self, Window};
use super::usage::{COLUMNS, Usage};
use super::writer::Meta;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// What one client used of one route in a bucket.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveRow<'a> {
    /// The bucket's first second, since 1970.
    pub start_s: u64,
    /// Its seconds.
    pub width_s: u64,
    /// The provider.
    pub provider: &'a str,
    /// Its model.
    pub model: &'a str,
    /// The public id of its key.
    pub key: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// What was used.
    pub usage: &'a Usage,
}

/// A history's file at one moment.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: Connection,
    meta: Meta,
    names: Names,
}

/// Rows by their ids, which a repricing writes back.
pub(super) struct Place {
    pub(super) level: Level,
    pub(super) client: u32,
    pub(super) route: u32,
}

impl Archive {
    /// Opens a file to read it. Nothing is written to it, whoever else does; what a
    /// gateway has not flushed yet is not in it.
    ///
    /// While it is open, SQLite cannot start its `-wal` anew: that file grows by what is
    /// written meanwhile.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read, is damaged or not ours.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let store = |error| HistoryError::of(path, error);
        let damaged = |detail: &str| HistoryError::Damaged {
            path: path.to_owned(),
            detail: detail.to_owned(),
        };
        let file = file::connect_archive(path)?;
        file.execute_batch("BEGIN").map_err(store)?;
        // The first read fixes what the transaction sees.
        let meta = Meta::load(&file).map_err(store)?;
        let meta = meta.ok_or_else(|| damaged("its table meta is incomplete"))?;
        let names = Names::load(&file).map_err(store)?;
        let names = names.ok_or_else(|| damaged("its lists of names have gaps"))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            meta,
            names,
        })
    }

    /// The part of `asked` that there is a history of, its ends moved back to those of
    /// buckets.
    #[must_use]
    pub fn window(&self, asked: Window) -> Window {
        let width = Level::TenSeconds.width();
        let last = self.meta.last_stamp.0 / 1000;
        query::snap(asked, &self.meta, super::level::floor(last, width) + width)
    }

    /// The hour up to which days have what hours have.
    pub(super) const fn rolled_to(&self) -> u64 {
        self.meta.kept.rolled_to
    }

    /// Reads the rows of a window that [`Archive::window`] made, in the order of time,
    /// client and route. Each request is in one of them: in that of the finest width that is
    /// kept for its time.
    ///
    /// # Errors
    /// Where the file cannot be read, and what `each` says.
    pub fn read<E: From<HistoryError>>(
        &self,
        window: Window,
        mut each: impl FnMut(&ArchiveRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.read_places(window, |row, _| each(row))
    }

    pub(super) fn read_places<E: From<HistoryError>>(
        &self,
        window: Window,
        mut each: impl FnMut(&ArchiveRow<'_>, &Place) -> Result<(), E>,
    ) -> Result<(), E> {
        let store = |error| E::from(HistoryError::of(&self.path, error));
        let kept = self.meta.kept;
        let [ten_s, minute, _] = Level::FLUSHED.map(|level| kept.of(level));
        let Window { start_s, end_s } = window;
        // Before the finer ones are kept; of minutes, of ten seconds.
        let pieces = [
            (Level::Hour, 0, minute),
            (Level::Minute, minute, ten_s),
            (Level::TenSeconds, ten_s, u64::MAX),
        ];
        for (level, from, to) in pieces {
            let (start, end) = (start_s.max(from), end_s.min(to));
            if start >= end {
                continue;
            }
            let sql = format!(
                "SELECT bucket, client, route, {COLUMNS} FROM usage_{} \
                 WHERE bucket >= ?1 AND bucket < ?2 ORDER BY bucket, client, route",
                level.suffix()
            );
            let mut statement = self.file.prepare(&sql).map_err(store)?;
            let mut rows = statement.query([start as i64, end as i64]).map_err(store)?;
            while let Some(row) = rows.next().map_err(store)? {
                let bucket: i64 = row.get(0).map_err(store)?;
                let place = Place {
                    level,
                    client: row.get(1).map_err(store)?,
                    route: row.get(2).map_err(store)?,
                };
                let mut usage = Usage::default();
                usage.add_row(row, 3).map_err(store)?;
                let names = self.names.routes().get(place.route as usize);
                let client_id = self.names.client_name(place.client);
                let Some(([provider, model, key], client_id)) = names.zip(client_id) else {
                    let detail = "a row has an id without a name".to_owned();
                    let path = self.path.clone();
                    return Err(HistoryError::Damaged { path, detail }.into());
                };
                let row = ArchiveRow {
                    start_s: bucket.cast_unsigned(),
                    width_s: level.width(),
                    provider,
                    model,
                    key,
                    client_id: &client_id,
                    usage: &usage,
                };
                each(&row, &place)?;
            }
        }
        Ok(())
    }
}
