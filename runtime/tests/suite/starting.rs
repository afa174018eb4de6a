//! What is refused before a thread runs.

use crate::rig::{LOOPBACK, all, launch};
use coo_llm_runtime::{
    Backend, BackendChoice, Driver, DriverChoice, Options, StartError, Worker, Workers, start,
};
use std::io::ErrorKind;
use std::net::TcpListener;

fn refusal(options: &Options) -> StartError {
    start(options, |_worker| Box::pin(async {}))
        .map(Workers::join)
        .expect_err("refused")
}

/// Keeps the whole worker: a block would take `worker.shutdown` alone and drop the listener.
async fn listen_until_shutdown(worker: Worker) {
    worker.shutdown.wait().await;
}

#[test]
fn a_port_that_a_stranger_has_is_an_error() {
    for mut options in all() {
        let stranger = TcpListener::bind(LOOPBACK).expect("a free port");
        options.listen = stranger.local_addr().expect("an address");
        options.workers = 2;
        let error = refusal(&options);
        let StartError::Bind { addr, source } = &error else {
            panic!("{error}");
        };
        assert_eq!(
            (*addr, source.kind()),
            (options.listen, ErrorKind::AddrInUse)
        );
        assert!(
            error.to_string().starts_with("cannot listen on 127.0.0.1:"),
            "{error}"
        );
    }
}

/// With SO_REUSEPORT alone the second one would silently get half of the connections.
#[test]
fn a_second_instance_is_refused_unless_it_may_share() {
    for mut options in all() {
        options.workers = 2;
        let first = launch(&options, listen_until_shutdown);
        options.listen = first.local_addr();
        assert!(matches!(refusal(&options), StartError::Bind { .. }));
        options.share_port = true;
        let second = launch(&options, listen_until_shutdown);
        assert_eq!(second.local_addr(), first.local_addr());
        for workers in [first, second] {
            workers.shutdown();
            assert_eq!(workers.join(), []);
        }
    }
}

#[test]
fn the_port_is_free_again_after_join() {
    for mut options in all() {
        options.workers = 2;
        for _again in 0..3 {
            let workers = launch(&options, |_worker| async {});
            options.listen = workers.local_addr();
            assert_eq!(workers.join(), []);
        }
    }
}

#[test]
fn what_cannot_be_is_said() {
    let mut options = Options::new(LOOPBACK);
    options.backend = BackendChoice::Glommio;
    options.driver = DriverChoice::Epoll;
    let says = if cfg!(feature = "glommio") {
        "the Glommio backend has no Epoll driver"
    } else {
        "the Glommio backend is not in this build; build it for Linux with the cargo feature `glommio`"
    };
    assert_eq!(refusal(&options).to_string(), says);
    options.backend = BackendChoice::Tokio;
    options.driver = DriverChoice::IoUring;
    assert_eq!(
        refusal(&options).to_string(),
        "the Tokio backend has no IoUring driver"
    );
    options.driver = DriverChoice::Auto;
    options.workers = 0;
    assert_eq!(
        refusal(&options).to_string(),
        "at least one worker is needed"
    );
}

#[test]
fn auto_picks_what_the_documentation_says() {
    let mut options = Options::new(LOOPBACK);
    options.workers = 1;
    let workers = launch(&options, |_worker| async {});
    let selection = workers.selection().clone();
    assert_eq!(workers.join(), []);
    if cfg!(target_os = "linux") {
        assert_eq!(selection.backend, Backend::Monoio);
        assert_eq!(selection.driver, Driver::AUTO);
    } else {
        assert_eq!(selection.backend, Backend::Tokio);
    }
}
