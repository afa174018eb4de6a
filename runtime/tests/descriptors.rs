//! No descriptor is leaked, whatever is given up. One test, alone in its process, since
//! it counts the process's descriptors.
#![cfg(target_os = "linux")]

use coo_llm_runtime::{
    BackendChoice, DriverChoice, Options, connect, sleep, spawn, start, timeout,
};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// As [`descriptors`], but without the eventfds of glommio, which leaks one with each
/// executor that has run: a known fault of it, told in `src/backend/glommio.rs`.
fn descriptors_of(backend: BackendChoice) -> Vec<String> {
    let mut open = descriptors();
    open.retain(|target| backend != BackendChoice::Glommio || !target.contains("[eventfd]"));
    open
}

/// Where each descriptor of this process leads.
fn descriptors() -> Vec<String> {
    let mut open: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .expect("procfs")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| !target.contains("/fd"))
        .collect();
    open.sort();
    open
}

fn options() -> Vec<Options> {
    let mut pairs = vec![
        (BackendChoice::Monoio, DriverChoice::PreferIoUring),
        (BackendChoice::Monoio, DriverChoice::Epoll),
        (BackendChoice::Tokio, DriverChoice::Epoll),
    ];
    if cfg!(feature = "glommio") {
        pairs.push((BackendChoice::Glommio, DriverChoice::Auto));
    }
    let options = |(backend, driver)| {
        let mut options = Options::new("127.0.0.1:0".parse().expect("an address"));
        options.workers = 1;
        options.backend = backend;
        options.driver = driver;
        options
    };
    pairs.into_iter().map(options).collect()
}

#[test]
fn nothing_is_leaked() {
    for options in options() {
        // What is made once for a process, such as tokio's signal pair where another
        // crate of the build asks for it, is there after a first start.
        start_and_end(&options);
        let descriptors = || descriptors_of(options.backend);
        let before = descriptors();
        for _again in 0..5 {
            start_and_end(&options);
        }
        assert_eq!(descriptors(), before, "after starts and ends");
        refused_start(&options);
        assert_eq!(descriptors(), before, "after a refused start");
        accepts_given_up(&options);
        assert_eq!(descriptors(), before, "after accepts that were given up");
        connects_given_up(&options);
        assert_eq!(descriptors(), before, "after connects that were given up");
        connections_left_at_the_end(&options);
        assert_eq!(descriptors(), before, "after an end with connections");
    }
}

fn start_and_end(options: &Options) {
    let workers = start(options, |worker| {
        Box::pin(async move { assert!(!worker.shutdown.is_set()) })
    });
    assert_eq!(workers.expect("workers start").join(), []);
}

fn refused_start(options: &Options) {
    let taken = std::net::TcpListener::bind(options.listen).expect("a free port");
    let mut second = options.clone();
    second.listen = taken.local_addr().expect("an address");
    assert!(start(&second, |_worker| Box::pin(async {})).is_err());
}

/// Against the documentation an accept is given up each millisecond: each connection
/// still arrives, once, and the count of descriptors while the worker lives is steady.
fn accepts_given_up(options: &Options) {
    const CONNECTIONS: usize = 300;
    let given_up = Arc::new(AtomicUsize::new(0));
    let gave_up = Arc::clone(&given_up);
    let (idle, is_idle) = mpsc::channel();
    let workers = start(options, move |worker| {
        let gave_up = Arc::clone(&gave_up);
        let idle = idle.clone();
        Box::pin(async move {
            let mut served = 0;
            let mut quiet = 0;
            while !worker.shutdown.is_set() {
                let next = worker.listener.next(&worker.shutdown);
                match timeout(Duration::from_millis(1), next).await {
                    Ok(Some(accepted)) => {
                        let (mut stream, _peer) = accepted.expect("a connection");
                        served += 1;
                        spawn(async move { stream.write_u8(1).await.expect("written") });
                    }
                    Ok(None) => break,
                    Err(_elapsed) => {
                        gave_up.fetch_add(1, SeqCst);
                        quiet += 1;
                        if quiet % 10 == 0 {
                            idle.send(descriptors().len()).expect("the test waits");
                        }
                    }
                }
            }
            assert_eq!(served, CONNECTIONS);
        })
    })
    .expect("workers start");
    let at_rest = is_idle.recv().expect("a count");
    for _connection in 0..CONNECTIONS {
        let mut client = TcpStream::connect(workers.local_addr()).expect("a connection");
        client.read_exact(&mut [0]).expect("served");
        // Closed by the other side, so that side's descriptor is gone.
        assert_eq!(client.read(&mut [0]).expect("an end"), 0);
    }
    while is_idle.try_recv().is_ok() {}
    // The second report from here was counted after the last client was closed.
    is_idle.recv().expect("a count");
    assert_eq!(is_idle.recv().expect("a count"), at_rest);
    workers.shutdown();
    drop(is_idle_drain(is_idle));
    assert_eq!(workers.join(), []);
    assert!(given_up.load(SeqCst) >= 30);
}

/// Keeps the receiving end alive on a thread until the worker drops its own.
fn is_idle_drain(reports: mpsc::Receiver<usize>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || while reports.recv().is_ok() {})
}

/// A listener whose queue is full lets connects hang.
fn connects_given_up(options: &Options) {
    let full =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let loopback: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    full.bind(&loopback.into()).expect("bound");
    full.listen(0).expect("listens");
    let addr = full.local_addr().expect("an address").as_socket();
    let addr = addr.expect("an internet address");
    let queued: Vec<TcpStream> = (0..8)
        .map_while(|_| TcpStream::connect_timeout(&addr, Duration::from_millis(100)).ok())
        .collect();
    assert!(queued.len() < 8, "the queue is full");
    let workers = start(options, move |worker| {
        Box::pin(async move {
            let before = descriptors().len();
            for _again in 0..20 {
                let connected = timeout(Duration::from_millis(2), connect(addr)).await;
                assert!(connected.is_err(), "the queue is full");
            }
            // The kernel's cancellations come back with the next turns of the loop.
            sleep(Duration::from_millis(20)).await;
            assert_eq!(descriptors().len(), before);
            drop(worker);
        })
    });
    assert_eq!(workers.expect("workers start").join(), []);
}

/// Tasks that wait for bytes when the worker ends are dropped with their connections.
fn connections_left_at_the_end(options: &Options) {
    let workers = start(options, |worker| {
        Box::pin(async move {
            while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
                let (mut stream, _peer) = accepted.expect("a connection");
                spawn(async move {
                    stream.write_u8(1).await.expect("written");
                    stream.read_u8().await.expect("never comes");
                });
            }
        })
    })
    .expect("workers start");
    let mut clients: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(workers.local_addr()).expect("a connection"))
        .collect();
    for client in &mut clients {
        client.read_exact(&mut [0]).expect("served");
    }
    let counters = workers.counters().clone();
    assert_eq!(counters.tasks(), 20);
    workers.shutdown();
    assert_eq!(workers.join(), []);
    assert_eq!((counters.tasks(), counters.task_panics()), (0, 0));
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).expect("an end"), 0);
    }
}
