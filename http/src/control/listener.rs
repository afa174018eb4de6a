//! The control plane's own socket (`server.admin_listen`).

use super::Peer;
use crate::ServerTls;
use axum::Router;
use axum::body::Body;
use http_body_util::Limited;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

/// Connections at a time: scrapers, browsers, scripts. One more is closed at once.
const CONNECTIONS_MAX: usize = 256;
/// Bytes of a request's body; the largest is a configuration file.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Rest after a failed accept: without it a full descriptor table makes a busy loop.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves until `stop` changes, then until the last connection is done.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    header_timeout: Duration,
    tls: Option<Arc<ServerTls>>,
    mut stop: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.changed() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY on an admin connection");
        }
        let Ok(room) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(
                max = CONNECTIONS_MAX,
                "too many connections to the admin listener"
            );
            continue;
        };
        let (router, mut stop, tls) = (router.clone(), stop.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, peer, router, header_timeout, stop).await,
                Some(tls) => {
                    let stream = tokio::select! {
                        stream = secure(&tls, stream, peer, header_timeout) => stream,
                        _ = stop.changed() => None,
                    };
                    if let Some(stream) = stream {
                        connection(stream, peer, router, header_timeout, stop).await;
                    }
                }
            }
            drop(room);
        });
    }
    drop(listener);
    let _all = connections.acquire_many(CONNECTIONS_MAX as u32).await;
}

/// The TLS session, or nothing: it failed, which is counted.
async fn secure(
    tls: &ServerTls,
    stream: TcpStream,
    peer: SocketAddr,
    time_max: Duration,
) -> Option<TlsStream<TcpStream>> {
    let config = Arc::clone(&tls.newest().borrow());
    let accept = TlsAcceptor::from(config).accept(stream);
    let outcome = tokio::time::timeout(time_max, accept).await;
    match outcome.unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Some(stream),
        Err(error) => {
            tls.count_failure();
            tracing::debug!(%error, %peer, "a TLS handshake with the admin listener failed");
            None
        }
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    header_timeout: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let service = router.map_request(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(|body| Body::new(Limited::new(body, BODY_BYTES_MAX)));
        request.extensions_mut().insert(Peer(peer));
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended");
    }
}
