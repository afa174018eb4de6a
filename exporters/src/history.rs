//! The history: what was used when, by whom and of what, in one SQLite file.
//!
//! It is: rows of ten seconds, a minute and an hour, and exact answers from them and from
//! what is not written yet. It is not: a thread, a clock, or an endpoint; time is an
//! argument everywhere.
//!
//! ```text
//! Meter::take_pairs --drain--> waiting buckets --flush--> usage_10s, usage_1m, usage_1h
//!                                     \                    /
//!                                      `----- query ------'
//! ```
//!
//! A flush adds a bucket's rows to all three widths in one transaction, so each width is
//! complete and a roll-up has no backlog. Days (`usage_1d`) are made from hours that are
//! over, and only whole ones are asked. A query takes the meter's increments first, so
//! its answer is exact to now. docs/history.md describes the file.

mod archive;
mod by_client;
mod clients;
mod each_client;
mod error;
mod file;
mod gaps;
mod latency;
mod level;
mod names;
mod probe;
mod query;
mod repricing;
mod roll;
mod schema;
mod sealed;
mod sinks;
#[cfg(test)]
mod tests;
mod usage;
mod waiting;
mod writer;

pub use archive::{Archive, ArchiveRow};
pub use by_client::{ClientRow, Width};
pub use error::HistoryError;
pub use latency::Latencies;
pub use query::{Answer, Dimension, Errors, Filter, Group, POINTS_MAX, Query, Window};
pub use repricing::{Rewrite, Rewritten};
pub use sealed::{Next, Position, Sealed, SealedRow};
pub use usage::Usage;
pub(crate) use usage::{NUMBERS, TOTALS, totals_of};

use clients::ClientSet;
use coo_llm_core::catalog::{NONE, OTHER};
use coo_llm_core::record::ErrorType;
use coo_llm_core::{Crossing, Meter, NanoUsd, Snapshot, UnixMillis};
use each_client::LastRequests;
use level::{Level, floor};
use names::Names;
use query::Gathering;
use rusqlite::Connection;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use waiting::{Bucket, Waiting};
use writer::{Meta, Writer};

/// Connections for queries that are kept open.
const READERS_MAX: usize = 4;

/// Where the history is and how long its rows are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file. Its folder is made where it is missing.
    pub path: PathBuf,
    /// How long rows of 10 s, 1 m and 1 h are kept.
    pub retention: [Duration; 3],
    /// How many bytes of rows of 10 s, and of 1 m, are kept beyond that for sinks that do
    /// not have them yet. Of what is over it, the coarser rows are left for them.
    pub spool_bytes_max: u64,
}

/// How the history does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Requests that were recorded since this process began.
    pub recorded: u64,
    /// Those of them that are in the file.
    pub persisted: u64,
    /// Those that there was no room to keep: see [`Health::waiting_rows`].
    pub dropped: u64,
    /// Latencies that were not taken in time; percentiles lack them.
    pub latencies_missed: u64,
    /// Rows written.
    pub rows: u64,
    /// Flushes that failed.
    pub failures: u64,
    /// Rows that wait; at most 200,000.
    pub waiting_rows: u64,
    /// How often waiting rows were folded to hours, because there were too many.
    pub folds: u64,
    /// Age of the oldest row that waits, in seconds.
    pub lag_s: u64,
    /// Hours of rows that were left to the coarser ones, because a sink was down for so long.
    pub spool_folds: u64,
    /// How far the clock is behind the last stamp, in milliseconds: it was set back.
    pub clock_behind_ms: u64,
    /// Why the last flush failed; `None` where it did not.
    pub error: Option<String>,
}

#[derive(Debug)]
struct State {
    waiting: Waiting,
    names: Names,
    last_requests: LastRequests,
    /// The moment up to which everything was drained; never goes back.
    stamp: UnixMillis,
    /// Failures by provider as they were then.
    errors: Vec<[u64; ErrorType::ALL.len()]>,
    health: Health,
}

/// The history of a meter.
#[derive(Debug)]
pub struct History {
    meter: Meter,
    path: PathBuf,
    is_new: bool,
    gaps: Vec<gaps::Gap>,
    writer: Mutex<Writer>,
    /// Taken after `writer` and before the meter's own lock. Nothing is written under it.
    state: Mutex<State>,
    readers: Mutex<Vec<Connection>>,
    _lock: File,
}

