//! Writing rows and their position, all or none.

use super::batch::{Batch, NAMES, integer, text};
use super::fault::{is_of_a_row, of};
use super::link::Link;
use crate::history::NUMBERS;
use crate::history::{Position, Sealed, SealedRow};
use crate::sinks::{Applied, Fault, SetAside, Stored};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement, Transaction};

/// How an instance is written.
pub(super) fn name(instance: u64) -> String {
    format!("{instance:016x}")
}

/// What a connection asks again and again.
pub(super) struct Statements {
    position: Statement,
    begin: Statement,
    forget: [Statement; 2],
    go_on: Statement,
    usage: Statement,
    errors: Statement,
}

impl Statements {
    pub(super) async fn prepare(client: &Client, schema: &str) -> Result<Self, Fault> {
        let prepare = async |sql: String| client.prepare(&sql).await.map_err(of);
        let forget = async |table: &str| {
            let sql = format!(
                "DELETE FROM {schema}.{table} WHERE instance = $1 \
                 AND bucket >= date_trunc('hour', to_timestamp($2::bigint), 'UTC')"
            );
            prepare(sql).await
        };
        Ok(Self {
            position: prepare(format!(
                "SELECT second, rows FROM {schema}.positions WHERE instance = $1"
            ))
            .await?,
            begin: prepare(format!(
                "INSERT INTO {schema}.positions (instance, second, rows, moved) \
                 VALUES ($1, $2, $3, now()) ON CONFLICT DO NOTHING"
            ))
            .await?,
            forget: [forget("usage").await?, forget("errors").await?],
            go_on: prepare(format!(
                "UPDATE {schema}.positions SET second = $2, rows = $3, moved = now() \
                 WHERE instance = $1 AND second = $4 AND rows = $5"
            ))
            .await?,
            usage: prepare(insert_usage(schema)).await?,
            errors: prepare(format!(
                "INSERT INTO {schema}.errors AS had (bucket, width_s, instance, provider, type, requests) \
                 SELECT to_timestamp($1::bigint), $2::integer, $3::text, provider, type, sum(requests) \
                 FROM unnest($4::text[], $5::text[], $6::bigint[]) AS new(provider, type, requests) \
                 GROUP BY provider, type \
                 ON CONFLICT (bucket, instance, provider, type, width_s) \
                 DO UPDATE SET requests = had.requests + EXCLUDED.requests"
            ))
            .await?,
        })
    }
}

/// What a row that is there already becomes: the sum of both.
pub(super) fn added() -> String {
    let mut sums: Vec<String> = NUMBERS
        .iter()
        .map(|name| format!("{name} = had.{name} + EXCLUDED.{name}"))
        .collect();
    sums.push("last_request = greatest(had.last_request, EXCLUDED.last_request)".to_owned());
    sums.join(", ")
}

/// The key of a row of usage.
pub(super) const KEY: &str = "bucket, instance, client, provider, model, key, width_s";

fn insert_usage(schema: &str) -> String {
    let (names, numbers) = (NAMES.join(", "), NUMBERS.join(", "));
    let arrays: Vec<String> = std::iter::repeat_n("text", NAMES.len())
        .chain(std::iter::repeat_n("bigint", NUMBERS.len() + 1))
        .chain(["bytea"])
        .enumerate()
        .map(|(at, kind)| format!("${}::{kind}[]", at + 4))
        .collect();
    format!(
        "INSERT INTO {schema}.usage AS had \
         (bucket, width_s, instance, {names}, {numbers}, last_request, latency) \
         SELECT to_timestamp($1::bigint), $2::integer, $3::text, {names}, {numbers}, \
         to_timestamp(last_ms / 1000.0), latency \
         FROM unnest({}) AS new({names}, {numbers}, last_ms, latency) \
         ON CONFLICT ({KEY}) DO UPDATE SET {}, \
         latency = {schema}.latency_compact(had.latency || EXCLUDED.latency)",
        arrays.join(", "),
        added(),
    )
}

