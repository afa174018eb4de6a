//! Why the workers did not start.

use crate::options::{BackendChoice, DriverChoice};
use std::net::SocketAddr;
use std::{fmt, io};

/// Why [`start`](crate::start) failed. No thread is left running.
#[non_exhaustive]
#[derive(Debug)]
pub enum StartError {
    /// `workers` is 0.
    NoWorkers,
    /// The address cannot be listened on, for example because it is in use.
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// This build does not have the backend.
    NotBuilt {
        /// The backend that was asked for.
        backend: BackendChoice,
    },
    /// The backend does not have the driver.
    Unsupported {
        /// The backend that was asked for.
        backend: BackendChoice,
        /// The driver that was asked for.
        driver: DriverChoice,
    },
    /// io_uring was asked for by name and the system refuses it.
    IoUringRefused {
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread.
    Thread {
        /// Index of the worker.
        worker: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The backend could not be built on a worker, or could not take the listener.
    Backend {
        /// Index of the worker.
        worker: usize,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWorkers => write!(f, "at least one worker is needed"),
            Self::Bind { addr, source } => write!(f, "cannot listen on {addr}: {source}"),
            Self::NotBuilt { backend } => {
                write!(f, "the {backend:?} backend is not in this build")?;
                match backend {
                    BackendChoice::Glommio => {
                        f.write_str("; build it for Linux with the cargo feature `glommio`")
                    }
                    _ => Ok(()),
                }
            }
            Self::Unsupported { backend, driver } => {
                write!(f, "the {backend:?} backend has no {driver:?} driver")
            }
            Self::IoUringRefused { source } => {
                write!(
                    f,
                    "io_uring is refused here: {}",
                    refusal_and_remedy(source)
                )
            }
            Self::Thread { worker, source } => write!(f, "no thread for worker {worker}: {source}"),
            Self::Backend { worker, source } => {
                write!(f, "worker {worker} could not be built: {source}")
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. }
            | Self::IoUringRefused { source }
            | Self::Thread { source, .. }
            | Self::Backend { source, .. } => Some(source),
            Self::NoWorkers | Self::NotBuilt { .. } | Self::Unsupported { .. } => None,
        }
    }
}

/// What the system said about io_uring, and what an operator can do about it.
pub(crate) fn refusal_and_remedy(source: &io::Error) -> String {
    let remedy = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "allow io_uring_setup in the seccomp profile and set sysctl kernel.io_uring_disabled=0, or run monoio or tokio on epoll"
        }
        io::ErrorKind::OutOfMemory => {
            "raise the locked memory limit (ulimit -l, LimitMEMLOCK=), or run monoio or tokio on epoll"
        }
        io::ErrorKind::Unsupported => {
            "use a kernel from 5.11 on with io_uring and a seccomp profile that knows it, or run monoio or tokio on epoll"
        }
        _ => "run monoio or tokio on epoll",
    };
    format!("{source}; {remedy}")
}
