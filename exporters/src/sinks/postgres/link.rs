//! A connection, with its schema made and its statements prepared.

use super::PostgresOptions;
use super::fault::{of, of_connecting};
use super::migrations::migrate;
use super::write::Statements;
use crate::sinks::Fault;
use std::fmt;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// For each session. What a server does for a gateway that went away ends, so that its lock on a
/// position does; each before a call is given up here, so that the server says which it was.
const SETTINGS: &str = "SET statement_timeout = '25s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = 'warning'";

/// A connection. Dropping it closes it at once, whatever is under way.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) schema: String,
    pub(super) statements: Statements,
    _pump: Pump,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The task that moves a connection's bytes. Left alone it would first see everything through
/// that has been asked.
struct Pump(AbortHandle);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// A new connection, with the schema as this version wants it.
    pub(super) async fn new(options: &PostgresOptions) -> Result<Self, Fault> {
        let (mut client, pump) = dial(options).await?;
        client.batch_execute(SETTINGS).await.map_err(of)?;
        migrate(&mut client, &options.schema).await?;
        let statements = Statements::prepare(&client, &options.schema).await?;
        Ok(Self {
            client,
            schema: options.schema.clone(),
            statements,
            _pump: pump,
        })
    }
}

async fn dial(options: &PostgresOptions) -> Result<(Client, Pump), Fault> {
    // What ends a connection is told to who waits for an answer.
    if let Some(tls) = &options.tls {
        let tls = MakeRustlsConnect::new((**tls).clone());
        let connected = options.config.connect(tls).await;
        let (client, connection) = connected.map_err(of_connecting)?;
        let task = tokio::spawn(async move {
            let _told_to_the_client = connection.await;
        });
        Ok((client, Pump(task.abort_handle())))
    } else {
        let connected = options.config.connect(NoTls).await;
        let (client, connection) = connected.map_err(of_connecting)?;
        let task = tokio::spawn(async move {
            let _told_to_the_client = connection.await;
        });
        Ok((client, Pump(task.abort_handle())))
    }
}
