//! The control thread: one OS thread with a tokio runtime of its own.

use super::handover::{self, Handover, Job};
use super::{Control, listener, router};
use crate::ServerTls;
use axum::Router;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, watch};

/// How the control thread runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// An address of its own to listen on; port 0 takes a free one.
    pub admin_listen: Option<SocketAddr>,
    /// TLS of `admin_listen`.
    pub tls: Option<Arc<ServerTls>>,
    /// Requests from workers that may wait.
    pub queue_max: usize,
    /// Time that a client of `admin_listen` has to send a request's head; also how long a
    /// connection may idle.
    pub header_timeout: Duration,
    /// Time that open requests have to end after [`Thread::stop`].
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            admin_listen: None,
            tls: None,
            queue_max: 256,
            header_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// The running control plane. When it is dropped the thread drains and ends by itself.
#[derive(Debug)]
pub struct Thread {
    handover: Handover,
    runtime: Handle,
    admin_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Thread {
    /// Binds `admin_listen` and starts the thread `coo-control`.
    ///
    /// # Errors
    /// The address cannot be bound, or the system gives no thread or runtime.
    pub fn start(control: Control, options: &Options) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = match options.admin_listen {
            Some(address) => Some(bind(&runtime, address)?),
            None => None,
        };
        let admin_address = match &listener {
            Some(listener) => Some(listener.local_addr()?),
            None => None,
        };
        let (handover, jobs) = handover::channel(options.queue_max);
        let (stop, stopped) = watch::channel(false);
        let handle = runtime.handle().clone();
        let router = router(control);
        let options = options.clone();
        let thread = std::thread::Builder::new()
            .name("coo-control".into())
            .spawn(move || {
                runtime.block_on(serve(router, jobs, listener, &options, stopped));
                // What others spawned and did not end is dropped here.
            })?;
        Ok(Self {
            handover,
            runtime: handle,
            admin_address,
            stop,
            thread,
        })
    }

    /// The workers' way in.
    #[must_use]
    pub fn handover(&self) -> Handover {
        self.handover.clone()
    }

    /// To spawn other futures of the control side on this thread: resolving, reloading,
    /// signals. They end with the thread, wherever they are, so none may block.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.runtime
    }

    /// Where `admin_listen` listens.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Stops listening, answers what is under way (at most `drain_timeout`), and waits for
    /// the thread's end. Blocks; not to be called on the thread itself.
    ///
    /// # Errors
    /// The thread panicked.
    pub fn stop(self) -> io::Result<()> {
        // Fails where the thread is gone already.
        let _gone = self.stop.send(true);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the control thread panicked"))
    }
}

fn bind(runtime: &Runtime, address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let _inside = runtime.enter();
    TcpListener::from_std(listener)
}

async fn serve(
    router: Router,
    mut jobs: mpsc::Receiver<Job>,
    listener: Option<TcpListener>,
    options: &Options,
    mut stop: watch::Receiver<bool>,
) {
    let listening = listener.map(|listener| {
        let timeout = options.header_timeout;
        tokio::spawn(listener::serve(
            listener,
            router.clone(),
            timeout,
            options.tls.clone(),
            stop.clone(),
        ))
    });
    let running = handover::room();
    tokio::select! {
        () = handover::answer_all(&router, &mut jobs, &running) => {}
        // Sent, or the sender was dropped: both mean the end.
        _ = stop.changed() => {}
    }
    jobs.close();
    let drained = tokio::time::timeout(options.drain_timeout, async {
        handover::answer_all(&router, &mut jobs, &running).await;
        if let Some(listening) = listening
            && let Err(error) = listening.await
        {
            tracing::error!(%error, "the admin listener failed");
        }
    });
    if drained.await.is_err() {
        tracing::warn!("requests to the control plane were cut off at the end of the drain");
    }
}
