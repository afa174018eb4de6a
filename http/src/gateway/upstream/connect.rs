//! A new connection to a provider.

use super::connection::Connection;
use super::socket::Socket;
use crate::gateway::plan::HttpTarget;
use coo_llm_runtime::TcpStream;
use std::io;
use std::net::SocketAddr;
use tokio_rustls::TlsConnector;

/// Connects to the first address that answers.
pub(super) async fn connect(
    target: &HttpTarget,
    addresses: &[SocketAddr],
) -> io::Result<Box<Connection>> {
    let stream = dial(addresses).await?;
    let socket = match &target.tls {
        None => Socket::Plain(stream),
        Some(tls) => {
            let connector = TlsConnector::from(tls.config.clone());
            let stream = connector.connect(tls.name.clone(), stream).await?;
            Socket::Tls(Box::new(stream))
        }
    };
    Ok(Box::new(Connection::new(socket)))
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
