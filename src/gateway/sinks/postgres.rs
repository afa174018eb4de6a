//! A PostgreSQL sink, as the configuration wants it.

use super::Failure;
use coo_llm_config::PostgresSink as Wanted;
use coo_llm_exporters::sinks::postgres::{PostgresOptions, PostgresSink};
use coo_llm_http::client_tls;

pub(super) fn sink(wanted: &Wanted) -> Result<PostgresSink, Failure> {
    let wrong = |what: String| Failure::Config(format!("storage.runtime: postgres: {what}"));
    let tls = client_tls(wanted.ca_file.as_deref()).map_err(wrong)?;
    let kept = wanted.retention;
    let retention = [kept.ten_seconds, kept.one_minute, kept.one_hour];
    let options = PostgresOptions::new(wanted.url.expose(), Some(tls), &wanted.schema, retention)
        .map_err(|error| wrong(format!("url {error}")))?;
    Ok(PostgresSink::new(options))
}
