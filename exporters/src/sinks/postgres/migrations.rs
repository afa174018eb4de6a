//! The schema and its versions.

use super::fault::of;
use crate::sinks::{Fault, Reason};
use tokio_postgres::{Client, Transaction};

/// One script a version, in order; what was released is never changed. `:s` is the schema.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/1.sql")];

/// What gateways that start at once wait for: one of them makes the schema.
const LOCK: &str = "coo-llm migrations";

/// A script for a schema.
fn script(text: &str, schema: &str) -> String {
    text.replace(":s.", &format!("{schema}."))
}

/// Brings the schema up to this version, where it is not there yet.
///
/// # Errors
/// Where it cannot be made, or is a later version's.
pub(super) async fn migrate(client: &mut Client, schema: &str) -> Result<(), Fault> {
    if version(client, schema).await? == Some(MIGRATIONS.len()) {
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(of)?;
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))",
            &[&LOCK, &schema],
        )
        .await
        .map_err(of)?;
    // Another gateway may have made it meanwhile.
    let have = version(&transaction, schema).await?;
    if have.is_none() {
        make(&transaction, schema).await?;
    }
    for (at, text) in MIGRATIONS.iter().enumerate().skip(have.unwrap_or(0)) {
        let text = script(text, schema);
        transaction.batch_execute(&text).await.map_err(of)?;
        let version = i32::try_from(at + 1).unwrap_or(i32::MAX);
        let sql = format!("INSERT INTO {schema}.migrations (version, made) VALUES ($1, now())");
        transaction.execute(&sql, &[&version]).await.map_err(of)?;
    }
    transaction.commit().await.map_err(of)
}

/// The schema and the table of its versions.
async fn make(transaction: &Transaction<'_>, schema: &str) -> Result<(), Fault> {
    // With IF NOT EXISTS it would need the right to make schemas even where this one is there.
    let is_there = transaction
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)",
            &[&schema],
        )
        .await
        .map_err(of)?;
    if !is_there.get::<_, bool>(0) {
        let sql = format!("CREATE SCHEMA {schema}");
        transaction.batch_execute(&sql).await.map_err(of)?;
    }
    let sql = format!(
        "CREATE TABLE {schema}.migrations (version integer PRIMARY KEY, made timestamptz NOT NULL)"
    );
    transaction.batch_execute(&sql).await.map_err(of)
}

/// The version of a schema; `None` where it is not there.
async fn version(
    client: &impl tokio_postgres::GenericClient,
    schema: &str,
) -> Result<Option<usize>, Fault> {
    // By a query: to_regclass would not see in a transaction what another one has made since it
    // was first asked.
    let is_there = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace AS of ON of.oid = relnamespace \
             WHERE relname = 'migrations' AND nspname = $1)",
            &[&schema],
        )
        .await
        .map_err(of)?;
    if !is_there.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = format!("SELECT coalesce(max(version), 0) FROM {schema}.migrations");
    let row = client.query_one(&sql, &[]).await.map_err(of)?;
    let version = usize::try_from(row.get::<_, i32>(0)).unwrap_or(0);
    if version > MIGRATIONS.len() {
        let detail = format!(
            "the schema {schema} has version {version}, this is a gateway for version {}: a later one \
             has been here; use that, or another schema",
            MIGRATIONS.len()
        );
        return Err(Fault::new(Reason::Refused, detail));
    }
    Ok(Some(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_schema_everywhere() {
        for text in MIGRATIONS {
            let made = script(text, "costs");
            assert!(made.contains("CREATE TABLE costs.usage ("));
            assert!(!made.contains(":s"));
            assert!(made.contains("::bytea"));
        }
    }
}