/// Where an instance is.
pub(super) async fn position(link: &Link, instance: u64) -> Result<Stored, Fault> {
    let ask = &link.statements.position;
    let row = link.client.query_opt(ask, &[&name(instance)]).await;
    let natural = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(match row.map_err(of)? {
        None => Stored::Nothing,
        Some(row) => Stored::At(Position {
            second: natural(row.get(0)),
            rows: natural(row.get(1)),
        }),
    })
}

/// A sealed bucket on its way.
struct Bucket<'a> {
    instance: String,
    start: i64,
    width: i32,
    rows: &'a Sealed,
}

/// Gives rows, where the instance is `at`.
pub(super) async fn apply(
    link: &mut Link,
    instance: u64,
    at: Option<Position>,
    rows: &Sealed,
) -> Result<Applied, Fault> {
    let bucket = Bucket {
        instance: name(instance),
        start: integer(rows.start_s),
        width: i32::try_from(rows.width_s).unwrap_or(i32::MAX),
        rows,
    };
    let Link {
        client, statements, ..
    } = link;
    let transaction = client.transaction().await.map_err(of)?;
    if !bucket.moves(&transaction, statements, at).await? {
        transaction.rollback().await.map_err(of)?;
        return Ok(Applied::Elsewhere);
    }
    let written = bucket.write(&transaction, statements, &rows.rows).await;
    match written {
        Ok(()) => {}
        Err(error) if is_of_a_row(&error) => {
            transaction.rollback().await.map_err(of)?;
            return bucket.write_each(client, statements, at).await;
        }
        Err(error) => return Err(of(error)),
    }
    transaction.commit().await.map_err(of)?;
    Ok(Applied::Taken(Vec::new()))
}