/// What these locks guard is whole after a panic: rows are added one after the other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Takes over what the meter counted since the last time.
    fn drain(&mut self, meter: &Meter, now: UnixMillis) {
        // What came since the last time began then, whatever the clock says now.
        let start = floor(self.stamp.0 / 1000, Level::TenSeconds.width());
        let bucket = meter.take_pairs(|snapshot, crossing| {
            let mut bucket = self.usage(meter, &crossing);
            self.count_errors(meter, snapshot, &mut bucket);
            bucket
        });
        self.last_requests.note(&bucket);
        self.health.recorded += bucket.requests();
        self.health.dropped += self.waiting.add(start, &bucket);
        self.stamp = self.stamp.max(now);
    }

    fn usage(&mut self, meter: &Meter, crossing: &Crossing) -> Bucket {
        self.health.latencies_missed += crossing.latencies_missed();
        let pairs = crossing.pairs().iter();
        let mut usage: Vec<_> = pairs
            .map(|pair| {
                let usage = Usage {
                    totals: pair.totals(),
                    latency: Latencies::default(),
                };
                (self.names.pair(meter.catalog(), pair.of), usage)
            })
            .collect();
        for (place, latency) in crossing.latencies() {
            usage[place].1.latency.record(latency);
        }
        let mut bucket = Bucket::default();
        for (key, usage) in usage {
            // Two pairs of the meter may have one name in the file: `other`.
            bucket.usage.entry(key).or_default().add(&usage);
        }
        bucket
    }

    fn count_errors(&mut self, meter: &Meter, snapshot: &Snapshot, bucket: &mut Bucket) {
        for (id, name) in meter.catalog().providers() {
            if self.errors.len() <= id.index() {
                self.errors.resize(id.index() + 1, Default::default());
            }
            let then = &mut self.errors[id.index()];
            for (then, error) in then.iter_mut().zip(ErrorType::ALL) {
                let now = snapshot.errors(id, *error);
                let more = now - *then;
                if more > 0 {
                    let key = (Arc::from(name), error.as_str());
                    *bucket.errors.entry(key).or_default() += more;
                    *then = now;
                }
            }
        }
    }

    /// The first second that nothing can be known of yet.
    const fn horizon(&self) -> u64 {
        let width = Level::TenSeconds.width();
        floor(self.stamp.0 / 1000, width) + width
    }
}

impl History {
    /// Opens the file, or makes it. The meter must be one
    /// [`with_pairs`](Meter::with_pairs), and this the only one that takes them.
    ///
    /// # Errors
    /// Where the file is damaged, not ours or in use, or its folder cannot be written. It
    /// is then as it was.
    pub fn open(options: &Options, meter: Meter, now: UnixMillis) -> Result<Self, HistoryError> {
        let path = &options.path;
        let store = |error| HistoryError::of(path, error);
        let damaged = |detail: &str| HistoryError::Damaged {
            path: path.clone(),
            detail: detail.to_owned(),
        };
        let opened = file::open(path)?;
        let mut connection = opened.connection;
        let last_requests = LastRequests::load(&mut connection).map_err(store)?;
        let writer = Writer::new(connection, opened.is_new, options, now)
            .map_err(store)?
            .ok_or_else(|| damaged("its table meta is incomplete"))?;
        let names = Names::load(writer.connection())
            .map_err(store)?
            .ok_or_else(|| damaged("its lists of names have gaps"))?;
        let last_s = writer.last_stamp().0 / 1000;
        let gaps = gaps::note(writer.connection(), last_s, now.0 / 1000).map_err(store)?;
        let state = State {
            waiting: Waiting::default(),
            names,
            last_requests,
            stamp: now.max(writer.last_stamp()),
            errors: Vec::new(),
            health: Health::default(),
        };
        Ok(Self {
            meter,
            path: path.clone(),
            is_new: opened.is_new,
            gaps,
            writer: Mutex::new(writer),
            state: Mutex::new(state),
            readers: Mutex::new(Vec::new()),
            _lock: opened.lock,
        })
    }

