//! What is judged: rows of usage by bucket and provider, as a store gives them.

use coo_llm_core::NanoUsd;

/// Seconds of an hour.
pub const HOUR_S: u64 = 3600;
/// Hours of a week.
pub(super) const WEEK_H: usize = 168;
/// Weeks that a profile is made of. Older rows are left out.
pub const WEEKS_MAX: usize = 4;
/// Seconds of history that a profile reads at most; a query needs no more.
pub const HISTORY_S: u64 = WEEKS_MAX as u64 * WEEK_H as u64 * HOUR_S;
/// Seconds of 1-minute rows that [`judge`](super::judge) reads at most.
pub const RECENT_S: u64 = 3 * HOUR_S;

/// What one client used of one provider in one bucket: a row of
/// `... GROUP BY bucket, provider ORDER BY bucket`.
///
/// A bucket without rows had no traffic. One of which nothing is known is named in
/// [`History::unknown`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// When the bucket begins, unix seconds.
    pub start_s: u64,
    /// The provider, as an index into the names; `None` where a request reached none.
    pub provider: Option<u32>,
    /// Finished requests, failed ones included.
    pub requests: u64,
    /// Failed requests.
    pub errors: u64,
    /// Tokens of all types.
    pub tokens: u64,
    /// The cost that is known.
    pub cost: NanoUsd,
    /// Requests that the cost leaves out.
    pub unpriced: u64,
}

/// What is known of a client's weeks.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// Rows of whole hours, by `start_s`. What is older than [`HISTORY_S`] is not read.
    pub hours: &'a [Row],
    /// Rows of whole minutes of about the last day, by `start_s`: they say how bursty an hour
    /// is. Without any, something careful is assumed.
    pub minutes: &'a [Row],
    /// Spans `[start, end)` in unix seconds of which nothing is known: the gateway was off,
    /// or the store lost them. An hour that one touches is not read as zero, and not at all.
    pub unknown: &'a [(u64, u64)],
}

/// What a client did just now.
#[derive(Clone, Copy, Debug)]
pub struct Recent<'a> {
    /// Rows of whole minutes, by `start_s`. What is older than [`RECENT_S`] is not read.
    pub minutes: &'a [Row],
    /// As [`History::unknown`].
    pub unknown: &'a [(u64, u64)],
    /// The names of the providers, by [`Row::provider`].
    pub providers: &'a [&'a str],
}

/// A client's budget and what is spent of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What may be spent in the period.
    pub amount: NanoUsd,
    /// When the period begins, unix seconds.
    pub start_s: u64,
    /// When the period ends, unix seconds.
    pub end_s: u64,
    /// What was spent since it began.
    pub spent: NanoUsd,
}

/// A bucket, all providers together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) cost_nano: u64,
    pub(super) unpriced: u64,
}

impl Sum {
    pub(super) fn add(&mut self, row: &Row) {
        self.requests = self.requests.saturating_add(row.requests);
        self.errors = self.errors.saturating_add(row.errors);
        self.cost_nano = self.cost_nano.saturating_add(row.cost.0);
        self.unpriced = self.unpriced.saturating_add(row.unpriced);
    }

    /// What it cost; `None` where nothing of it is known.
    pub(super) fn cost(&self) -> Option<f64> {
        let unknown = self.requests > 0 && self.unpriced >= self.requests && self.cost_nano == 0;
        (!unknown).then_some(self.cost_nano as f64)
    }

    pub(super) fn plus(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.cost_nano = self.cost_nano.saturating_add(other.cost_nano);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
    }
}

/// The rows of `[start, end)`, by binary search.
pub(super) fn within(rows: &[Row], start_s: u64, end_s: u64) -> &[Row] {
    let from = rows.partition_point(|row| row.start_s < start_s);
    let to = rows.partition_point(|row| row.start_s < end_s);
    &rows[from..to.max(from)]
}

/// Whether nothing is known of a part of `[start, end)`.
pub(super) fn touches(unknown: &[(u64, u64)], start_s: u64, end_s: u64) -> bool {
    unknown
        .iter()
        .any(|(from, to)| *from < end_s && start_s < *to)
}