impl Bucket<'_> {
    /// Moves the position, which locks it; whether it was where it had to be.
    async fn moves(
        &self,
        transaction: &Transaction<'_>,
        statements: &Statements,
        at: Option<Position>,
    ) -> Result<bool, Fault> {
        let to = [integer(self.rows.to.second), integer(self.rows.to.rows)];
        let moved = match at {
            Some(at) => {
                let at = [integer(at.second), integer(at.rows)];
                transaction
                    .execute(
                        &statements.go_on,
                        &[&self.instance, &to[0], &to[1], &at[0], &at[1]],
                    )
                    .await
            }
            None => {
                transaction
                    .execute(&statements.begin, &[&self.instance, &to[0], &to[1]])
                    .await
            }
        };
        if moved.map_err(of)? != 1 {
            return Ok(false);
        }
        if at.is_none() {
            // Somebody removed the position, to have all rows again: not beside the old ones.
            let from = integer(self.rows.from.second);
            for forget in &statements.forget {
                let values: [&(dyn ToSql + Sync); 2] = [&self.instance, &from];
                transaction.execute(forget, &values).await.map_err(of)?;
            }
        }
        Ok(true)
    }

    async fn write(
        &self,
        transaction: &Transaction<'_>,
        statements: &Statements,
        rows: &[SealedRow],
    ) -> Result<(), Error> {
        self.write_usage(transaction, statements, rows).await?;
        let errors = &self.rows.errors;
        self.write_errors(transaction, statements, errors).await
    }

    async fn write_usage(
        &self,
        transaction: &Transaction<'_>,
        statements: &Statements,
        rows: &[SealedRow],
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let batch = Batch::new(rows);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&self.start, &self.width, &self.instance];
        values.extend(
            batch
                .names
                .iter()
                .map(|column| column as &(dyn ToSql + Sync)),
        );
        values.extend(
            batch
                .numbers
                .iter()
                .map(|column| column as &(dyn ToSql + Sync)),
        );
        values.push(&batch.last_ms);
        values.push(&batch.latency);
        let written = transaction.execute(&statements.usage, &values);
        written.await.map(|_rows| ())
    }

    async fn write_errors(
        &self,
        transaction: &Transaction<'_>,
        statements: &Statements,
        errors: &[(std::sync::Arc<str>, std::sync::Arc<str>, u64)],
    ) -> Result<(), Error> {
        if errors.is_empty() {
            return Ok(());
        }
        let providers: Vec<_> = errors.iter().map(|(provider, ..)| text(provider)).collect();
        let kinds: Vec<_> = errors.iter().map(|(_, kind, _)| text(kind)).collect();
        let requests: Vec<i64> = errors.iter().map(|(.., n)| integer(*n)).collect();
        let values: [&(dyn ToSql + Sync); 6] = [
            &self.start,
            &self.width,
            &self.instance,
            &providers,
            &kinds,
            &requests,
        ];
        let written = transaction.execute(&statements.errors, &values);
        written.await.map(|_rows| ())
    }

    /// The same row by row, after one was refused; those that are refused again are set aside.
    async fn write_each(
        &self,
        client: &mut Client,
        statements: &Statements,
        at: Option<Position>,
    ) -> Result<Applied, Fault> {
        let mut set_aside = Vec::new();
        let mut transaction = client.transaction().await.map_err(of)?;
        if !self.moves(&transaction, statements, at).await? {
            transaction.rollback().await.map_err(of)?;
            return Ok(Applied::Elsewhere);
        }
        for row in self.rows.rows.chunks(1) {
            let part = transaction.transaction().await.map_err(of)?;
            let written = self.write_usage(&part, statements, row).await;
            if let Some(reason) = ended(part, written).await? {
                let row = row.iter().map(|row| self.usage_text(row)).collect();
                set_aside.push(SetAside { row, reason });
            }
        }
        for error in self.rows.errors.chunks(1) {
            let part = transaction.transaction().await.map_err(of)?;
            let written = self.write_errors(&part, statements, error).await;
            if let Some(reason) = ended(part, written).await? {
                let row = error.iter().map(|error| self.error_text(error)).collect();
                set_aside.push(SetAside { row, reason });
            }
        }
        transaction.commit().await.map_err(of)?;
        Ok(Applied::Taken(set_aside))
    }

    fn usage_text(&self, row: &SealedRow) -> String {
        let totals = &row.usage.totals;
        let tokens = &totals.tokens;
        let row = serde_json::json!({
            "bucket_s": self.start, "width_s": self.width, "instance": self.instance,
            "client": *row.client, "provider": *row.provider, "model": *row.model, "key": *row.key,
            "requests": totals.requests, "errors": totals.errors, "input": tokens.input,
            "cached_input": tokens.cached_input, "cache_write": tokens.cache_write,
            "output": tokens.output, "reasoning": tokens.reasoning,
            "audio_input": tokens.audio_input, "audio_output": tokens.audio_output,
            "cost_nano_usd": totals.cost.0, "unpriced": totals.unpriced,
            "timed": row.usage.latency.count(), "latency_us": row.usage.latency.sum().0,
        });
        row.to_string()
    }

    fn error_text(
        &self,
        (provider, kind, requests): &(std::sync::Arc<str>, std::sync::Arc<str>, u64),
    ) -> String {
        let row = serde_json::json!({
            "bucket_s": self.start, "width_s": self.width, "instance": self.instance,
            "provider": **provider, "type": **kind, "requests": requests,
        });
        row.to_string()
    }
}

/// Ends a part of a transaction: kept, or taken back with the reason for which its row was refused.
async fn ended(part: Transaction<'_>, written: Result<(), Error>) -> Result<Option<String>, Fault> {
    match written {
        Ok(()) => part.commit().await.map_err(of).map(|()| None),
        Err(error) if is_of_a_row(&error) => {
            part.rollback().await.map_err(of)?;
            Ok(Some(of(error).detail))
        }
        Err(error) => Err(of(error)),
    }
}
