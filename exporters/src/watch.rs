//! Watches clients: from the history to what is unusual now, a step at a time.
//!
//! It is: what is remembered of each client, in bounded memory; when it is learned and judged;
//! and the [`Board`] that shows what was found. It is not: the statistics, which are
//! [`health`](crate::health), a thread, or a clock.
//!
//! ```text
//! History --hours that are over-----> Hours ---learn, once an hour--> Profile --.
//!         \--minutes that are over--> Minutes --------------------------------judge--> Episodes --> Board
//! budgets ----------------------------------------------------------------------'
//! ```
//! Each hour and minute is read once. Only the start reads weeks, in [`Step`]s that each take
//! well under a second.

mod board;
mod client;
mod families;
mod hours;
mod minutes;
mod read;
mod report;

#[cfg(test)]
mod tests;

pub use board::{Board, Health, View};
pub use report::{Cost, Ended, Failures, Report, Requests, Served};

use crate::health::{Budget, Change, HISTORY_S, HOUR_S, Kind, Row, Sensitivity};
use crate::history::{History, HistoryError};
use client::Client;
use coo_llm_core::UnixMillis;
use read::Reading;
use std::collections::HashMap;
use std::sync::Arc;

/// Clients that are watched at most; of more, those that came first.
pub const CLIENTS_MAX: usize = 10_000;
/// Series that one client has at most: its anomalies, their beginnings, and its budget.
pub const SERIES_PER_CLIENT: usize = 2 * Kind::ALL.len() + 4;
/// Clients that are learned in a step.
const LEARNED_MAX: usize = 256;
/// After each hour all clients are learned within so many minutes.
const LEARN_WITHIN_MIN: usize = 30;
const MINUTE_S: u64 = 60;

/// How clients are watched.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much is unusual.
    pub sensitivity: Sensitivity,
    /// Clients that are watched at most, and at most [`CLIENTS_MAX`].
    pub clients_max: usize,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read or learned something; there is more to do at once.
    Behind,
    /// Everything that is over was read, and each client was learned.
    Ready,
}

/// What began or ended for a client.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The client.
    pub client: Arc<str>,
    /// What.
    pub change: Change,
    /// In words; of what began.
    pub text: Option<String>,
}

/// Everything that is remembered.
#[derive(Debug)]
pub struct Watch {
    options: Options,
    reading: Reading,
    /// By the history's numbers of clients; none for one that did nothing for weeks, that is not
    /// watched, or that is no client.
    clients: Vec<Option<Box<Client>>>,
    watched: usize,
    /// Clients that had something to be read and no place.
    left_out: usize,
    /// The hour for which everyone is to be learned, and who is next.
    learning: (u64, usize),
    began: Vec<u64>,
    /// When they were judged first.
    watched_s: Option<u64>,
    board: Arc<Board>,
    scratch: Scratch,
}

/// Buffers that each client uses in turn.
#[derive(Debug, Default)]
struct Scratch {
    hours: Vec<Row>,
    minutes: Vec<Row>,
}