    /// Whether there was none before.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Spans `[start, end)` in unix seconds in which no process filled it, of the last weeks:
    /// between a stop, or the last rows before a kill, and the next start.
    #[must_use]
    pub fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes over what the meter counted. To be called every second or so, shortly after
    /// each begins: what is taken counts in the ten seconds in which the last call was.
    pub fn drain(&self, now: UnixMillis) {
        lock(&self.state).drain(&self.meter, now);
    }

    /// Drains, writes everything that waits, and removes what is too old.
    ///
    /// # Errors
    /// Where the file takes nothing now, as on a full disk. Nothing is half written: rows
    /// wait for the next flush.
    pub fn flush(&self, now: UnixMillis) -> Result<(), HistoryError> {
        let mut writer = lock(&self.writer);
        self.drain(now);
        let written = self.write(&mut writer);
        let written = written.map_err(|error| HistoryError::of(&self.path, error));
        let mut state = lock(&self.state);
        state.health.failures += u64::from(written.is_err());
        state.health.error = written.as_ref().err().map(ToString::to_string);
        written
    }

    fn write(&self, writer: &mut Writer) -> rusqlite::Result<()> {
        loop {
            let (start, bucket, names, stamp) = {
                let mut state = lock(&self.state);
                let next = writer.next_write();
                let Some((start, bucket)) = state.waiting.begin_writing(next) else {
                    break;
                };
                (start, bucket, state.names.unsaved(), state.stamp)
            };
            // Without the state's lock: nobody else waits for the disk.
            let written = writer.write(start, &bucket, &names, stamp);
            let mut state = lock(&self.state);
            if let Err(error) = written {
                state.waiting.was_not_written();
                return Err(error);
            }
            state.waiting.was_written();
            state.names.are_saved(&names);
            state.health.persisted += bucket.requests();
            state.health.rows += (bucket.usage.len() + bucket.errors.len()) as u64;
        }
        let stamp = lock(&self.state).stamp;
        writer.roll(stamp)?;
        let retired = writer.retire(stamp);
        lock(&self.state).health.spool_folds = writer.spool_folds();
        retired
    }

    /// Flushes, and ends the bucket that is under way, so that sinks get its rows: nothing
    /// may be recorded after it. A process that goes on with the file within these ten
    /// seconds counts in the next ones.
    ///
    /// # Errors
    /// As [`History::flush`].
    pub fn seal(&self, now: UnixMillis) -> Result<(), HistoryError> {
        self.flush(now)?;
        let mut writer = lock(&self.writer);
        let stamp = {
            let mut state = lock(&self.state);
            state.stamp = state.stamp.max(UnixMillis(state.horizon() * 1000));
            state.stamp
        };
        let saved = writer.save_stamp(stamp);
        saved.map_err(|error| HistoryError::of(&self.path, error))
    }

    /// Answers a question, exactly as of now.
    ///
    /// # Errors
    /// Where the file cannot be read, or there are more than [`POINTS_MAX`] points.
    pub fn query(&self, query: &Query, now: UnixMillis) -> Result<Answer, HistoryError> {
        let mut no_errors = None;
        self.gather(query, &mut no_errors, now)
    }

    /// Answers a question, with the failures by provider and type in its window, both of the
    /// same moment. The failures are of all providers, whatever the question's filter.
    ///
    /// # Errors
    /// As [`History::query`].
    pub fn query_with_errors(
        &self,
        query: &Query,
        now: UnixMillis,
    ) -> Result<(Answer, Errors), HistoryError> {
        let mut errors = Some(Errors::new());
        let answer = self.gather(query, &mut errors, now)?;
        Ok((answer, errors.unwrap_or_default()))
    }

    fn gather(
        &self,
        query: &Query,
        errors: &mut Option<Errors>,
        now: UnixMillis,
    ) -> Result<Answer, HistoryError> {
        let (gathering, file, meta) = self.look(now, |state, meta| {
            let window = query::snap(query.window, meta, state.horizon());
            let mut gathering = Gathering::new(query, window, &state.names)?;
            gathering.add_waiting(&state.waiting, meta);
            if let Some(errors) = errors {
                query::waiting_errors(&state.waiting, meta, window, errors);
            }
            Ok(gathering)
        })?;
        let mut gathering = gathering;
        let added = gathering.add_stored(&file, &meta);
        let added = added.and_then(|()| match errors {
            Some(errors) => query::errors(&file, &meta, gathering.window, errors),
            None => Ok(()),
        });
        self.give_back(file);
        added.map_err(|error| HistoryError::of(&self.path, error))?;
        gathering.answer(|client| lock(&self.state).names.client_name(client))
    }

