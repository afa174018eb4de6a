//! io_uring is refused for real, to a child process: this test's own binary again, which
//! locks itself in and then has to serve.
#![cfg(target_os = "linux")]

use coo_llm_runtime::{
    BackendChoice, Driver, DriverChoice, Options, StartError, Workers, spawn, start,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, apply_filter};
#[cfg(feature = "glommio")]
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The same number on every architecture.
const IO_URING_SETUP: i64 = 425;
/// The same number on every architecture.
const IO_URING_ENTER: i64 = 426;
#[cfg(all(feature = "glommio", target_arch = "x86_64"))]
const PRLIMIT64: i64 = 302;
#[cfg(all(feature = "glommio", target_arch = "aarch64"))]
const PRLIMIT64: i64 = 261;
const EPERM: u32 = 1;
const ENOMEM: u32 = 12;
const ENOSYS: u32 = 38;

/// Names the case to the child.
const CASE: &str = "COO_TEST_REFUSED_CASE";

struct Case {
    name: &'static str,
    syscall: i64,
    errno: u32,
    /// A part of the note and of the error.
    says: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        name: "setup_eperm",
        syscall: IO_URING_SETUP,
        errno: EPERM,
        says: "kernel.io_uring_disabled=0",
    },
    Case {
        name: "setup_enosys",
        syscall: IO_URING_SETUP,
        errno: ENOSYS,
        says: "use a kernel from 5.11 on",
    },
    Case {
        name: "setup_enomem",
        syscall: IO_URING_SETUP,
        errno: ENOMEM,
        says: "LimitMEMLOCK=",
    },
    Case {
        name: "enter_eperm",
        syscall: IO_URING_ENTER,
        errno: EPERM,
        says: "seccomp",
    },
];

fn options(driver: DriverChoice) -> Options {
    let mut options = Options::new("127.0.0.1:0".parse().expect("an address"));
    options.workers = 2;
    options.backend = BackendChoice::Monoio;
    options.driver = driver;
    options
}

fn echo_workers(driver: DriverChoice) -> Result<Workers, StartError> {
    echo_workers_on(&options(driver))
}

fn echo_workers_on(options: &Options) -> Result<Workers, StartError> {
    start(options, |worker| {
        Box::pin(async move {
            while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
                let (mut stream, _peer) = accepted.expect("a connection");
                spawn(async move {
                    let byte = stream.read_u8().await.expect("a byte");
                    stream.write_u8(byte).await.expect("written");
                });
            }
        })
    })
}

fn ask(workers: &Workers) {
    for byte in 0..20 {
        let mut client = TcpStream::connect(workers.local_addr()).expect("a connection");
        client.write_all(&[byte]).expect("written");
        let mut echo = [0];
        client.read_exact(&mut echo).expect("served");
        assert_eq!(echo, [byte]);
    }
}

fn rings_open() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .expect("procfs")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().contains("io_uring"))
        .count()
}

fn refuse(syscall: i64, errno: u32) {
    refuse_where(syscall, Vec::new(), errno);
}

/// Without rules it is refused in any case.
fn refuse_where(syscall: i64, rules: Vec<SeccompRule>, errno: u32) {
    let arch = std::env::consts::ARCH.try_into().expect("a known machine");
    let filter = SeccompFilter::new(
        [(syscall, rules)].into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        arch,
    )
    .expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    // For this thread and those that it starts: the workers.
    apply_filter(&program).expect("the filter is taken");
}

