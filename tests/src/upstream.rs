//! An upstream over real sockets, with an exact ledger.
//!
//! It serves OpenAI's `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`,
//! `/v1/responses` and `/v1/models`, Anthropic's `/v1/messages` and Gemini's
//! `/v1/models/{model}:generateContent` on a thread of its own. The `upstream` field of a request's body
//! is a [`Script`] that says how to answer; without one it answers correctly and
//! as fast as it can. Everything it does is in the [`Ledger`].

mod body;
mod entry;
mod garble;
mod gate;
mod generate;
mod ledger;
mod messages;
mod plan;
mod reply;
mod responses;
mod script;
mod serve;

pub use ledger::{End, Kind, Ledger, Route, Served, TokenCounts, Totals};
pub use script::{Fault, Script, Usage, UsageMode};

use crate::authority::Authority;
use crate::patience::PATIENCE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ledger::Shared;
use serve::{House, Line};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// What an upstream is to be like.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    keys: Vec<String>,
    models: Vec<String>,
    tls: bool,
    totals_only: bool,
    port: u16,
}

impl Builder {
    /// Accept these keys only; without this call any key or none will do.
    #[must_use]
    pub fn keys(mut self, keys: &[&str]) -> Self {
        self.keys = keys.iter().map(ToString::to_string).collect();
        self
    }

    /// The models that `/v1/models` lists.
    #[must_use]
    pub fn models(mut self, models: &[&str]) -> Self {
        self.models = models.iter().map(ToString::to_string).collect();
        self
    }

    /// Serve https, with a certificate that [`Upstream::ca_pem`] signed.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Keep sums instead of each request: for benches.
    #[must_use]
    pub fn totals_only(mut self) -> Self {
        self.totals_only = true;
        self
    }

    /// Listen on this port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts it; it serves until it is dropped.
    ///
    /// # Panics
    /// If there is no port or no thread to have.
    #[must_use]
    pub fn start(self) -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port));
        let listener = listener.expect("the upstream's port is free");
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let set = listener.set_nonblocking(true);
        set.expect("a listener can be made non-blocking");
        let (acceptor, ca_pem) = if self.tls {
            let authority = Authority::new();
            let acceptor = TlsAcceptor::from(authority.leaf().server_config());
            (Some(acceptor), Some(authority.pem))
        } else {
            (None, None)
        };
        let house = Arc::new(House {
            shared: Shared::default(),
            gates: gate::Gates::default(),
            keep_each: !self.totals_only,
            keys: self.keys,
            models: self.models,
            next: Mutex::default(),
            of_keys: Mutex::default(),
            plain: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&house);
        let thread = std::thread::Builder::new().name("upstream".to_owned());
        let thread = thread.spawn(move || run(listener, acceptor, served, stopped));
        Upstream {
            addr,
            ca_pem,
            house,
            stop: Some(stop),
            thread: Some(thread.expect("a thread for the upstream")),
        }
    }
}

/// A running upstream; dropping it stops it and closes its connections.
pub struct Upstream {
    addr: SocketAddr,
    ca_pem: Option<String>,
    house: Arc<House>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Begins to describe one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL for a client, with `/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.ca_pem.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}/v1", self.addr)
    }

    /// The PEM text of its certificate authority, where it serves https.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// What it served so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.house.shared.lock().clone()
    }

    /// Waits until the ledger is as `done` says.
    ///
    /// # Panics
    /// If that does not happen within [`PATIENCE`]; `what` says what was waited for.
    pub fn wait(&self, what: &str, done: impl FnMut(&Ledger) -> bool) {
        let came = self.house.shared.wait(PATIENCE, done);
        assert!(came, "gave up waiting for the upstream: {what}");
    }

    /// Answers the next requests by these scripts, one each, whatever theirs say.
    ///
    /// # Panics
    /// If a thread panicked that did the same.
    pub fn next_by(&self, scripts: impl IntoIterator<Item = Script>) {
        let mut next = self.house.next.lock().expect("no holder panics");
        next.extend(scripts);
    }

    /// Answers requests with this key by a script, whatever theirs say; `None` ends that.
    ///
    /// # Panics
    /// If a thread panicked that did the same.
    pub fn key_by(&self, key: &str, script: Option<Script>) {
        let mut of_keys = self.house.of_keys.lock().expect("no holder panics");
        match script {
            Some(script) => of_keys.insert(key.to_owned(), script),
            None => of_keys.remove(key),
        };
    }

    /// Opens a gate that scripts wait at.
    pub fn open_gate(&self, name: &str) {
        self.house.gates.open(name);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the upstream's thread does not panic");
            }
        }
    }
}

/// The upstream's thread.
fn run(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    house: Arc<House>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the upstream");
    runtime.block_on(async move {
        tokio::select! {
            () = accept(listener, acceptor, house) => {}
            _ = stopped => {}
        }
    });
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, house: Arc<House>) {
    let listener = tokio::net::TcpListener::from_std(listener);
    let listener = listener.expect("the runtime has its IO enabled");
    let mut number = 0;
    loop {
        // A connection that dies in the queue is the peer's affair.
        let Ok((socket, peer)) = listener.accept().await else {
            continue;
        };
        let set = socket.set_nodelay(true);
        set.expect("TCP_NODELAY can be set on an open socket");
        number += 1;
        house.shared.lock().connections = number;
        house.shared.changed();
        let line = Line {
            house: Arc::clone(&house),
            peer,
            number,
            garble: Arc::new(AtomicBool::new(false)),
        };
        match acceptor.clone() {
            None => drop(tokio::spawn(talk(socket, line))),
            Some(acceptor) => drop(tokio::spawn(async move {
                // A failed handshake is the peer's to report.
                if let Ok(socket) = acceptor.accept(socket).await {
                    talk(socket, line).await;
                }
            })),
        }
    }
}

/// One connection, until it closes.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(socket: S, line: Line) {
    let on = Arc::clone(&line.garble);
    let io = TokioIo::new(garble::Garble { socket, on });
    let service = service_fn(move |request| line.clone().serve(request));
    let connection = http1::Builder::new().serve_connection(io, service);
    // Scripted faults and peers that go away end here; the ledger has them.
    drop(connection.await);
}
