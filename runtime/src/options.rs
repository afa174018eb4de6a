//! What the caller asks for, and what was picked.

use std::fmt;
use std::net::SocketAddr;

/// Which backend to run the workers on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// monoio on Linux, tokio elsewhere.
    #[default]
    Auto,
    /// monoio: Linux only.
    Monoio,
    /// glommio, on io_uring alone: Linux, and builds with the cargo feature `glommio`; else
    /// [`StartError::NotBuilt`](crate::StartError::NotBuilt).
    Glommio,
    /// One tokio current-thread runtime a worker: runs everywhere.
    Tokio,
}

/// How the workers wait for the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// What was measured to cost the least CPU: see [`Driver::AUTO`].
    #[default]
    Auto,
    /// io_uring, and epoll with a [`Selection::note`] where the system refuses it.
    PreferIoUring,
    /// io_uring, and an error where the system refuses it.
    IoUring,
    /// epoll (kqueue for tokio on systems without it).
    Epoll,
}

/// The backend that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// monoio.
    Monoio,
    /// glommio.
    Glommio,
    /// tokio, one current-thread runtime a worker.
    Tokio,
}

/// The driver that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monoio => "monoio",
            Self::Glommio => "glommio",
            Self::Tokio => "tokio",
        })
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// What was picked, for the caller to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The backend that runs.
    pub backend: Backend,
    /// The driver that runs, the same on every worker.
    pub driver: Driver,
    /// Why it is not what was asked for, where it is not; several reasons are joined by `; `.
    pub note: Option<String>,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backend, self.driver)?;
        match &self.note {
            Some(note) => write!(f, " ({note})"),
            None => Ok(()),
        }
    }
}

/// How to start the workers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of the listeners. Port 0 picks a free port, the same for every worker.
    pub listen: SocketAddr,
    /// Threads; [`cores`](crate::cores) is the usual number.
    pub workers: usize,
    /// Backend to run on.
    pub backend: BackendChoice,
    /// Driver to wait with.
    pub driver: DriverChoice,
    /// Pin worker i to the i-th CPU that the process may use, round robin.
    ///
    /// Leave it off where several processes share a machine under CPU quotas without CPU
    /// sets: each of them would pin its worker 0 to the same first CPU.
    pub pin: bool,
    /// Accept that another process of this user listens on the same port.
    ///
    /// Off, a second instance is refused with [`StartError::Bind`](crate::StartError::Bind);
    /// on, the kernel spreads new connections over both, which suits a hand-over.
    pub share_port: bool,
}

impl Options {
    /// Listens on `listen` with one pinned worker for each of [`cores`](crate::cores).
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            workers: crate::cores(),
            backend: BackendChoice::Auto,
            driver: DriverChoice::Auto,
            pin: true,
            share_port: false,
        }
    }
}
