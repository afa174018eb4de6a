//! What the gateway keeps in memory: under a long mixed load, and for connections that wait.
#![expect(
    clippy::print_stdout,
    reason = "a mode of proxy-rig prints the rows of RESULTS.md"
)]

use super::cores::{self, LOAD};
use super::gateway::{Duties, Gateway, Setup};
use super::load::Caller;
use super::upstream::Upstream;
use super::{CLIENT_KEY, Outcome, load_average};
use crate::stats::{median, quantile, slope};
use coo_llm_tests::mixed_load::MixedLoad;
use coo_llm_tests::resident::resident_bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;
use std::time::{Duration, Instant};

const MODEL: &str = "m-ours";
/// Descriptors beside those of idle connections: logs, the upstream, the runtime.
const SPARE_DESCRIPTORS: u64 = 256;
/// Requests that warm the gateway up before idle connections are counted.
const WARM: usize = 2_000;

const MB: f64 = 1e6;
/// How often a soak says how it stands.
const INTERVAL_S: u32 = 30;
/// Intervals that a slope leaves out.
const WARM_INTERVALS: usize = 4;

fn started(binary: &Path, policy: &str, history: bool) -> Outcome<(Upstream, Gateway)> {
    cores::move_here(LOAD)?;
    let upstream = Upstream::start()?;
    let setup = Setup {
        duties: Duties::All,
        policy,
        history,
        ..Setup::usual(MODEL)
    };
    let gateway = Gateway::start(binary, &upstream.addr, &setup)?;
    Ok((upstream, gateway))
}

/// So many seconds of short answers, streams, aborts and errors, with all duties on.
///
/// # Errors
/// Where an answer is wrong, or a request is not counted exactly once.
pub fn soak(binary: &Path, seconds: u32, history: bool) -> Outcome<()> {
    // Each request is one attempt: the errors are meant.
    let (mut upstream, gateway) = started(binary, ONE_ATTEMPT, history)?;
    println!("load average at the start: {}", load_average());
    let pid = gateway.process.pid();
    let load = MixedLoad::start(gateway.addr, CLIENT_KEY, MODEL);
    let start = Instant::now();
    let mut resident = Vec::new();
    // The median of each interval, by the minute of its middle.
    let mut by_time = Vec::new();
    println!("| seconds | RSS MB (median of the interval) |\n| --- | --- |");
    for second in 1..=seconds {
        let next = start + Duration::from_secs(u64::from(second));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        resident.push(resident_bytes(pid) as f64 / MB);
        if second % INTERVAL_S == 0 {
            let mb = median(&resident[resident.len() - INTERVAL_S as usize..]);
            println!("| {second} | {mb:.3} |");
            by_time.push((f64::from(second - INTERVAL_S / 2) / 60.0, mb));
        }
    }
    let sent = load
        .stop()
        .map_err(|error| format!("the mixed load: {error}"))?;
    let counted = gateway.counted_in_all(sent.total())?.requests;
    let served = upstream.served(MODEL)?.requests;
    let quarter = (resident.len() / 4).max(1);
    println!("\n| RSS MB over {seconds} s | min | median | max |\n| --- | --- | --- | --- |");
    let row = |name: &str, values: &[f64]| {
        let at = |q| quantile(values, q);
        println!(
            "| {name} quarter | {:.2} | {:.2} | {:.2} |",
            at(0.0),
            at(0.5),
            at(1.0)
        );
        median(values)
    };
    for (name, values) in ["first", "second", "third", "last"]
        .into_iter()
        .zip(resident.chunks(quarter))
    {
        row(name, values);
    }
    let first = median(&resident[..quarter]);
    let last = median(&resident[resident.len() - quarter..]);
    let growth = (last - first) * MB;
    println!(
        "\nmedian of the last quarter - of the first: {:.0} kB, {:.2} bytes a request",
        growth / 1e3,
        growth / sent.total() as f64
    );
    // What is made once, such as buffers and rows of the first hour, is over by then.
    let (a_minute, error) = slope(&by_time[by_time.len().min(WARM_INTERVALS)..]);
    println!(
        "slope after {} s: {:.1} kB a minute, standard error {:.1}",
        INTERVAL_S * WARM_INTERVALS as u32,
        a_minute * MB / 1e3,
        error * MB / 1e3
    );
    println!(
        "sent {} ({sent:?}), /metrics {counted}, ledger {served}; load average at the end: {}",
        sent.total(),
        load_average()
    );
    if counted != sent.total() {
        return Err("a request was not counted exactly once".to_owned());
    }
    Ok(())
}

const ONE_ATTEMPT: &str = "{ retry: { max_attempts: 1 }, key_cooldown: { enabled: false }, \
     circuit_breaker: { enabled: false } }";

/// So many connections that are kept open and say nothing.
///
/// # Errors
/// Where the system does not allow that many, or one is not served.
pub fn idle(binary: &Path, connections: u32) -> Outcome<()> {
    allow(u64::from(connections) + SPARE_DESCRIPTORS)?;
    let (_upstream, gateway) = started(binary, "{}", true)?;
    let pid = gateway.process.pid();
    let mut warm = Caller::connect(gateway.addr, MODEL)?;
    for _ in 0..WARM {
        warm.call()?;
    }
    let before = resident_bytes(pid);
    let mut callers = Vec::new();
    for _ in 0..connections {
        callers.push(Caller::connect(gateway.addr, MODEL)?);
    }
    // One that is served after all the others were accepted.
    callers.last_mut().ok_or("no connections")?.call()?;
    let connected = resident_bytes(pid);
    for caller in &mut callers {
        caller.call()?;
    }
    let served = resident_bytes(pid);
    drop(callers);
    warm.call()?;
    let closed = resident_bytes(pid);
    let a_connection = |bytes: u64| (bytes as f64 - before as f64) / f64::from(connections);
    println!(
        "| {connections} connections that wait | RSS MB | bytes a connection |\n| --- | --- | --- |\n\
         | before | {:.2} | |\n\
         | connected, no request yet | {:.2} | {:.0} |\n\
         | after a request each | {:.2} | {:.0} |\n\
         | closed again | {:.2} | {:.0} kept by the allocator |",
        before as f64 / MB,
        connected as f64 / MB,
        a_connection(connected),
        served as f64 / MB,
        a_connection(served),
        closed as f64 / MB,
        a_connection(closed)
    );
    Ok(())
}

/// Raises the limit of open files, which children inherit.
fn allow(descriptors: u64) -> Outcome<()> {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= descriptors) {
        return Ok(());
    }
    let wanted = Rlimit {
        current: Some(descriptors),
        maximum: now.maximum.map(|maximum| maximum.max(descriptors)),
    };
    setrlimit(Resource::Nofile, wanted)
        .map_err(|error| format!("{descriptors} open files: {error}; now {now:?}"))
}
