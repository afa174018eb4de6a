//! The demo's load: mixed requests at a steady rate, over loopback sockets, like any client's.

mod mix;

use coo_llm_config::Secret;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mix::{Mix, Send};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::MissedTickBehavior;

/// Requests under way at most; above it ticks are skipped, so a slow gateway is not buried.
const UNDER_WAY_MAX: usize = 4096;
/// How long requests may go on after the load was stopped.
const END_TIME_MAX: Duration = Duration::from_secs(5);

type Http = Client<HttpConnector, Full<Bytes>>;

/// A load under way.
pub(super) struct Load {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Starts `rate` requests a second to `target`, on a thread of its own.
    ///
    /// # Errors
    /// No thread or no runtime.
    pub(super) fn start(target: SocketAddr, keys: Vec<Secret>, rate: u32) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("coo-demo-load".into())
            .spawn(move || runtime.block_on(run(target, keys, rate, stopped)))?;
        Ok(Self { stop, thread })
    }

    /// Stops, and waits for the requests that are under way.
    pub(super) fn stop(self) {
        // Either fails only where the thread has ended already.
        let _ended = self.stop.send(());
        let _ended = self.thread.join();
    }
}

async fn run(target: SocketAddr, keys: Vec<Secret>, rate: u32, mut stopped: oneshot::Receiver<()>) {
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut mix = Mix::new(target, keys);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => break,
        }
        let Ok(place) = Arc::clone(&under_way).try_acquire_owned() else {
            continue;
        };
        let send = mix.next();
        let http = http.clone();
        tokio::spawn(async move {
            exchange(&http, send).await;
            drop(place);
        });
    }
    let all = under_way.acquire_many(UNDER_WAY_MAX as u32);
    // What is still under way then is cut off, and recorded as aborted.
    let _done_or_late = tokio::time::timeout(END_TIME_MAX, all).await;
}

/// Sends a request and reads the answer. Failures are part of the load: the gateway counts them.
async fn exchange(
    http: &Http,
    Send {
        request,
        reads_at_most,
    }: Send,
) {
    let Ok(response) = http.request(request).await else {
        return;
    };
    let mut body = response.into_body();
    let mut frames = 0;
    while let Some(Ok(_)) = body.frame().await {
        frames += 1;
        if reads_at_most.is_some_and(|most| frames >= most) {
            return; // Like a user who closes the tab.
        }
    }
}
