//! How one client is, for whoever shows it. What is not known is `None`.

use crate::health::{Budget, Episode, Forecast, Kind};
use coo_llm_core::NanoUsd;
use std::sync::Arc;

/// How a client is.
#[derive(Clone, Debug)]
pub struct Report {
    /// The client's id.
    pub client: Arc<str>,
    /// Whole hours since its first request in the last four weeks.
    pub known_hours: usize,
    /// What goes on.
    pub open: Vec<Episode>,
    /// What is over, the last one last: a few of the last week, since the process began.
    pub ended: Vec<Ended>,
    /// Requests.
    pub requests: Requests,
    /// Failures.
    pub failures: Failures,
    /// Cost and budget.
    pub cost: Cost,
    /// Who served its requests of the last 60 minutes, the most first.
    pub providers: Vec<Served>,
}

/// An episode that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// As it was seen last.
    pub episode: Episode,
    /// When it was seen last, unix seconds.
    pub ended_s: u64,
}

/// Requests of the last 60 whole minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requests {
    /// What was.
    pub observed: u64,
    /// The most that is usual at this time of the week.
    pub expected: Option<f64>,
}

/// Failures of the last 60 whole minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failures {
    /// Failed requests.
    pub errors: u64,
    /// Their part of the requests, where there were any.
    pub observed: Option<f64>,
    /// The usual part.
    pub expected: Option<f64>,
}

/// Cost of the last 24 whole hours that were learned, and the budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// What was, as far as it is known.
    pub observed: Option<NanoUsd>,
    /// What is usual for these hours of the week.
    pub expected: Option<NanoUsd>,
    /// Requests of them whose cost is not known.
    pub unpriced: Option<u64>,
    /// The budget and what is spent of it.
    pub budget: Option<Budget>,
    /// What its period will have cost.
    pub forecast: Option<Forecast>,
}

/// What a provider served of a client's last 60 whole minutes.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The provider.
    pub provider: Arc<str>,
    /// Requests that it had.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Its part of those that reached any, 0 to 1.
    pub share: Option<f64>,
    /// Its usual part.
    pub usual_share: Option<f64>,
}

impl Report {
    /// The episode of a kind that goes on.
    #[must_use]
    pub fn open_of(&self, kind: Kind) -> Option<&Episode> {
        self.open.iter().find(|open| open.finding.kind == kind)
    }
}
