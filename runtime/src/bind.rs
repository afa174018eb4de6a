//! One listening socket a worker, all on one address.

use crate::error::StartError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that the kernel holds for a worker that has not accepted them yet.
///
/// Enough for a reconnect storm of a thousand clients within one loop turn; the kernel
/// caps it at `net.core.somaxconn` (4096 by default).
pub(crate) const BACKLOG: i32 = 1024;

/// Binds `count` sockets to `listen`; they share the port that the first one got.
pub(crate) fn listeners(
    listen: SocketAddr,
    count: usize,
    share_port: bool,
) -> Result<Vec<TcpListener>, StartError> {
    let refused = |source| StartError::Bind {
        addr: listen,
        source,
    };
    if !share_port && listen.port() != 0 {
        // With SO_REUSEPORT alone a second instance of this user would join silently.
        socket(listen, false).map_err(refused)?;
    }
    let first = open(listen, true).map_err(refused)?;
    let addr = first.local_addr().map_err(refused)?;
    let mut all = vec![first];
    while all.len() < count {
        all.push(open(addr, true).map_err(refused)?);
    }
    Ok(all)
}

/// A bound socket that does not listen yet.
fn socket(addr: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the TIME_WAIT of the last run.
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn open(addr: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = socket(addr, reuse_port)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
