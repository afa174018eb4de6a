//! The thread-per-core executor behind one small interface.
//!
//! What it is: [`start`] binds the listeners, starts one pinned thread per worker and
//! runs one future on each. Inside it, [`spawn`], [`sleep`], [`timeout`], [`connect`]
//! and [`Listener`] use the thread's backend, which is chosen when the program runs.
//! Nothing here is generic over the backend, so a program that is built on it is
//! compiled once and runs on each of them.
//!
//! What it is not: a work-stealing scheduler, a resolver (addresses only: resolving
//! blocks, so it belongs to the control plane), a file or signal API, HTTP.
//!
//! ```text
//!  start(Options, worker_main)
//!    |  bind N sockets (SO_REUSEPORT)            StartError::Bind before any thread
//!    |  build N backends, fall back together     StartError::IoUringRefused, or a note
//!    v
//!  Workers --- shutdown() ------------------------------.
//!    |                                                  v
//!  thread 0, core 0: worker_main(Worker { listener, shutdown })    thread 1, core 1: ...
//!                      |  listener.next(&shutdown)                 shares nothing
//!                      v
//!                    spawn(connection)  ->  Tasks: futures live here, in the thread
//!                      |                      ^ poll(key)
//!                      v                      |
//!                    backend: monoio (io_uring | epoll), tokio current_thread, glommio (io_uring)
//! ```
//!
//! | backend | driver | IO | accept |
//! | --- | --- | --- | --- |
//! | monoio | epoll | readiness (`poll-io`) | accept4, then wait for readiness |
//! | monoio | io_uring | readiness (`poll-io`), waited for in the ring | accept4, then `POLL_ADD` |
//! | tokio | epoll | readiness | tokio's own |
//! | glommio (cargo feature `glommio`) | io_uring | readiness, waited for in the ring | accept4, then `POLL_ADD` |
//!
//! [`Driver::AUTO`] is epoll, by measurement: see BENCH.md beside this crate's manifest.
//! A refused io_uring falls back to epoll for all workers together, and
//! [`Selection::note`] says why.
//!
//! All of them are readiness based on purpose: no buffer is ever lent to the kernel, so
//! that dropping a future in a [`timeout`] loses no bytes and leaks no descriptor.
//!
//! ```
//! use coo_llm_runtime::{Options, start, tasks_ended, timeout};
//! use std::io::{Read, Write};
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let workers = start(&Options::new("127.0.0.1:0".parse()?), |worker| {
//!     Box::pin(async move {
//!         while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
//!             let Ok((mut stream, _peer)) = accepted else { continue };
//!             coo_llm_runtime::spawn(async move {
//!                 let mut word = [0; 5];
//!                 if stream.read_exact(&mut word).await.is_ok() {
//!                     let _written = stream.write_all(&word).await;
//!                 }
//!             });
//!         }
//!         drop(worker.listener);
//!         let _late = timeout(Duration::from_secs(1), tasks_ended()).await;
//!     })
//! })?;
//! let mut client = std::net::TcpStream::connect(workers.local_addr())?;
//! client.write_all(b"hello")?;
//! let mut echo = String::new();
//! client.read_to_string(&mut echo)?;
//! assert_eq!(echo, "hello");
//! workers.shutdown(); // The drain: no new connections, tasks may finish.
//! assert!(workers.join().is_empty(), "no worker panicked");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod bind;
mod cores;
mod counters;
mod error;
mod launch;
mod listener;
mod local;
mod options;
mod plan;
mod shutdown;
mod start;
mod stream;
mod tasks;
mod ticks;
mod time;
mod wall;
mod worker;

pub use cores::cores;
pub use counters::Counters;
pub use error::StartError;
pub use listener::Listener;
pub use options::{Backend, BackendChoice, Driver, DriverChoice, Options, Selection};
pub use shutdown::Shutdown;
pub use start::{WorkerPanic, Workers, start};
pub use stream::{TcpStream, connect};
pub use tasks::{spawn, tasks_ended};
pub use ticks::{CoarseTimer, TICK, coarse_now};
pub use time::{Elapsed, sleep, timeout};
pub use wall::unix_ms;
pub use worker::{LocalBoxFuture, Worker};
