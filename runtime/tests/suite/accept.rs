//! Accepting, spreading and stopping.

use crate::rig::{HANG, all, launch, run};
use coo_llm_runtime::{sleep, spawn, tasks_ended, timeout};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

#[test]
fn the_kernel_spreads_connections_over_the_workers() {
    for mut options in all() {
        options.workers = 2;
        let workers = launch(&options, |worker| async move {
            while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
                let (mut stream, _peer) = accepted.expect("a connection");
                let index = u8::try_from(worker.index).expect("a small index");
                spawn(async move { stream.write_u8(index).await.expect("written") });
            }
        });
        let mut served = [0; 2];
        // 2^-63 of all runs would put them all on one side.
        for _connection in 0..64 {
            let mut client = TcpStream::connect(workers.local_addr()).expect("a connection");
            let mut index = [0];
            client.read_exact(&mut index).expect("an index");
            served[usize::from(index[0])] += 1;
        }
        assert!(served[0] > 0 && served[1] > 0, "{served:?}");
        workers.shutdown();
        assert_eq!(workers.join(), []);
    }
}

#[test]
fn a_burst_beyond_the_limit_in_a_row_is_served_in_full() {
    for options in all() {
        let (go, gone) = oneshot::channel::<()>();
        let gone = Mutex::new(Some(gone));
        let workers = launch(&options, move |worker| {
            let gone = gone.lock().expect("one worker").take();
            async move {
                gone.expect("one worker").await.expect("told to go");
                while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
                    let (mut stream, _peer) = accepted.expect("a connection");
                    spawn(async move { stream.write_u8(1).await.expect("written") });
                }
            }
        });
        let mut clients: Vec<TcpStream> = (0..300)
            .map(|_| TcpStream::connect(workers.local_addr()).expect("queued"))
            .collect();
        go.send(()).expect("the worker waits");
        for client in &mut clients {
            client.read_exact(&mut [0]).expect("served");
        }
        workers.shutdown();
        assert_eq!(workers.join(), []);
    }
}

/// Who was let in is served, who runs may finish, who comes later is refused.
#[test]
fn a_drain_serves_the_queue_and_refuses_the_next() {
    for options in all() {
        let (go, gone) = oneshot::channel::<()>();
        let gone = Mutex::new(Some(gone));
        let (closed, is_closed) = channel();
        let (ended, has_ended) = channel();
        let workers = launch(&options, move |worker| {
            let gone = gone.lock().expect("one worker").take();
            let closed = closed.clone();
            let ended = ended.clone();
            async move {
                gone.expect("one worker").await.expect("told to go");
                assert!(worker.shutdown.is_set());
                while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
                    let (mut stream, _peer) = accepted.expect("a connection");
                    spawn(async move {
                        let byte = stream.read_u8().await.expect("a byte");
                        stream.write_u8(byte).await.expect("written");
                    });
                }
                let again = worker.listener.next(&worker.shutdown).await;
                assert!(again.is_none());
                let addr = worker.listener.local_addr();
                drop(worker.listener);
                // Blocks the worker on purpose: closed means now, not at the next turn.
                let late = TcpStream::connect(addr).map_err(|error| error.kind());
                assert!(
                    matches!(late, Err(ErrorKind::ConnectionRefused)),
                    "{late:?}"
                );
                closed.send(()).expect("the test waits");
                tasks_ended().await;
                ended.send(()).expect("the test waits");
            }
        });
        let addr = workers.local_addr();
        let mut clients: Vec<TcpStream> = (0..5)
            .map(|_| TcpStream::connect(addr).expect("queued"))
            .collect();
        workers.shutdown();
        go.send(()).expect("the worker waits");
        is_closed.recv_timeout(HANG).expect("drained");
        for client in &mut clients {
            assert!(has_ended.try_recv().is_err(), "tasks are still there");
            client.write_all(&[7]).expect("written");
            client.read_exact(&mut [0]).expect("still served");
        }
        has_ended.recv_timeout(HANG).expect("all tasks have ended");
        assert_eq!(workers.join(), []);
    }
}

/// A connection that comes between the last poll of an accept and its drop. An accept
/// that the kernel completes by itself would have taken it, and lost it.
#[test]
fn an_accept_that_is_given_up_as_a_connection_comes_loses_nothing() {
    for options in all() {
        run(&options, |worker| async move {
            for _again in 0..10 {
                let mut next = Box::pin(worker.listener.next(&worker.shutdown));
                let waited = timeout(Duration::from_millis(2), next.as_mut()).await;
                assert!(waited.is_err(), "nobody has come yet");
                let client = TcpStream::connect(worker.listener.local_addr()).expect("queued");
                drop(next);
                sleep(Duration::from_millis(2)).await;
                let next = worker.listener.next(&worker.shutdown).await;
                let (_stream, peer) = next.expect("not shut down").expect("a connection");
                assert_eq!(peer, client.local_addr().expect("an address"));
            }
        });
    }
}

#[test]
fn shutdown_ends_an_accept_that_waits() {
    for mut options in all() {
        options.workers = 2;
        let workers = launch(&options, |worker| async move {
            let next = worker.listener.next(&worker.shutdown).await;
            assert!(next.is_none());
        });
        workers.shutdown();
        workers.shutdown();
        assert_eq!(workers.join(), []);
    }
}

#[test]
fn dropping_the_workers_asks_them_to_stop() {
    for options in all() {
        let (ended, has_ended) = channel();
        let workers = launch(&options, move |worker| {
            let ended = ended.clone();
            async move {
                worker.shutdown.wait().await;
                ended
                    .send(worker.shutdown.is_set())
                    .expect("the test waits");
            }
        });
        drop(workers);
        assert_eq!(has_ended.recv_timeout(HANG), Ok(true));
    }
}