/// Runs `child` in a process of its own and checks that it did run.
fn in_a_child(child: &str, case: &str) {
    let output = Command::new(std::env::current_exe().expect("our own path"))
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env(CASE, case)
        .output()
        .expect("a child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{case}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_refused_io_uring_falls_back_to_epoll_and_says_why() {
    for case in CASES {
        in_a_child("child_of_a_refusal", case.name);
    }
}

#[test]
#[ignore = "run in a child process by the test above"]
fn child_of_a_refusal() {
    let name = std::env::var(CASE).expect("the parent names the case");
    let case = CASES.into_iter().find(|case| case.name == name);
    let case = case.expect("a known case");
    refuse(case.syscall, case.errno);

    let workers = echo_workers(DriverChoice::PreferIoUring).expect("the fall-back starts");
    let selection = workers.selection().clone();
    println!("{selection}");
    assert_eq!(selection.driver, Driver::Epoll);
    let note = selection.note.expect("a note");
    assert!(
        note.starts_with("io_uring is refused: ") && note.contains(case.says),
        "{note}"
    );
    ask(&workers);
    assert_eq!(rings_open(), 0);
    workers.shutdown();
    assert_eq!(workers.join(), []);

    let error = echo_workers(DriverChoice::IoUring).expect_err("asked for by name");
    assert!(
        matches!(error, StartError::IoUringRefused { .. }),
        "{error}"
    );
    assert!(error.to_string().contains(case.says), "{error}");
    assert_eq!(rings_open(), 0);
}

#[cfg(feature = "glommio")]
#[test]
fn glommio_has_nothing_to_fall_back_to_and_says_why() {
    for case in CASES {
        in_a_child("child_of_a_refusal_to_glommio", case.name);
    }
}

#[cfg(feature = "glommio")]
#[test]
#[ignore = "run in a child process by the test above"]
fn child_of_a_refusal_to_glommio() {
    let name = std::env::var(CASE).expect("the parent names the case");
    let case = CASES.into_iter().find(|case| case.name == name);
    let case = case.expect("a known case");
    refuse(case.syscall, case.errno);
    let mut options = options(DriverChoice::PreferIoUring);
    options.backend = BackendChoice::Glommio;
    let error = echo_workers_on(&options).expect_err("no other driver");
    let text = error.to_string();
    assert!(
        matches!(error, StartError::IoUringRefused { .. }) && text.contains(case.says),
        "{text}"
    );
    assert_eq!(rings_open(), 0);
}

/// glommio wants 512 KiB of locked memory: the limit is raised by who may, as this root of
/// a child; where the system refuses that, the start fails and says what to do.
#[cfg(feature = "glommio")]
#[test]
fn glommio_raises_the_locked_memory_limit_or_says_that_it_cannot() {
    for case in ["raised", "refused"] {
        in_a_child("child_of_a_low_limit_on_glommio", case);
    }
}

#[cfg(feature = "glommio")]
#[test]
#[ignore = "run in a child process by the test above"]
fn child_of_a_low_limit_on_glommio() {
    let case = std::env::var(CASE).expect("the parent names the case");
    let mut options = options(DriverChoice::Auto);
    options.backend = BackendChoice::Glommio;
    let low = Rlimit {
        current: Some(64 * 1024),
        maximum: Some(1024 * 1024),
    };
    setrlimit(Resource::Memlock, low).expect("lowering is allowed");
    if case == "raised" {
        let workers = echo_workers_on(&options).expect("starts");
        ask(&workers);
        workers.shutdown();
        assert_eq!(workers.join(), []);
        return;
    }
    // Reading the limit is the same call, with a null pointer for the new one.
    let new_limit = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0);
    let rule = SeccompRule::new(vec![new_limit.expect("a condition")]).expect("a rule");
    refuse_where(PRLIMIT64, vec![rule], EPERM);
    let error = echo_workers_on(&options).expect_err("too little");
    let text = error.to_string();
    assert!(
        text.contains("glommio needs 524288 bytes of locked memory, the limit is 65536")
            && text.contains("LimitMEMLOCK="),
        "{text}"
    );
    assert_eq!(rings_open(), 0);
}

/// Kernels before 5.12 take the ring's memory from the locked memory limit; later ones do
/// not. Either way it serves, and says what it runs on.
#[test]
fn a_tiny_locked_memory_limit_does_not_stop_it() {
    in_a_child("child_with_a_tiny_memlock", "memlock");
}

#[test]
#[ignore = "run in a child process by the test above"]
fn child_with_a_tiny_memlock() {
    let tiny = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Memlock, tiny).expect("lowering is allowed");
    let workers = echo_workers(DriverChoice::PreferIoUring).expect("starts");
    let selection = workers.selection().clone();
    println!("{selection}");
    assert_eq!(selection.driver == Driver::Epoll, selection.note.is_some());
    ask(&workers);
    workers.shutdown();
    assert_eq!(workers.join(), []);
}

/// Out of descriptors, an accept fails again and again; the worker outlives it.
#[test]
fn running_out_of_descriptors_does_not_end_a_worker() {
    in_a_child("child_out_of_descriptors", "nofile");
}

#[test]
#[ignore = "run in a child process by the test above"]
fn child_out_of_descriptors() {
    let few = Rlimit {
        current: Some(64),
        maximum: Some(64),
    };
    setrlimit(Resource::Nofile, few).expect("lowering is allowed");
    let mut pairs = vec![
        (BackendChoice::Monoio, DriverChoice::PreferIoUring),
        (BackendChoice::Monoio, DriverChoice::Epoll),
        (BackendChoice::Tokio, DriverChoice::Epoll),
    ];
    if cfg!(feature = "glommio") {
        pairs.push((BackendChoice::Glommio, DriverChoice::Auto));
    }
    for (backend, driver) in pairs {
        let mut options = options(driver);
        options.backend = backend;
        options.workers = 1;
        let (failed, failures) = std::sync::mpsc::channel();
        let workers = start(&options, move |worker| {
            let failed = failed.clone();
            Box::pin(async move {
                while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
                    match accepted {
                        Ok((mut stream, _peer)) => spawn(async move {
                            // Until the client has its answer and closes.
                            stream.write_u8(1).await.expect("written");
                            let _closed = stream.read_u8().await;
                        }),
                        Err(error) => failed.send(error.raw_os_error()).expect("the test waits"),
                    }
                }
            })
        })
        .expect("workers start");
        // Both ends are in this process, so half of the rest is enough to run out.
        let mut clients = Vec::new();
        while let Ok(client) = TcpStream::connect(workers.local_addr()) {
            clients.push(client);
        }
        assert_eq!(failures.recv().expect("a failure"), Some(24), "EMFILE");
        drop(clients);
        let mut client = TcpStream::connect(workers.local_addr()).expect("room again");
        client.read_exact(&mut [0]).expect("served again");
        drop(client);
        workers.shutdown();
        assert_eq!(workers.join(), []);
    }
}
