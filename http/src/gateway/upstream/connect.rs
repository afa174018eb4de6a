//! A new connection to a provider.

use super::pool::{Lease, Pool};
use crate::gateway::plan::HttpTarget;
use coo_llm_runtime::{TcpStream, spawn};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio_rustls::TlsConnector;

/// Bytes that hyper may hold of an answer before the client takes them, and of its head; its
/// own default is 400 KiB, for each stream whose client is slow.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Connects to the first address that answers.
pub(super) async fn connect(
    pool: &Rc<Pool>,
    target: &HttpTarget,
    addresses: &[SocketAddr],
) -> io::Result<Lease> {
    let stream = dial(addresses).await?;
    let Some(tls) = &target.tls else {
        return handshake(pool, stream).await;
    };
    let connector = TlsConnector::from(tls.config.clone());
    let stream = connector.connect(tls.name.clone(), stream).await?;
    handshake(pool, TokioIo::new(stream)).await
}

async fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host's name is not resolved");
    for address in addresses {
        match coo_llm_runtime::connect(*address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn handshake<T: Read + Write + Unpin + 'static>(pool: &Rc<Pool>, io: T) -> io::Result<Lease> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES_MAX)
        .handshake(io)
        .await
        .map_err(io::Error::other)?;
    spawn(async move {
        if let Err(error) = connection.await {
            // Who waited for its answer is told by the sender; here it is only a trace.
            tracing::debug!(%error, "a connection to a provider broke");
        }
    });
    Ok(Lease::new(sender, Rc::clone(pool)))
}
