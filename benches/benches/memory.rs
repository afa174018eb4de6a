//! How many bytes does a series take, and what does one more shard cost?
//!
//! No criterion: bytes do not vary. A counting global allocator says what is held.
#![expect(clippy::print_stdout, reason = "a bench prints its results")]

use coo_llm_benches::backend::{Backend, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick::{self, Pick};
use coo_llm_benches::set::{L, Set};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// As many routes as L and no other change, but a histogram for each route but few.
const MANY_MODELS: Set = Set {
    name: "L, a model a route",
    providers: 20,
    models: 500,
    keys: 1,
    clients: 10_000,
};

/// Bytes that are held now.
fn held() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

/// What the bench's own wrapper holds of a set: names and ids, which are not the meter's.
fn wrapper(set: &Set) -> i64 {
    let before = held();
    let routes: Vec<_> = (0..set.routes()).map(|at| set.route_names(at)).collect();
    let clients: Vec<_> = (0..set.clients).map(|at| set.client_name(at)).collect();
    let names = held() - before;
    let ids = routes.len() * size_of::<coo_llm_core::catalog::Route>()
        + clients.len() * size_of::<coo_llm_core::catalog::ClientId>();
    names + ids as i64
}

/// Bytes of our meter after every shard touched every series.
struct Used {
    catalog: i64,
    shards: i64,
    reader: i64,
}

impl Used {
    fn all(&self) -> i64 {
        self.catalog + self.shards + self.reader
    }
}

fn ours(set: &Set, picks: &[Pick], shards: usize, reads: usize) -> Used {
    let wrapper = wrapper(set);
    let before = held();
    let ours = Ours::new(set, By::Id);
    let catalog = held() - before - wrapper;
    let before = held();
    let mut writers: Vec<_> = (0..shards).map(|_| ours.writer()).collect();
    let mut reader = 0;
    for round in 0..=reads {
        for writer in &mut writers {
            picks.iter().for_each(|pick| writer.record(pick));
        }
        if round < reads {
            let before = held();
            let sent = (picks.len() * shards * (round + 1)) as u64;
            let seen = ours.meter.read(coo_llm_core::Snapshot::total);
            assert_eq!(seen.requests, sent, "records are lost");
            reader += held() - before;
        }
    }
    let shards = held() - before - reader;
    Used {
        catalog,
        shards,
        reader,
    }
}

fn print(what: &str, bytes: i64, series: usize) {
    println!(
        "{what:64} {:8.1} B  ({bytes} B / {series})",
        bytes as f64 / series as f64
    );
}

fn main() {
    // Each route is touched with four latencies, each client with four records.
    let picks = pick::cover(&L, 4);
    check(&Ours::new(&L, By::Id), &L, &picks);
    let series = L.counter_series() + L.histogram_series();
    for (reads, when) in [
        (0, "before a read"),
        (3, "after three reads, both buffers in use"),
    ] {
        for shards in [1, 2, 3] {
            let used = ours(&L, &picks, shards, reads);
            let what = format!("L, {shards} shards, {when}: a series");
            print(&what, used.all(), series);
            println!(
                "    catalogue {} B, shards {} B, snapshots {} B",
                used.catalog, used.shards, used.reader
            );
        }
        let [two, three] = [2, 3].map(|n| ours(&L, &picks, n, reads).all());
        print(
            "  one further shard, every series touched in it",
            three - two,
            series,
        );
        let few = &picks[..picks.len() / 100];
        let cold = ours(&L, few, 3, reads).all() - ours(&L, few, 2, reads).all();
        print(
            "  one further shard, 1 % of the series touched",
            cold,
            series,
        );
        // The same counters with 200 histograms and with 10,000.
        let more = pick::cover(&MANY_MODELS, 4);
        let many = ours(&MANY_MODELS, &more, 2, reads).all();
        let histograms = MANY_MODELS.histogram_series() - L.histogram_series();
        print(
            "  a histogram of four values, 2 shards",
            many - two,
            histograms,
        );
        let per_histogram = (many - two) as f64 / histograms as f64;
        let counters = two - (per_histogram * L.histogram_series() as f64) as i64;
        print("  a counter series, 2 shards", counters, L.counter_series());
    }
    #[cfg(feature = "peers")]
    coo_llm_benches::peers::by_handle(&L, &mut Held { picks, series });
}

/// Prints what a peer holds.
#[cfg(feature = "peers")]
struct Held {
    picks: Vec<Pick>,
    series: usize,
}

#[cfg(feature = "peers")]
impl coo_llm_benches::backend::Visit for Held {
    fn one<B: Backend>(&mut self, name: &str, make: impl Fn() -> B) {
        check(&make(), &L, &self.picks);
        let before = held();
        let backend = make();
        let mut writer = backend.writer();
        self.picks.iter().for_each(|pick| writer.record(pick));
        backend.upkeep();
        print(
            &format!("L, {name}, with what it resolved: a series"),
            held() - before,
            self.series,
        );
    }
}
