//! Where the watch shows what it found, for any thread to look at.

use super::report::Report;
use coo_llm_core::{Micros, UnixMillis};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The newest view, and how the job that makes it does.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<(Option<Arc<View>>, Health)>,
}

/// All clients as they were at one time.
#[derive(Clone, Debug)]
pub struct View {
    /// By their ids.
    pub clients: Vec<Arc<Report>>,
    /// Episodes that began since the start of the process, by the place of their kind in
    /// [`Kind::ALL`](crate::health::Kind::ALL).
    pub began: Vec<u64>,
    /// Rows of clients that had no place: more than are watched.
    pub left_out: usize,
    /// Since when they are watched, unix seconds: what was over before is not known.
    pub watched_s: u64,
    /// When they were judged, unix seconds.
    pub judged_s: u64,
}

/// How the job does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// How long the last run took.
    pub duration: Option<Micros>,
    /// When it ended.
    pub last_run: Option<UnixMillis>,
    /// Runs that could not read the history.
    pub failures: u64,
    /// Why the last one could not.
    pub error: Option<String>,
}

impl View {
    pub(super) fn new(
        mut clients: Vec<Arc<Report>>,
        began: &[u64],
        left_out: usize,
        (watched_s, judged_s): (u64, u64),
    ) -> Self {
        clients.sort_unstable_by(|a, b| a.client.cmp(&b.client));
        Self {
            clients,
            began: began.to_vec(),
            left_out,
            watched_s,
            judged_s,
        }
    }

    /// How a client is.
    #[must_use]
    pub fn of(&self, client: &str) -> Option<&Arc<Report>> {
        let at = self.clients.binary_search_by(|it| (*it.client).cmp(client));
        at.ok().map(|at| &self.clients[at])
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, (Option<Arc<View>>, Health)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show(&self, view: View) {
        let view = Arc::new(view);
        let before = self.lock().0.replace(view);
        // Freed outside of the lock.
        drop(before);
    }

    /// The newest view; `None` before there is one.
    #[must_use]
    pub fn view(&self) -> Option<Arc<View>> {
        self.lock().0.clone()
    }

    /// How the job does.
    #[must_use]
    pub fn health(&self) -> Health {
        self.lock().1.clone()
    }

    /// Notes a run.
    pub fn ran(&self, duration: Micros, at: UnixMillis, error: Option<String>) {
        let mut state = self.lock();
        let health = &mut state.1;
        health.failures += u64::from(error.is_some());
        *health = Health {
            duration: Some(duration),
            last_run: Some(at),
            failures: health.failures,
            error,
        };
    }
}
