//! A connection, and calls on it.

use super::{RedisOptions, fault};
use crate::sinks::{Fault, Reason};
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, Script, ServerErrorKind,
    TlsCertificates, TlsMode,
};
use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take; below the patience that a delivery has, so that it is this one
/// that says what was waited for.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How often a call follows a slot of a cluster that has moved, or a node that is gone.
const CLUSTER_TRIES: u32 = 3;

/// A script, called by its digest.
#[derive(Debug)]
pub(super) struct Program {
    body: &'static str,
    digest: String,
}

impl Program {
    pub(super) fn new(body: &'static str) -> Self {
        Self {
            body,
            digest: Script::new(body).get_hash().to_owned(),
        }
    }

    /// A call with so many keys, which are to be added, and then arguments.
    pub(super) fn call(&self, keys: usize) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.digest).arg(keys);
        call
    }
}

#[derive(Clone)]
enum To {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

pub(super) struct Link {
    to: To,
    secret: Option<String>,
}

impl Link {
    /// Connects.
    pub(super) async fn new(options: &RedisOptions) -> Result<Self, Fault> {
        let certificates = match &options.ca_file {
            Some(path) => {
                let pem = std::fs::read(path).map_err(|error| {
                    let detail = format!("ca_file {}: {error}", path.display());
                    Fault::new(Reason::Connect, detail)
                })?;
                Some(TlsCertificates {
                    client_tls: None,
                    root_cert: Some(pem),
                })
            }
            None => None,
        };
        let connecting = async {
            if options.is_cluster {
                let cluster = cluster(options, certificates)?;
                cluster.get_async_connection().await.map(To::Cluster)
            } else {
                let client = client(options, certificates)?;
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_MAX))
                    .set_response_timeout(Some(ANSWER_MAX));
                let made = client.get_multiplexed_async_connection_with_config(&config);
                made.await.map(To::One)
            }
        };
        let secret = options.password.clone();
        match connecting.await {
            Ok(to) => Ok(Self { to, secret }),
            Err(error) => Err(fault::of(&error, true, secret.as_deref())),
        }
    }

    fn fault(&self, error: &RedisError) -> Fault {
        fault::of(error, false, self.secret.as_deref())
    }

    async fn query<T: FromRedisValue>(&mut self, call: &Cmd) -> Result<T, RedisError> {
        match &mut self.to {
            To::One(connection) => call.query_async(connection).await,
            To::Cluster(connection) => call.query_async(connection).await,
        }
    }

    /// Sends a command.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, call: &Cmd) -> Result<T, Fault> {
        let answer = self.query(call).await;
        answer.map_err(|error| self.fault(&error))
    }

    /// Sends commands about keys of one slot.
    pub(super) async fn ask_all<T: FromRedisValue>(
        &mut self,
        calls: &Pipeline,
    ) -> Result<T, Fault> {
        let answer = match &mut self.to {
            To::One(connection) => calls.query_async(connection).await,
            To::Cluster(connection) => calls.query_async(connection).await,
        };
        answer.map_err(|error| self.fault(&error))
    }

    /// Sends a script's call; with the script where the server does not have it.
    pub(super) async fn run<T: FromRedisValue>(
        &mut self,
        program: &Program,
        call: Cmd,
    ) -> Result<T, Fault> {
        match self.query(&call).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut whole = redis::cmd("EVAL");
                whole.arg(program.body);
                // After the command and the digest.
                for argument in call.args_iter().skip(2) {
                    if let redis::Arg::Simple(bytes) = argument {
                        whole.arg(bytes);
                    }
                }
                self.ask(&whole).await
            }
            answer => answer.map_err(|error| self.fault(&error)),
        }
    }
}

fn client(
    options: &RedisOptions,
    certificates: Option<TlsCertificates>,
) -> Result<Client, RedisError> {
    let (host, port) = options.nodes.first().cloned().unwrap_or_default();
    let addr = if options.is_tls {
        ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    // A user of few rights may not say what its library is called.
    let mut redis = RedisConnectionInfo::default()
        .set_db(options.db.into())
        .set_skip_set_lib_name();
    if let Some(username) = &options.username {
        redis = redis.set_username(username);
    }
    if let Some(password) = &options.password {
        redis = redis.set_password(password);
    }
    let info = addr.into_connection_info()?.set_redis_settings(redis);
    match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

fn cluster(
    options: &RedisOptions,
    certificates: Option<TlsCertificates>,
) -> Result<ClusterClient, RedisError> {
    let scheme = if options.is_tls { "rediss" } else { "redis" };
    let nodes = options.nodes.iter();
    let nodes = nodes.map(|(host, port)| format!("{scheme}://{host}:{port}/"));
    let mut builder: ClusterClientBuilder = ClusterClient::builder(nodes)
        .retries(CLUSTER_TRIES)
        .connection_timeout(CONNECT_MAX)
        .response_timeout(ANSWER_MAX);
    if options.is_tls {
        builder = builder.tls(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    if let Some(username) = &options.username {
        builder = builder.username(username);
    }
    if let Some(password) = &options.password {
        builder = builder.password(password);
    }
    builder.build()
}
