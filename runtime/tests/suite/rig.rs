//! The table of backends, and running one future on a worker of each.

use coo_llm_runtime::{BackendChoice, DriverChoice, Options, Worker, Workers, start};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a test waits for something that would otherwise hang for ever.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// A free loopback port.
pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Every pair of this build. Where the system refuses io_uring, the first is epoll too and
/// says so; glommio, with the feature of its name, has nothing else and does not start.
pub(crate) fn all() -> Vec<Options> {
    let mut pairs = vec![
        (BackendChoice::Monoio, DriverChoice::PreferIoUring),
        (BackendChoice::Monoio, DriverChoice::Epoll),
        (BackendChoice::Tokio, DriverChoice::Epoll),
    ];
    if cfg!(feature = "glommio") {
        pairs.push((BackendChoice::Glommio, DriverChoice::Auto));
    }
    let options = |(backend, driver)| {
        let mut options = Options::new(LOOPBACK);
        options.workers = 1;
        options.pin = false;
        options.backend = backend;
        options.driver = driver;
        options
    };
    pairs.into_iter().map(options).collect()
}

/// Starts workers on an async function.
pub(crate) fn launch<F>(
    options: &Options,
    body: impl Fn(Worker) -> F + Send + Sync + 'static,
) -> Workers
where
    F: Future<Output = ()> + 'static,
{
    let workers = start(options, move |worker| Box::pin(body(worker))).expect("workers start");
    println!("on {}", workers.selection());
    workers
}

/// Runs one future on one worker and returns what it returned.
pub(crate) fn run<T, F>(options: &Options, body: impl Fn(Worker) -> F + Send + Sync + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (answer, answers) = channel();
    let workers = launch(options, move |worker| {
        let running = body(worker);
        let answer = answer.clone();
        async move { answer.send(running.await).expect("the test waits") }
    });
    let value = answers.recv_timeout(HANG);
    assert_eq!(workers.join(), []);
    value.expect("an answer")
}