impl Watch {
    /// Begins with nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options: Options {
                clients_max: options.clients_max.min(CLIENTS_MAX),
                ..options
            },
            reading: Reading::default(),
            clients: Vec::new(),
            watched: 0,
            left_out: 0,
            learning: (0, 0),
            began: vec![0; Kind::ALL.len()],
            watched_s: None,
            board: Arc::default(),
            scratch: Scratch::default(),
        }
    }

    /// Where what was found is shown.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Reads a few hours or minutes that are over, or learns some clients.
    ///
    /// # Errors
    /// Where the history cannot be read; the step is done again the next time.
    ///
    /// # Cost
    /// At most six hours or ten minutes of all clients, or 256 lessons of half a millisecond.
    pub fn step(&mut self, history: &History, now: UnixMillis) -> Result<Step, HistoryError> {
        let now = history.clock(now);
        let now_s = now.0 / 1000;
        if let Some(read) = self.reading.next(history, now)? {
            self.take_in(&read);
            return Ok(Step::Behind);
        }
        let hour = now_s / HOUR_S;
        if self.learning.0 != hour {
            self.learning = (hour, 0);
        }
        // At the start everyone at once, later a part each minute.
        let is_new = |client: &Option<Box<Client>>| client.as_ref().is_some_and(|it| it.is_new());
        let new: Vec<usize> = (0..self.clients.len())
            .filter(|at| is_new(&self.clients[*at]))
            .take(LEARNED_MAX)
            .collect();
        for at in &new {
            self.learn(*at, history, now_s);
        }
        Ok(if new.len() == LEARNED_MAX {
            Step::Behind
        } else {
            Step::Ready
        })
    }

    /// Judges all clients by the minutes up to now, learns those whose turn it is, and shows what
    /// was found. To be called once a minute, when [`Watch::step`] says [`Step::Ready`].
    ///
    /// # Cost
    /// About 15 us a client, and half a millisecond for a thirtieth of them.
    pub fn judge(
        &mut self,
        history: &History,
        budgets: &HashMap<Arc<str>, Budget>,
        now: UnixMillis,
    ) -> Vec<News> {
        let now_s = history.clock(now).0 / 1000;
        self.learn_some(history, now_s);
        let watched_s = *self.watched_s.get_or_insert(now_s);
        let mut news = Vec::new();
        let mut reports = Vec::with_capacity(self.watched);
        let providers = &self.reading.providers;
        let names: Vec<&str> = providers.iter().map(|name| &**name).collect();
        for (at, place) in self.clients.iter_mut().enumerate() {
            let Some(client) = place else { continue };
            client.retire(now_s);
            if client.is_forgotten() {
                *place = None;
                self.watched -= 1;
                continue;
            }
            let name = &self.reading.clients[at];
            let changes = client.judge(
                &mut self.scratch.minutes,
                (history.gaps(), &names),
                budgets.get(name),
                now_s,
            );
            for change in changes {
                let mut text = None;
                if let Change::Began(kind) = change {
                    self.began[kind as usize] += 1;
                    text = client.words(kind);
                }
                news.push(News {
                    client: Arc::clone(name),
                    change,
                    text,
                });
            }
            reports.push(Arc::new(client.report(
                name,
                providers,
                budgets.get(name),
                now_s,
            )));
        }
        self.board.show(View::new(
            reports,
            &self.began,
            self.left_out,
            (watched_s, now_s),
        ));
        news
    }

    /// The next clients' turn.
    fn learn_some(&mut self, history: &History, now_s: u64) {
        let places = self.clients.len();
        let most = places.div_ceil(LEARN_WITHIN_MIN).max(LEARNED_MAX);
        let mut learned = 0;
        while learned < most && self.learning.1 < places {
            let at = self.learning.1;
            self.learning.1 += 1;
            if self.clients[at]
                .as_ref()
                .is_some_and(|client| client.is_stale(now_s))
            {
                self.learn(at, history, now_s);
                learned += 1;
            }
        }
    }

    fn learn(&mut self, at: usize, history: &History, now_s: u64) {
        if let Some(client) = &mut self.clients[at] {
            let sensitivity = self.options.sensitivity;
            client.learn(&mut self.scratch, history.gaps(), sensitivity, now_s);
        }
    }

    fn take_in(&mut self, read: &read::Read) {
        for row in &read.rows {
            let at = row.client as usize;
            if self.clients.len() <= at {
                self.clients.resize_with(at + 1, || None);
            }
            if self.clients[at].is_none() {
                if !self.reading.is_client(row.client) {
                    continue;
                }
                if self.watched >= self.options.clients_max {
                    self.left_out += 1;
                    continue;
                }
                self.watched += 1;
            }
            let client = self.clients[at].get_or_insert_with(Box::default);
            client.take_in(read.width, &row.row);
        }
    }
}

/// The first second that is read at the start.
const fn weeks_before(now_s: u64) -> u64 {
    let from = now_s.saturating_sub(HISTORY_S);
    from - from % HOUR_S
}
