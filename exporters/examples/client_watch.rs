//! What does it cost to watch many clients?
//!
//! `cargo run --release -p coo-llm-exporters --example client_watch [CLIENTS [HOURS [MINUTES]]]`
//! writes a history of so many hours, of which the last minutes one by one, with the real store,
//! and then watches: 10,000 clients of one provider, 24 hours and 60 minutes without numbers.

#![expect(clippy::print_stdout, reason = "it is what it does")]

use coo_llm_core::record::{Endpoint, Record};
use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
use coo_llm_exporters::health::Sensitivity;
use coo_llm_exporters::history::{self, History};
use coo_llm_exporters::watch::{Options, Step, Watch};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const END_S: u64 = 1_795_525_200;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0)
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|n| n.parse().ok());
    let clients: usize = numbers.next().unwrap_or(10_000);
    let hours = numbers.next().unwrap_or(24) as u64;
    let minutes = numbers.next().unwrap_or(60) as u64;
    let folder = std::env::temp_dir().join(format!("client-watch-{}", std::process::id()));
    let path = folder.join("history.db");
    let at = |s: u64| UnixMillis(s * 1000);
    let meter = Meter::with_pairs(1_000_000);
    let options = history::Options {
        path: path.clone(),
        retention: [Duration::from_secs(30 * 86_400); 3],
        spool_bytes_max: 1 << 20,
    };
    let history = History::open(&options, meter.clone(), at(END_S - hours * 3600));
    let history = history.expect("a history");
    let route = meter.catalog().route("openai", "m", "k");
    let ids: Vec<_> = (0..clients)
        .map(|n| meter.catalog().client(&format!("client-{n}")))
        .collect();
    let mut writer = meter.writer();
    let mut rows = 0;
    let mut write = |s: u64| {
        history.drain(at(s));
        for client in &ids {
            let record = Record::new(route, *client, Endpoint::ChatCompletions, at(s), Micros(9));
            writer.record(&Record {
                cost: Some(NanoUsd(1_234_567)),
                ..record
            });
        }
        rows += clients;
        history.flush(at(s)).expect("room");
    };
    let began = Instant::now();
    for hour in (1..=hours).rev() {
        write(END_S - hour * 3600);
    }
    for minute in (1..=minutes.min(59)).rev() {
        write(END_S - minute * 60);
    }
    let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
    println!(
        "{clients} clients, {rows} rows written in {:.1} s, {} MB",
        began.elapsed().as_secs_f64(),
        bytes / 1_000_000
    );

    let before = resident_kib();
    let mut watch = Watch::new(Options {
        sensitivity: Sensitivity::Normal,
        clients_max: clients,
    });
    let mut steps = Vec::new();
    let began = Instant::now();
    loop {
        let step = Instant::now();
        let done = watch.step(&history, at(END_S)).expect("rows") == Step::Ready;
        steps.push(step.elapsed());
        if done {
            break;
        }
    }
    let longest = steps.iter().max().copied().unwrap_or_default();
    println!(
        "start: {:.2} s in {} steps, the longest {longest:.1?}",
        began.elapsed().as_secs_f64(),
        steps.len()
    );
    let none = HashMap::new();
    for minute in 0..3 {
        let now = at(END_S + minute * 60);
        let began = Instant::now();
        while watch.step(&history, now).expect("rows") == Step::Behind {}
        let read = began.elapsed();
        let began = Instant::now();
        let news = watch.judge(&history, &none, now).len();
        println!(
            "run {minute}: read {read:.1?}, judged {:.1?}, {news} news",
            began.elapsed()
        );
        history.drain(now);
        for client in &ids {
            let record = Record::new(route, *client, Endpoint::ChatCompletions, now, Micros(9));
            writer.record(&record);
        }
    }
    // An hour is over: all are learned again, a part each minute.
    let began = Instant::now();
    let now = at(END_S + 3600);
    while watch.step(&history, now).expect("rows") == Step::Behind {}
    println!("an hour later: read {:.1?}", began.elapsed());
    let began = Instant::now();
    watch.judge(&history, &none, now);
    println!("judged, with a part learned: {:.1?}", began.elapsed());
    let began = Instant::now();
    let families = watch.board().families();
    let samples: usize = families.iter().map(|family| family.samples.len()).sum();
    println!("families: {samples} samples in {:.1?}", began.elapsed());
    let kib = resident_kib().saturating_sub(before);
    println!(
        "memory: {} MB, {:.1} KiB a client",
        kib / 1024,
        kib as f64 / clients as f64
    );
    drop(history);
    let _best_effort = std::fs::remove_dir_all(&folder);
}