    /// What is known of a window, snapped as a query would, and the seconds of the buckets at
    /// its start, which are the widest in it: a narrower step would show gaps.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn known(&self, asked: Window, now: UnixMillis) -> Result<(Window, u64), HistoryError> {
        let (known, file, _) = self.look(now, |state, meta| {
            let window = query::snap(asked, meta, state.horizon());
            Ok((window, meta.kept.width_at(window.start_s)))
        })?;
        self.give_back(file);
        Ok(known)
    }

    /// Whether something was ever counted for a client. Its rows may be gone by now.
    #[must_use]
    pub fn has_client(&self, id: &str) -> bool {
        lock(&self.state).names.client_id(id).is_some()
    }

    /// Whether something was ever counted for a provider. Its rows may be gone by now.
    #[must_use]
    pub fn has_provider(&self, id: &str) -> bool {
        let state = lock(&self.state);
        let mut routes = state.names.routes().iter();
        routes.any(|[provider, ..]| **provider == *id)
    }

    /// Failures by provider and type in a window, exactly as of now, with what the window
    /// was snapped to.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn errors(&self, asked: Window, now: UnixMillis) -> Result<(Window, Errors), HistoryError> {
        let ((window, mut found), file, meta) = self.look(now, |state, meta| {
            let window = query::snap(asked, meta, state.horizon());
            let mut found = Errors::new();
            query::waiting_errors(&state.waiting, meta, window, &mut found);
            Ok((window, found))
        })?;
        let added = query::errors(&file, &meta, window, &mut found);
        self.give_back(file);
        added.map_err(|error| HistoryError::of(&self.path, error))?;
        Ok((window, found))
    }

    /// How many clients there were in a window, exactly as of now, with what the window was
    /// snapped to; `none` and `other` are nobody. [`Query::group_by`] the client has the same
    /// groups, but looks at each row.
    ///
    /// # Errors
    /// Where the file cannot be read.
    ///
    /// # Cost
    /// A set an hour or day of the window, a byte a client that did something in it, and the
    /// rows of the hour that is not over.
    pub fn clients(&self, asked: Window, now: UnixMillis) -> Result<(Window, u64), HistoryError> {
        let ((window, mut found), file, meta) = self.look(now, |state, meta| {
            let window = query::snap(asked, meta, state.horizon());
            let mut found = ClientSet::default();
            let Window { start_s, end_s } = window;
            for (_, bucket) in state.waiting.within(start_s, end_s, meta.writes) {
                let clients = bucket.usage.keys().map(|(client, _)| *client);
                clients.for_each(|client| found.insert(client));
            }
            Ok((window, found))
        })?;
        let added = query::clients(&file, &meta, window, &mut found);
        self.give_back(file);
        added.map_err(|error| HistoryError::of(&self.path, error))?;
        for nobody in [NONE, OTHER] {
            if let Some(client) = lock(&self.state).names.client_id(nobody) {
                found.remove(client);
            }
        }
        Ok((window, found.len()))
    }

    /// When each client last asked for something, exactly as of now; who never did is left out.
    #[must_use]
    pub fn last_requests(&self, now: UnixMillis) -> HashMap<Arc<str>, UnixMillis> {
        let mut state = lock(&self.state);
        state.drain(&self.meter, now);
        let all = state.last_requests.all();
        let named = all.filter_map(|(client, at)| Some((state.names.client_name(client)?, at)));
        named.collect()
    }

    /// What clients have spent since midnight of some day, exactly as of now: `client`, or all.
    /// Who spent nothing may be left out; of what is past its retention nothing is known.
    ///
    /// # Errors
    /// Where the file cannot be read.
    ///
    /// # Cost
    /// Of one client a look-up a day, and one an hour of this day; of all, a pass over the rows of
    /// these.
    pub fn spent(
        &self,
        since: UnixMillis,
        client: Option<&str>,
        now: UnixMillis,
    ) -> Result<HashMap<Arc<str>, NanoUsd>, HistoryError> {
        let ((window, wanted, mut spent), file, meta) = self.look(now, |state, meta| {
            let asked = Window {
                start_s: since.0 / 1000,
                end_s: u64::MAX,
            };
            let window = query::snap(asked, meta, state.horizon());
            let wanted = client.map(|name| state.names.client_id(name));
            let mut spent = each_client::Spent::new();
            let waiting = state
                .waiting
                .within(window.start_s, window.end_s, meta.writes);
            for ((client, _), usage) in waiting.flat_map(|(_, rows)| &rows.usage) {
                if wanted.is_none_or(|wanted| wanted == Some(*client)) {
                    let sum = spent.entry(*client).or_default();
                    *sum = sum.saturating_add(usage.totals.cost.0);
                }
            }
            Ok((window, wanted, spent))
        })?;
        let added = match wanted {
            Some(None) => Ok(()),
            Some(client) => each_client::add_spent(&file, &meta, window, client, &mut spent),
            None => each_client::add_spent(&file, &meta, window, None, &mut spent),
        };
        self.give_back(file);
        added.map_err(|error| HistoryError::of(&self.path, error))?;
        let state = lock(&self.state);
        let spent = spent.into_iter();
        let named = spent
            .filter_map(|(client, nano)| Some((state.names.client_name(client)?, NanoUsd(nano))));
        Ok(named.collect())
    }

    /// Drains, and lets `look` see what waits beside a view of the file of the same moment.
    fn look<R>(
        &self,
        now: UnixMillis,
        look: impl FnOnce(&State, &Meta) -> Result<R, HistoryError>,
    ) -> Result<(R, Connection, Meta), HistoryError> {
        let store = |error| HistoryError::of(&self.path, error);
        let file = lock(&self.readers).pop();
        let file = match file {
            Some(file) => file,
            None => file::connect_reader(&self.path).map_err(store)?,
        };
        let mut state = lock(&self.state);
        state.drain(&self.meter, now);
        file.execute_batch("BEGIN").map_err(store)?;
        // The first read fixes what the transaction sees.
        let meta = Meta::load(&file).map_err(store)?;
        let meta = meta.ok_or_else(|| HistoryError::Damaged {
            path: self.path.clone(),
            detail: "its table meta is incomplete".to_owned(),
        })?;
        let seen = look(&state, &meta)?;
        Ok((seen, file, meta))
    }

    /// Ends a view and keeps its connection; one that cannot end it is closed.
    fn give_back(&self, file: Connection) {
        let mut readers = lock(&self.readers);
        if file.execute_batch("COMMIT").is_ok() && readers.len() < READERS_MAX {
            readers.push(file);
        }
    }

    /// How the history does, as of now.
    #[must_use]
    pub fn health(&self, now: UnixMillis) -> Health {
        let mut state = lock(&self.state);
        state.drain(&self.meter, now);
        let oldest = state.waiting.oldest();
        let second = state.stamp.0 / 1000;
        Health {
            waiting_rows: state.waiting.rows() as u64,
            folds: state.waiting.folds(),
            lag_s: oldest.map_or(0, |oldest| second.saturating_sub(oldest)),
            clock_behind_ms: state.stamp.0.saturating_sub(now.0),
            ..state.health.clone()
        }
    }

    /// The history's clock: now, or its last stamp where the clock was set back. Windows
    /// that end "now" end here.
    #[must_use]
    pub fn clock(&self, now: UnixMillis) -> UnixMillis {
        now.max(lock(&self.state).stamp)
    }

    #[cfg(test)]
    fn set_spool_rows_max(&self, rows: u64) {
        lock(&self.writer).set_spool_rows_max(rows);
    }

    /// The last flush; then the file stands alone, without its `-wal`.
    ///
    /// # Errors
    /// As [`History::flush`]; what waited is then lost.
    pub fn close(&self, now: UnixMillis) -> Result<(), HistoryError> {
        self.flush(now)?;
        lock(&self.readers).clear();
        let mut writer = lock(&self.writer);
        let closed = writer.save_stamp(now).and_then(|()| writer.checkpoint());
        closed.map_err(|error| HistoryError::of(&self.path, error))
    }
}
