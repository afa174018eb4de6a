//! Rows that are old enough become fewer: a minute's, then an hour's, then none.

use super::PostgresOptions;
use super::fault::of;
use super::link::Link;
use super::write::{KEY, added};
use crate::history::NUMBERS;
use crate::sinks::Fault;
use std::time::{Duration, Instant};

/// How often it is looked whether rows are old enough.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Rows a statement, each of them a transaction.
const ROWS_MAX: i64 = 10_000;
/// How long new rows wait for the care of old ones; the rest is for the next time.
const TAKES_MAX: Duration = Duration::from_secs(3);
/// What keeps two gateways from the same work.
const LOCK: &str = "coo-llm care";

/// When a store is looked after next.
#[derive(Debug, Default)]
pub(super) struct Care {
    next: Option<Instant>,
}

impl Care {
    /// Does what is due. What fails here is a fault of the sink, and not tried again for ten
    /// minutes: until then rows go as before.
    pub(super) async fn take(
        &mut self,
        link: &mut Link,
        options: &PostgresOptions,
    ) -> Result<(), Fault> {
        let start = Instant::now();
        if self.next.is_some_and(|next| next > start) {
            return Ok(());
        }
        self.next = Some(start + LOOK_EVERY);
        let [ten_seconds, minute, hour] = options.retention;
        let schema = options.schema.as_str();
        for (sql, kept) in [
            (roll_usage(schema, "10s", "minute", 60), ten_seconds),
            (roll_errors(schema, "10s", "minute", 60), ten_seconds),
            (roll_usage(schema, "1m", "hour", 3600), minute),
            (roll_errors(schema, "1m", "hour", 3600), minute),
            (remove(schema, "usage"), hour),
            (remove(schema, "errors"), hour),
        ] {
            while step(link, &sql, kept).await? {
                if start.elapsed() > TAKES_MAX {
                    self.next = Some(start);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// One statement; whether there is more for it.
async fn step(link: &mut Link, sql: &str, kept: Duration) -> Result<bool, Fault> {
    let transaction = link.client.transaction().await.map_err(of)?;
    let locked = transaction
        .query_one(
            "SELECT pg_try_advisory_xact_lock(hashtext($1), hashtext($2))",
            &[&LOCK, &link.schema],
        )
        .await
        .map_err(of)?;
    if !locked.get::<_, bool>(0) {
        // Another gateway is at it.
        return transaction.rollback().await.map_err(of).map(|()| false);
    }
    let row = transaction
        .query_one(sql, &[&kept.as_secs_f64(), &ROWS_MAX])
        .await;
    let taken: i64 = row.map_err(of)?.get(0);
    transaction.commit().await.map_err(of)?;
    Ok(taken == ROWS_MAX)
}

/// Takes the oldest rows of a table out that are older than `$1` seconds by the server's clock, in
/// whole hours; at most `$2`.
fn taken(schema: &str, table: &str) -> String {
    format!(
        "WITH taken AS (DELETE FROM {schema}.{table} WHERE ctid = ANY(ARRAY(\
         SELECT ctid FROM {schema}.{table} \
         WHERE bucket < date_trunc('hour', now() - make_interval(secs => $1), 'UTC') \
         ORDER BY bucket LIMIT $2)) RETURNING *)"
    )
}

/// Rows become part of those of a coarser bucket, which may be there already: what was late for it.
fn roll_usage(schema: &str, finer: &str, unit: &str, width: u32) -> String {
    let sums: Vec<String> = NUMBERS.iter().map(|name| format!("sum({name})")).collect();
    format!(
        "{}, put AS (INSERT INTO {schema}.usage AS had \
         (bucket, width_s, instance, client, provider, model, key, {}, last_request, latency) \
         SELECT date_trunc('{unit}', bucket, 'UTC'), {width}, instance, client, provider, model, key, \
         {}, max(last_request), {schema}.latency_compact(string_agg(latency, ''::bytea)) \
         FROM taken GROUP BY 1, 3, 4, 5, 6, 7 \
         ON CONFLICT ({KEY}) DO UPDATE SET {}, \
         latency = {schema}.latency_compact(had.latency || EXCLUDED.latency)) \
         SELECT count(*) FROM taken",
        taken(schema, &format!("usage_{finer}")),
        NUMBERS.join(", "),
        sums.join(", "),
        added(),
    )
}

fn roll_errors(schema: &str, finer: &str, unit: &str, width: u32) -> String {
    format!(
        "{}, put AS (INSERT INTO {schema}.errors AS had \
         (bucket, width_s, instance, provider, type, requests) \
         SELECT date_trunc('{unit}', bucket, 'UTC'), {width}, instance, provider, type, sum(requests) \
         FROM taken GROUP BY 1, 3, 4, 5 \
         ON CONFLICT (bucket, instance, provider, type, width_s) \
         DO UPDATE SET requests = had.requests + EXCLUDED.requests) \
         SELECT count(*) FROM taken",
        taken(schema, &format!("errors_{finer}")),
    )
}

fn remove(schema: &str, table: &str) -> String {
    let taken = taken(schema, &format!("{table}_1h"));
    format!("{taken} SELECT count(*) FROM taken")
}
