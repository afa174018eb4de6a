//! `hello BACKEND DRIVER [WORKERS [PORT]]`: a hyper server that says hello, to measure the
//! backends with. BACKEND: monoio, tokio. DRIVER: auto, io_uring, epoll. Ends with stdin.
#![expect(clippy::print_stdout, reason = "an example")]

use bytes::Bytes;
use coo_llm_runtime::{BackendChoice, DriverChoice, Options, Worker, spawn, start};
use http_body_util::Full;
use hyper::Response;
use hyper::service::service_fn;
use std::error::Error;

async fn serve(worker: Worker) {
    while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
        let Ok((stream, _peer)) = accepted else {
            continue;
        };
        spawn(async move {
            let hello = service_fn(|_request| async {
                let body = Full::new(Bytes::from_static(b"hello"));
                Ok::<_, std::convert::Infallible>(Response::new(body))
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(stream, hello);
            // A client that goes away is not worth a word here.
            let _closed = connection.await;
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let port: u16 = word(3).parse().unwrap_or(0);
    let mut options = Options::new(([127, 0, 0, 1], port).into());
    options.workers = word(2).parse().unwrap_or(1);
    options.backend = match word(0) {
        "monoio" => BackendChoice::Monoio,
        "tokio" => BackendChoice::Tokio,
        _ => BackendChoice::Auto,
    };
    options.driver = match word(1) {
        "io_uring" => DriverChoice::IoUring,
        "epoll" => DriverChoice::Epoll,
        _ => DriverChoice::Auto,
    };
    let workers = start(&options, |worker| Box::pin(serve(worker)))?;
    println!("{} {}", workers.local_addr(), workers.selection());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    workers.shutdown();
    for panic in workers.join() {
        println!("{panic}");
    }
    Ok(())
}
