//! The thread, its socket, and the way of a request from a worker to it and back.

use super::*;
use crate::control::handover::{self, Handover};
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

fn get_request(uri: &str) -> http::Request<Bytes> {
    let request = http::Request::builder().uri(uri);
    request.body(Bytes::new()).expect("a request")
}

/// An executor of a foreign kind, as a worker's is: it parks its thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn now<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn workers_are_answered_from_their_own_threads() {
    let meter = Meter::new(100);
    let thread = Thread::start(control(&meter, false), &Options::default()).expect("a thread");
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let handover = thread.handover();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let health = block_on(handover.call(get_request("/health"), peer()));
                    assert_eq!(
                        (health.status(), &health.body()[..]),
                        (StatusCode::OK, &br#"{"status":"ok"}"#[..])
                    );
                }
                block_on(handover.call(get_request("/metrics"), peer()))
            })
        })
        .collect();
    for worker in workers {
        let page = worker.join().expect("a worker");
        assert!(page.body().starts_with(b"# HELP coo_llm_"));
    }
    let refused = block_on(thread.handover().call(get_request(GLOBAL), peer()));
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let name = thread
        .handle()
        .spawn(async { std::thread::current().name().map(str::to_owned) });
    assert_eq!(
        block_on(name).expect("it runs").as_deref(),
        Some("coo-control")
    );
    let handover = thread.handover();
    thread.stop().expect("a clean end");
    let late = now(handover.call(get_request("/health"), peer()));
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(late.headers()[http::header::RETRY_AFTER], "1");
}

#[test]
fn a_full_queue_is_told_at_once() {
    let (handover, _jobs) = handover::channel(2);
    let mut waiting: Vec<_> = (0..2)
        .map(|_| Box::pin(handover.call(get_request("/health"), peer())))
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    for call in &mut waiting {
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    let refused = now(handover.call(get_request("/health"), peer()));
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let error: Value = serde_json::from_slice(refused.body()).expect("JSON");
    assert_eq!(
        error["error"]["message"],
        "The control plane is busy; try again."
    );
}

/// The shape of [`Thread`]'s end: jobs that wait and jobs that run are answered, and a
/// handler that panics harms only its own request.
#[tokio::test]
async fn nothing_is_lost_at_the_end() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, go) = (Arc::clone(&entered), Arc::clone(&go));
        move || async move {
            entered.notify_one();
            go.notified().await;
            "slow"
        }
    };
    async fn broken() -> &'static str {
        panic!("a bug")
    }
    let router = Router::new()
        .route("/slow", get(slow))
        .route("/broken", get(broken))
        .route("/quick", get(|| async { "quick" }));
    let (handover, mut jobs) = handover::channel(8);
    let call = |path: &'static str| {
        let handover: Handover = handover.clone();
        tokio::spawn(async move { handover.call(get_request(path), peer()).await })
    };
    let running = handover::room();
    let slow = call("/slow");
    tokio::select! {
        () = handover::answer_all(&router, &mut jobs, &running) => panic!("the queue is open"),
        () = entered.notified() => {}
    }
    let (quick, broken) = (call("/quick"), call("/broken"));
    tokio::task::yield_now().await;
    jobs.close();
    let ended =
        tokio::spawn(async move { handover::answer_all(&router, &mut jobs, &running).await });
    assert_eq!(quick.await.expect("an answer").body(), "quick");
    assert_eq!(
        broken.await.expect("an answer").status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(!ended.is_finished(), "one request still runs");
    go.notify_one();
    assert_eq!(slow.await.expect("an answer").body(), "slow");
    ended.await.expect("the end");
}

/// Reads one response with a content length; gives its status line and body.
fn read_response(stream: &mut BufReader<TcpStream>) -> (String, String) {
    let mut status = String::new();
    stream.read_line(&mut status).expect("a status line");
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a header");
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    (status, String::from_utf8(body).expect("UTF-8"))
}

#[test]
fn its_own_socket_serves_the_same_and_closes_idle_connections_at_the_end() {
    let options = Options {
        admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        drain_timeout: Duration::from_secs(600),
        ..Options::default()
    };
    let thread = Thread::start(control(&Meter::new(100), false), &options).expect("a thread");
    let address = thread.admin_address().expect("it listens");
    let mut stream = BufReader::new(TcpStream::connect(address).expect("a connection"));
    for (path, status, part) in [
        ("/health", "HTTP/1.1 200 OK\r\n", r#"{"status":"ok"}"#),
        ("/metrics", "HTTP/1.1 200 OK\r\n", "coo_llm_build_info"),
        (
            GLOBAL,
            "HTTP/1.1 401 Unauthorized\r\n",
            "authentication_error",
        ),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream
            .get_mut()
            .write_all(request.as_bytes())
            .expect("it takes a request");
        let (got, body) = read_response(&mut stream);
        assert!(got == status && body.contains(part), "{path}: {got} {body}");
    }
    let taken = Options {
        admin_listen: Some(address),
        ..Options::default()
    };
    let error = Thread::start(control(&Meter::new(100), false), &taken).expect_err("it is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    // The idle connection would hold the end up for ten minutes.
    thread.stop().expect("a clean end");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("a clean close");
    assert_eq!(rest, b"");
}
