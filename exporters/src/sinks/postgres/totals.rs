//! What all instances have written to a PostgreSQL, added up.

use super::PostgresOptions;
use super::batch::{cells, integer};
use super::fault::of;
use super::link::Link;
use crate::history::{NUMBERS, TOTALS, totals_of};
use crate::history::{Position, Usage};
use crate::sinks::{Fault, Reason};
use coo_llm_core::UnixMillis;
use std::collections::BTreeMap;
use std::ops::Range;
use tokio_postgres::{IsolationLevel, Row, Transaction};

/// What was used, by names.
pub type Used<K> = BTreeMap<K, Usage>;

/// Who writes to a PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Its number.
    pub instance: u64,
    /// How far it has come.
    pub position: Position,
    /// When it last gave rows, by the server's clock.
    pub moved: UnixMillis,
}

/// What a PostgreSQL has of all instances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostgresTotals {
    /// Who wrote it.
    pub writers: Vec<Writer>,
    /// All.
    pub total: Usage,
    /// By provider, model and key.
    pub by_route: Used<[String; 3]>,
    /// By client.
    pub by_client: Used<String>,
    /// Failures by provider and type.
    pub errors: BTreeMap<(String, String), u64>,
}

/// Reads and adds up what all instances wrote of buckets that begin in a time of Unix seconds, as
/// it was at one moment.
///
/// # Errors
/// Where PostgreSQL does not answer, or has what none of ours wrote.
pub async fn totals(options: &PostgresOptions, time: Range<u64>) -> Result<PostgresTotals, Fault> {
    let mut link = Link::new(options).await?;
    let schema = link.schema.clone();
    let transaction = link
        .client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(of)?;
    let mut totals = PostgresTotals {
        writers: writers(&transaction, &schema).await?,
        ..PostgresTotals::default()
    };
    let times = [time.start, time.end].map(|second| integer(second.min(SECOND_MAX)));
    for row in used(&transaction, &schema, "provider, model, key", times).await? {
        let key = [row.get(0), row.get(1), row.get(2)];
        let usage = usage(&row, 3)?;
        totals.total.add(&usage);
        totals.by_route.insert(key, usage);
    }
    for row in used(&transaction, &schema, "client", times).await? {
        totals.by_client.insert(row.get(0), usage(&row, 1)?);
    }
    let sql = format!(
        "SELECT provider, type, {} FROM {schema}.errors WHERE {TIME} GROUP BY 1, 2",
        sum("requests")
    );
    let rows = transaction.query(&sql, &[&times[0], &times[1]]).await;
    for row in rows.map_err(of)? {
        let key = (row.get(0), row.get(1));
        totals.errors.insert(key, natural(row.get(2))?);
    }
    transaction.commit().await.map_err(of)?;
    Ok(totals)
}

const TIME: &str = "bucket >= to_timestamp($1::bigint) AND bucket < to_timestamp($2::bigint)";
/// The end of the year 9999; PostgreSQL's times end later.
const SECOND_MAX: u64 = 253_402_300_799;

/// A sum that stays a bigint; one of bigints is a numeric.
fn sum(column: &str) -> String {
    format!("least(sum({column}), {})::bigint", i64::MAX)
}

async fn writers(transaction: &Transaction<'_>, schema: &str) -> Result<Vec<Writer>, Fault> {
    let sql = format!(
        "SELECT instance, second, rows, (extract(epoch FROM moved) * 1000)::bigint \
         FROM {schema}.positions ORDER BY instance"
    );
    let rows = transaction.query(&sql, &[]).await.map_err(of)?;
    let writer = |row: &Row| {
        let name: &str = row.get(0);
        Ok(Writer {
            instance: u64::from_str_radix(name, 16).map_err(|_| malformed("an instance"))?,
            position: Position {
                second: natural(row.get(1))?,
                rows: natural(row.get(2))?,
            },
            moved: UnixMillis(natural(row.get(3))?),
        })
    };
    rows.iter().map(writer).collect()
}

async fn used(
    transaction: &Transaction<'_>,
    schema: &str,
    by: &str,
    [start, end]: [i64; 2],
) -> Result<Vec<Row>, Fault> {
    let sums: Vec<String> = NUMBERS.iter().map(|name| sum(name)).collect();
    let sql = format!(
        "SELECT {by}, {}, (extract(epoch FROM max(last_request)) * 1000)::bigint, \
         {schema}.latency_compact(string_agg(latency, ''::bytea)) \
         FROM {schema}.usage WHERE {TIME} GROUP BY {by}",
        sums.join(", ")
    );
    transaction.query(&sql, &[&start, &end]).await.map_err(of)
}

fn malformed(what: &str) -> Fault {
    let detail = format!("the store has {what} that no gateway writes");
    Fault::new(Reason::Refused, detail)
}

fn natural(n: i64) -> Result<u64, Fault> {
    u64::try_from(n).map_err(|_| malformed("a negative number"))
}

/// The columns of [`used`] after its names.
fn usage(row: &Row, first: usize) -> Result<Usage, Fault> {
    let n = |at: usize| natural(row.get(first + at));
    let last: Option<i64> = row.get(first + NUMBERS.len());
    let mut numbers = [0; TOTALS];
    for (at, number) in numbers.iter_mut().enumerate() {
        *number = n(at)?;
    }
    let last = last.map(natural).transpose()?.map(UnixMillis);
    let mut usage = Usage {
        totals: totals_of(numbers, last),
        ..Usage::default()
    };
    let latency: &[u8] = row.get(first + NUMBERS.len() + 1);
    let cells = cells(latency).ok_or_else(|| malformed("a histogram"))?;
    let added = usage.latency.add_cells(n(12)?, cells);
    added.map_err(|_| malformed("a histogram"))?;
    Ok(usage)
}
