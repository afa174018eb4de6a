//! What was used, as queries add it up and as rows store it.

use super::latency::{Latencies, Malformed};
use coo_llm_core::record::Tokens;
use coo_llm_core::snapshot::Totals;
use coo_llm_core::{NanoUsd, UnixMillis};
use rusqlite::types::ToSql;
use rusqlite::{Row, Statement};

/// What some requests used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Requests, failures, tokens, cost, and when the last one ended.
    pub totals: Totals,
    /// How long they took. There are fewer than requests only where
    /// `coo_llm_history_latencies_missed_total` says so.
    pub latency: Latencies,
}

/// What of a [`Usage`] can be added up, as every store calls it, in the order of
/// [`Usage::numbers`].
pub(crate) const NUMBERS: [&str; 13] = [
    "requests",
    "errors",
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
    "cost_nano_usd",
    "unpriced",
    "timed",
    "latency_us",
];
/// Those of them that are [`Totals`]; the others are latencies.
pub(crate) const TOTALS: usize = 11;

/// Totals from their [`NUMBERS`].
pub(crate) const fn totals_of(numbers: [u64; TOTALS], last_request: Option<UnixMillis>) -> Totals {
    let [
        requests,
        errors,
        input,
        cached_input,
        cache_write,
        output,
        reasoning,
        audio_input,
        audio_output,
        cost,
        unpriced,
    ] = numbers;
    Totals {
        requests,
        errors,
        tokens: Tokens {
            input,
            cached_input,
            cache_write,
            output,
            reasoning,
            audio_input,
            audio_output,
        },
        cost: NanoUsd(cost),
        unpriced,
        last_request,
    }
}

/// The columns of [`Usage`], after those of the primary key.
pub(super) const COLUMNS: &str = "requests, errors, input, cached_input, cache_write, output, \
     reasoning, audio_input, audio_output, cost_nano_usd, unpriced, last_request_ms, timed, \
     latency_us, latency";

/// SQLite's integers end at 2^63 - 1.
fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn natural(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let n: i64 = row.get(at)?;
    u64::try_from(n).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, n))
}

impl Usage {
    /// Adds what others used.
    pub fn add(&mut self, other: &Self) {
        self.totals = self.totals.plus(&other.totals);
        self.latency.merge(&other.latency);
    }

    /// What can be added up, in the order of [`NUMBERS`].
    pub(crate) fn numbers(&self) -> [u64; NUMBERS.len()] {
        let Totals {
            requests,
            errors,
            tokens,
            cost,
            unpriced,
            last_request: _,
        } = self.totals;
        [
            requests,
            errors,
            tokens.input,
            tokens.cached_input,
            tokens.cache_write,
            tokens.output,
            tokens.reasoning,
            tokens.audio_input,
            tokens.audio_output,
            cost.0,
            unpriced,
            self.latency.count(),
            self.latency.sum().0,
        ]
    }

    /// Adds a row, whose columns are [`COLUMNS`] from `first` on.
    pub(super) fn add_row(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()> {
        let n = |at: usize| natural(row, first + at);
        let mut numbers = [0; TOTALS];
        for (at, number) in numbers.iter_mut().enumerate() {
            *number = n(at)?;
        }
        let last_request = Some(UnixMillis(n(11)?));
        self.totals = self.totals.plus(&totals_of(numbers, last_request));
        let at = first + 14;
        let blob = row.get_ref(at)?.as_blob()?;
        self.latency
            .merge_stored(n(13)?, blob)
            .map_err(|error: Malformed| {
                let kind = rusqlite::types::Type::Blob;
                rusqlite::Error::FromSqlConversionFailure(at, kind, Box::new(error))
            })
    }

    /// Runs an insert of a row with its key.
    pub(super) fn insert(
        &self,
        statement: &mut Statement<'_>,
        key: &[u64],
    ) -> rusqlite::Result<()> {
        let last_ms = self.totals.last_request.map_or(0, |last| last.0);
        let all = self.numbers();
        let (counts, latencies) = all.split_at(TOTALS);
        let numbers = counts.iter().chain([&last_ms]).chain(latencies);
        let mut at = 0;
        for n in key.iter().chain(numbers) {
            at += 1;
            statement.raw_bind_parameter(at, integer(*n))?;
        }
        let blob = self.latency.encode();
        statement.raw_bind_parameter(at + 1, blob.to_sql()?)?;
        statement.raw_execute().map(|_changed| ())
    }
}
