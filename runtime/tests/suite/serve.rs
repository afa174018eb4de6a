//! hyper over every backend, both ways, and the promises of the streams.

use crate::rig::{HANG, all, launch, run};
use bytes::Bytes;
use coo_llm_runtime::{CoarseTimer, Worker, connect, spawn, timeout};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Above any socket buffer, so that reads and writes have to wait.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}

/// Accepts until shutdown and serves HTTP/1.1 on each connection.
async fn serve_echo(worker: Worker) {
    while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
        let (stream, _peer) = accepted.expect("a connection");
        spawn(async move {
            let _closed = hyper::server::conn::http1::Builder::new()
                .timer(CoarseTimer)
                .header_read_timeout(Duration::from_millis(300))
                .serve_connection(stream, service_fn(echo))
                .await;
        });
    }
}

fn body(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[test]
fn hyper_serves_and_asks_over_one_kept_connection() {
    for options in all() {
        let workers = launch(&options, |worker| async {
            let addr = worker.listener.local_addr();
            spawn(serve_echo(worker));
            let stream = connect(addr).await.expect("a connection");
            let (mut client, connection) = hyper::client::conn::http1::handshake(stream)
                .await
                .expect("a handshake");
            spawn(async move { connection.await.expect("a clean end") });
            for bytes in [0, 1, 70_000, LARGE_BYTES] {
                let request = Request::post("/")
                    .body(Full::new(body(bytes)))
                    .expect("a request");
                let response = client.send_request(request).await.expect("a response");
                let got = response.into_body().collect().await.expect("a body");
                assert!(got.to_bytes() == body(bytes), "{bytes} bytes differ");
            }
        });
        assert_eq!(workers.join(), []);
    }
}

#[test]
fn a_foreign_client_is_served_pipelined_and_a_slow_head_is_cut_off() {
    for options in all() {
        let workers = launch(&options, serve_echo);
        let addr = workers.local_addr();
        let mut client = std::net::TcpStream::connect(addr).expect("a connection");
        let one = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nok";
        let last = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        client
            .write_all([one, one, last].concat().as_bytes())
            .expect("written");
        let mut answers = String::new();
        client.read_to_string(&mut answers).expect("answers");
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3);

        let mut slow = std::net::TcpStream::connect(addr).expect("a connection");
        slow.write_all(b"POST / HT").expect("written");
        slow.set_read_timeout(Some(HANG)).expect("set");
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).expect("closed by the timer");
        workers.shutdown();
        assert_eq!(workers.join(), []);
    }
}

#[test]
fn nodelay_is_set_on_both_sides() {
    for options in all() {
        let set = run(&options, |worker| async move {
            let ours = connect(worker.listener.local_addr())
                .await
                .expect("a connection");
            let next = worker.listener.next(&worker.shutdown).await;
            let (theirs, peer) = next.expect("not shut down").expect("a connection");
            assert_eq!(peer, ours.local_addr().expect("an address"));
            assert_eq!(theirs.peer_addr(), peer);
            assert_eq!(ours.peer_addr(), worker.listener.local_addr());
            [
                ours.nodelay().expect("known"),
                theirs.nodelay().expect("known"),
            ]
        });
        assert_eq!(set, [true, true]);
    }
}

#[test]
fn connecting_to_nobody_is_refused() {
    for options in all() {
        let nobody = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let error = run(&options, move |_worker| async move {
            connect(nobody)
                .await
                .map(|_stream| ())
                .map_err(|error| error.kind())
        });
        assert_eq!(error, Err(ErrorKind::ConnectionRefused));
    }
}

/// Reads are given up again and again while bytes come in: none is lost, none doubled.
#[test]
fn reads_that_are_given_up_lose_and_double_nothing() {
    for options in all() {
        let (gave_up, has_given_up) = channel();
        let workers = launch(&options, move |worker| {
            let gave_up = gave_up.clone();
            async move {
                let next = worker.listener.next(&worker.shutdown).await;
                let (mut stream, _peer) = next.expect("not shut down").expect("a connection");
                let mut got = Vec::new();
                let mut part = [0; 4096];
                loop {
                    match timeout(Duration::from_millis(1), stream.read(&mut part)).await {
                        Err(_elapsed) => gave_up.send(()).expect("the test waits"),
                        Ok(Ok(0)) => break,
                        Ok(read) => got.extend_from_slice(&part[..read.expect("bytes")]),
                    }
                }
                assert!(got == body(got.len()) && got.len() == 50 * 777);
            }
        });
        let mut client = std::net::TcpStream::connect(workers.local_addr()).expect("a connection");
        for part in body(50 * 777).chunks(777) {
            // Each part comes after a read was given up, and no read waits in between.
            has_given_up.recv_timeout(HANG).expect("gave up");
            client.write_all(part).expect("written");
        }
        drop(client);
        assert_eq!(workers.join(), []);
    }
}

/// A connection that is dropped while its read waits is closed for the peer.
#[test]
fn a_connection_that_is_dropped_in_a_read_is_closed() {
    for options in all() {
        let workers = launch(&options, |worker| async move {
            let next = worker.listener.next(&worker.shutdown).await;
            let (mut stream, _peer) = next.expect("not shut down").expect("a connection");
            let read = timeout(Duration::from_millis(5), stream.read_u8()).await;
            assert!(read.is_err(), "nothing was sent");
            drop(stream);
            worker.shutdown.wait().await;
        });
        let mut client = std::net::TcpStream::connect(workers.local_addr()).expect("a connection");
        client.set_read_timeout(Some(HANG)).expect("set");
        assert_eq!(client.read(&mut [0]).expect("an end"), 0);
        workers.shutdown();
        assert_eq!(workers.join(), []);
    }
}
