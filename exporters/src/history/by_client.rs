//! What each client used of each route in buckets that are over: counts without latencies, for
//! who watches all clients.

use super::level::{Level, floor};
use super::{History, HistoryError, Window};
use coo_llm_core::snapshot::Totals;
use coo_llm_core::{NanoUsd, UnixMillis};
use rusqlite::Connection;
use std::sync::Arc;

/// The width of the buckets of [`History::client_rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
}

impl Width {
    const fn level(self) -> Level {
        match self {
            Self::Minute => Level::Minute,
            Self::Hour => Level::Hour,
        }
    }

    /// In seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.level().width()
    }
}

/// A part of what a client used of a route in a bucket; there may be several of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRow {
    /// When the bucket begins, unix seconds.
    pub start_s: u64,
    /// The client's place in [`History::clients_from`].
    pub client: u32,
    /// The route's place in [`History::route_providers_from`].
    pub route: u32,
    /// Finished requests.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Known cost.
    pub cost: NanoUsd,
    /// Requests that it leaves out.
    pub unpriced: u64,
}

impl ClientRow {
    fn of(start_s: u64, client: u32, route: u32, totals: &Totals) -> Self {
        Self {
            start_s,
            client,
            route,
            requests: totals.requests,
            errors: totals.errors,
            cost: totals.cost,
            unpriced: totals.unpriced,
        }
    }
}

impl History {
    /// Gives the rows of a window to `each`: those that are stored by time, those that wait
    /// before them. What is asked for should be over: later records of it are in no answer.
    ///
    /// # Errors
    /// Where the file cannot be read; some rows were given then.
    ///
    /// # Cost
    /// About a microsecond a row.
    pub fn client_rows(
        &self,
        width: Width,
        window: Window,
        now: UnixMillis,
        mut each: impl FnMut(ClientRow),
    ) -> Result<(), HistoryError> {
        let level = width.level();
        let (waiting, file, _meta) = self.look(now, |state, meta| {
            let buckets = state
                .waiting
                .within(window.start_s, window.end_s, meta.writes);
            let mut rows = Vec::new();
            for (at, bucket) in buckets {
                let start_s = floor(at, level.width());
                rows.extend(bucket.usage.iter().map(|((client, route), usage)| {
                    ClientRow::of(start_s, *client, *route, &usage.totals)
                }));
            }
            Ok(rows)
        })?;
        waiting.into_iter().for_each(&mut each);
        let read = stored(&file, level, window, each);
        self.give_back(file);
        read.map_err(|error| HistoryError::of(self.path(), error))
    }

    /// The names of clients by [`ClientRow::client`], from a place on; the list only grows.
    #[must_use]
    pub fn clients_from(&self, place: usize) -> Vec<Arc<str>> {
        super::lock(&self.state).names.clients_from(place).to_vec()
    }

    /// The providers of routes by [`ClientRow::route`], from a place on; the list only grows.
    #[must_use]
    pub fn route_providers_from(&self, place: usize) -> Vec<Arc<str>> {
        let state = super::lock(&self.state);
        let routes = state.names.routes().iter().skip(place);
        routes.map(|[provider, ..]| Arc::clone(provider)).collect()
    }
}

fn stored(
    file: &Connection,
    level: Level,
    window: Window,
    mut each: impl FnMut(ClientRow),
) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT bucket, client, route, requests, errors, cost_nano_usd, unpriced FROM usage_{} \
         WHERE bucket >= ?1 AND bucket < ?2",
        level.suffix()
    );
    let mut statement = file.prepare(&sql)?;
    let mut rows = statement.query([window.start_s as i64, window.end_s as i64])?;
    while let Some(row) = rows.next()? {
        let natural = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
        each(ClientRow {
            start_s: natural(0)?,
            client: row.get(1)?,
            route: row.get(2)?,
            requests: natural(3)?,
            errors: natural(4)?,
            cost: NanoUsd(natural(5)?),
            unpriced: natural(6)?,
        });
    }
    Ok(())
}
