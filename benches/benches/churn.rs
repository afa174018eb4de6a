//! How long does the worst record wait while a scraper loops and series appear?
//!
//! No criterion: the question is about the worst of all records, not about a mean. The
//! scheduler's own interruptions are in every figure, so each run is paired with one without
//! the scraper, and the least maximum of several runs is the one to trust.
#![expect(clippy::print_stdout, reason = "a bench prints its results")]

use coo_llm_benches::backend::{Backend, Visit, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick::{self, PICKS, Pick};
use coo_llm_benches::set::L;
use coo_llm_benches::stats::{median, quantile};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const RECORDS: usize = 200_000;
const NEW_EVERY: usize = 500;
const RUNS: usize = 5;

/// Nanoseconds of each record, and how many scrapes there were meanwhile.
fn run<B: Backend>(backend: &B, picks: &[Pick], number: usize, scrapes: bool) -> (Vec<f64>, u64) {
    let stop = AtomicBool::new(false);
    let started = AtomicBool::new(!scrapes);
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let (mut page, mut count) = (Vec::new(), 0);
            while scrapes && !stop.load(Ordering::Relaxed) {
                backend.scrape(&mut page);
                started.store(true, Ordering::Relaxed);
                count += 1;
            }
            count
        });
        while !started.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let mut writer = backend.writer();
        let names: Vec<_> = (0..RECORDS / NEW_EVERY)
            .map(|at| format!("new-{number}-{at}"))
            .collect();
        let mut took = Vec::with_capacity(RECORDS);
        for at in 0..RECORDS {
            let pick = &picks[at % PICKS];
            let start = Instant::now();
            if at % NEW_EVERY == NEW_EVERY - 1 {
                writer.record_new_client(pick, &names[at / NEW_EVERY]);
            } else {
                writer.record(pick);
            }
            took.push(start.elapsed().as_nanos() as f64);
        }
        stop.store(true, Ordering::Relaxed);
        backend.upkeep();
        (took, scraper.join().expect("the scraper does not panic"))
    })
}

/// Prints two lines a backend.
struct Stalls;

impl Visit for Stalls {
    fn one<B: Backend>(&mut self, name: &str, make: impl Fn() -> B) {
        let picks = pick::zipf(&L);
        check(&make(), &L, &picks);
        let backend = make();
        for scrapes in [false, true] {
            let (mut p50, mut p99, mut p9999, mut max) = (vec![], vec![], vec![], vec![]);
            let (mut total, mut count) = (vec![], 0);
            for number in 0..RUNS {
                let (took, scraped) = run(
                    &backend,
                    &picks,
                    number + RUNS * usize::from(scrapes),
                    scrapes,
                );
                p50.push(quantile(&took, 0.5));
                p99.push(quantile(&took, 0.99));
                p9999.push(quantile(&took, 0.9999));
                max.push(quantile(&took, 1.0) / 1e3);
                total.push(took.iter().sum::<f64>() / 1e6);
                count += scraped;
            }
            println!(
                "{name:35} {:15} p50 {:4.0} ns  p99 {:5.0} ns  p99.99 {:8.0} ns  max us: least {:8.0} median {:8.0} most {:8.0}  all {:6.0} ms  scrapes {count}",
                if scrapes {
                    "with scraper"
                } else {
                    "without scraper"
                },
                median(&p50),
                median(&p99),
                median(&p9999),
                quantile(&max, 0.0),
                median(&max),
                quantile(&max, 1.0),
                median(&total),
            );
        }
    }
}

fn main() {
    println!("{RECORDS} records a run on L, a new client every {NEW_EVERY}, {RUNS} runs");
    Stalls.one("ours", || Ours::new(&L, By::Id));
    #[cfg(feature = "peers")]
    coo_llm_benches::peers::by_handle(&L, &mut Stalls);
}
