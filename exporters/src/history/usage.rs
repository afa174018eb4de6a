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

    /// Adds a row, whose columns are [`COLUMNS`] from `first` on.
    pub(super) fn add_row(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()> {
        let n = |at: usize| natural(row, first + at);
        let totals = Totals {
            requests: n(0)?,
            errors: n(1)?,
            tokens: Tokens {
                input: n(2)?,
                cached_input: n(3)?,
                cache_write: n(4)?,
                output: n(5)?,
                reasoning: n(6)?,
                audio_input: n(7)?,
                audio_output: n(8)?,
            },
            cost: NanoUsd(n(9)?),
            unpriced: n(10)?,
            last_request: Some(UnixMillis(n(11)?)),
        };
        self.totals = self.totals.plus(&totals);
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
        let Totals {
            requests,
            errors,
            tokens,
            cost,
            unpriced,
            last_request,
        } = self.totals;
        let last_ms = last_request.map_or(0, |last| last.0);
        let (timed, latency_us) = (self.latency.count(), self.latency.sum().0);
        let numbers = [
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
            last_ms,
            timed,
            latency_us,
        ];
        let mut at = 0;
        for n in key.iter().chain(&numbers) {
            at += 1;
            statement.raw_bind_parameter(at, integer(*n))?;
        }
        let blob = self.latency.encode();
        statement.raw_bind_parameter(at + 1, blob.to_sql()?)?;
        statement.raw_execute().map(|_changed| ())
    }
}
