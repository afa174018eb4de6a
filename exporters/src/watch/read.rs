//! Reads the history forwards: hours and minutes that are over, each once.

use super::{MINUTE_S, weeks_before};
use crate::health::{HOUR_S, Row};
use crate::history::{History, HistoryError, Width, Window};
use coo_llm_core::UnixMillis;
use coo_llm_core::catalog::{NONE, OTHER};
use std::collections::HashMap;
use std::sync::Arc;

/// What is read in one step.
const HOURS_MAX: u64 = 6 * HOUR_S;
const MINUTES_MAX: u64 = 10 * MINUTE_S;
/// Minutes are read of so long.
const DAY_S: u64 = 86_400;

/// Up to where was read, and what the history calls its clients and providers.
#[derive(Debug, Default)]
pub(super) struct Reading {
    hours_to_s: u64,
    minutes_to_s: u64,
    pub(super) clients: Vec<Arc<str>>,
    /// The names of providers, by the numbers of rows.
    pub(super) providers: Vec<Arc<str>>,
    /// The provider of each route; `None` of one that is none.
    by_route: Vec<Option<u32>>,
}

/// A client's row, summed over the models and keys of a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientsRow {
    pub(super) client: u32,
    pub(super) row: Row,
}

/// What was read: rows by time.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) width: Width,
    pub(super) rows: Vec<ClientsRow>,
}

impl Reading {
    /// The next hours, or the next minutes; `None` where all that are over were read.
    pub(super) fn next(
        &mut self,
        history: &History,
        now: UnixMillis,
    ) -> Result<Option<Read>, HistoryError> {
        let now_s = now.0 / 1000;
        let over = |width: Width| now_s - now_s % width.seconds();
        let from_s = self.hours_to_s.max(weeks_before(now_s));
        if from_s < over(Width::Hour) {
            let to_s = over(Width::Hour).min(from_s + HOURS_MAX);
            let read = self.read(history, Width::Hour, (from_s, to_s), now)?;
            self.hours_to_s = to_s;
            return Ok(Some(read));
        }
        let day = now_s.saturating_sub(DAY_S);
        let from_s = self.minutes_to_s.max(day - day % MINUTE_S);
        if from_s < over(Width::Minute) {
            let to_s = over(Width::Minute).min(from_s + MINUTES_MAX);
            let read = self.read(history, Width::Minute, (from_s, to_s), now)?;
            self.minutes_to_s = to_s;
            return Ok(Some(read));
        }
        Ok(None)
    }

    fn read(
        &mut self,
        history: &History,
        width: Width,
        (start_s, end_s): (u64, u64),
        now: UnixMillis,
    ) -> Result<Read, HistoryError> {
        let mut sums: HashMap<(u64, u32, u32), Row> = HashMap::new();
        history.client_rows(width, Window { start_s, end_s }, now, |row| {
            if row.requests > 0 {
                let sum = sums
                    .entry((row.start_s, row.client, row.route))
                    .or_default();
                sum.requests = sum.requests.saturating_add(row.requests);
                sum.errors = sum.errors.saturating_add(row.errors);
                sum.cost.0 = sum.cost.0.saturating_add(row.cost.0);
                sum.unpriced = sum.unpriced.saturating_add(row.unpriced);
            }
        })?;
        self.learn_names(history);
        let mut by_provider: HashMap<(u64, u32, Option<u32>), Row> = HashMap::new();
        for ((start_s, client, route), row) in sums {
            // Names come before the rows that use them.
            let provider = self.by_route.get(route as usize).copied().flatten();
            let sum = by_provider.entry((start_s, client, provider)).or_default();
            sum.requests = sum.requests.saturating_add(row.requests);
            sum.errors = sum.errors.saturating_add(row.errors);
            sum.cost.0 = sum.cost.0.saturating_add(row.cost.0);
            sum.unpriced = sum.unpriced.saturating_add(row.unpriced);
        }
        let mut rows: Vec<_> = by_provider.into_iter().collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        let rows = rows
            .into_iter()
            .map(|((start_s, client, provider), row)| ClientsRow {
                client,
                row: Row {
                    start_s,
                    provider,
                    ..row
                },
            });
        Ok(Read {
            width,
            rows: rows.collect(),
        })
    }

    fn learn_names(&mut self, history: &History) {
        self.clients
            .extend(history.clients_from(self.clients.len()));
        for name in history.route_providers_from(self.by_route.len()) {
            let number = (*name != *NONE).then(|| {
                let known = self.providers.iter().position(|known| *known == name);
                known.unwrap_or_else(|| {
                    self.providers.push(name);
                    self.providers.len() - 1
                }) as u32
            });
            self.by_route.push(number);
        }
    }

    /// Whether a client is one: not what stands for requests without one, or for many.
    pub(super) fn is_client(&self, client: u32) -> bool {
        let name = self.clients.get(client as usize);
        name.is_some_and(|name| **name != *NONE && **name != *OTHER)
    }
}
