//! The backends, one file each. A further one adds its file, a variant of
//! [`Backend`](crate::Backend), of `Io` and of the listener's `Socket`, and an arm where
//! the compiler asks for it.

#[cfg(all(feature = "glommio", target_os = "linux"))]
pub(crate) mod glommio;
#[cfg(target_os = "linux")]
pub(crate) mod monoio;
#[cfg(target_os = "linux")]
pub(crate) mod probe;
pub(crate) mod tokio;

use crate::options::{Backend, Driver};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Takes a connection that is already there, with `TCP_NODELAY` set and not blocking.
fn accept_now(listener: &TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    loop {
        let error = match listener.accept() {
            Ok((stream, peer)) => {
                let ready = stream
                    .set_nonblocking(true)
                    .and_then(|()| stream.set_nodelay(true));
                return Some(ready.map(|()| (stream, peer)));
            }
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::WouldBlock => return None,
            // The client went away in the queue: not our concern.
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
            _ => return Some(Err(error)),
        }
    }
}

/// One worker's runtime, whichever it is.
pub(crate) enum Runtime {
    #[cfg(target_os = "linux")]
    Monoio(monoio::Runtime),
    #[cfg(all(feature = "glommio", target_os = "linux"))]
    Glommio(glommio::Runtime),
    Tokio(tokio::Runtime),
}

impl Runtime {
    pub(crate) fn new(backend: Backend, driver: Driver) -> io::Result<Self> {
        match backend {
            #[cfg(target_os = "linux")]
            Backend::Monoio => monoio::Runtime::new(driver).map(Self::Monoio),
            #[cfg(not(target_os = "linux"))]
            Backend::Monoio => Err(io::Error::from(io::ErrorKind::Unsupported)),
            #[cfg(all(feature = "glommio", target_os = "linux"))]
            Backend::Glommio => glommio::Runtime::new().map(Self::Glommio),
            #[cfg(not(all(feature = "glommio", target_os = "linux")))]
            Backend::Glommio => Err(io::Error::from(io::ErrorKind::Unsupported)),
            Backend::Tokio => tokio::Runtime::new().map(Self::Tokio),
        }
    }

    pub(crate) fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        match self {
            #[cfg(target_os = "linux")]
            Self::Monoio(runtime) => runtime.block_on(future),
            #[cfg(all(feature = "glommio", target_os = "linux"))]
            Self::Glommio(runtime) => runtime.block_on(future),
            Self::Tokio(runtime) => runtime.block_on(future),
        }
    }
}
