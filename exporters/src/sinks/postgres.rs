//! Rows in PostgreSQL, for business reports.
//!
//! ```text
//! usage (10s, 1m, 1h)  what each client used of each route, by instance and bucket
//! errors               failures by provider and type
//! positions            where each instance is
//! cost_by_client_month, usage_by_model_day, ...   views that add up
//! ```
//!
//! A call is one transaction: it moves the instance's position, from where it must be, and
//! inserts. The row of the position serialises who writes as one instance: the second waits,
//! finds it elsewhere and takes none of its rows. Rows that are old enough are added up to the
//! next width and removed, in one statement, so every sum stays what it was.

mod batch;
mod care;
mod fault;
mod link;
mod migrations;
#[cfg(test)]
mod tests;
mod totals;
mod write;

pub use totals::{PostgresTotals, Used, Writer, totals};

use super::{Applied, Fault, Sink, Stored};
use crate::history::{Position, Sealed};
use care::Care;
use link::Link;
use rustls::ClientConfig;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;

/// How long making a connection may take, where the URL does not say.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// When a silent connection is asked whether it is there, and given up.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// Where a PostgreSQL is, and what is kept in it.
#[derive(Clone)]
pub struct PostgresOptions {
    config: Config,
    tls: Option<Arc<ClientConfig>>,
    schema: String,
    retention: [Duration; 3],
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// A connection URL that cannot be read. It does not say what is in it: that may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedUrl;

impl fmt::Display for MalformedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "is not a URL that can be read: write postgres://user:password@host:5432/database?sslmode=require, \
             with %XX for what is special in a password, and the authority in ca_file",
        )
    }
}

impl std::error::Error for MalformedUrl {}

impl PostgresOptions {
    /// For a connection URL, how TLS is spoken, the schema's name (small letters, digits and
    /// `_`), and how long rows of 10 s, of 1 m and of 1 h stay.
    ///
    /// `sslmode` may be `disable`, `prefer` (which it is without one: TLS where the server has
    /// it), `require`, `verify-ca` or `verify-full`. Wherever TLS is spoken, it is as `tls` says,
    /// which verifies certificate and name; without `tls` there is none.
    ///
    /// # Errors
    /// Where the URL cannot be read.
    pub fn new(
        url: &str,
        tls: Option<Arc<ClientConfig>>,
        schema: &str,
        retention: [Duration; 3],
    ) -> Result<Self, MalformedUrl> {
        let url = url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        let mut config: Config = url.parse().map_err(|_hidden| MalformedUrl)?;
        if config.get_hosts().is_empty() {
            return Err(MalformedUrl);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("coo-llm");
        }
        config.keepalives_idle(SILENT_MAX);
        config.tcp_user_timeout(SILENT_MAX);
        Ok(Self {
            config,
            tls,
            schema: schema.to_owned(),
            retention,
        })
    }
}

/// PostgreSQL as a sink.
#[derive(Debug)]
pub struct PostgresSink {
    options: PostgresOptions,
    link: Option<Link>,
    care: Care,
}

impl PostgresSink {
    /// One that connects when it is first asked.
    #[must_use]
    pub fn new(options: PostgresOptions) -> Self {
        Self {
            options,
            link: None,
            care: Care::default(),
        }
    }

    /// The connection, out of its place: a call that fails or is given up does not put it back.
    async fn link(&mut self) -> Result<Link, Fault> {
        match self.link.take() {
            Some(link) if !link.client.is_closed() => Ok(link),
            _ => Link::new(&self.options).await,
        }
    }
}

impl Sink for PostgresSink {
    async fn position(&mut self, instance: u64) -> Result<Stored, Fault> {
        let mut link = self.link().await?;
        let stored = write::position(&link, instance).await?;
        self.care.take(&mut link, &self.options).await?;
        self.link = Some(link);
        Ok(stored)
    }

    async fn apply(
        &mut self,
        instance: u64,
        at: Option<Position>,
        rows: &Sealed,
    ) -> Result<Applied, Fault> {
        let mut link = self.link().await?;
        let applied = write::apply(&mut link, instance, at, rows).await?;
        self.link = Some(link);
        Ok(applied)
    }
}
