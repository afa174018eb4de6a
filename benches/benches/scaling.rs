//! How long does one record take when two threads record at once?

use coo_llm_benches::backend::{Backend, Visit, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick::{self, PICKS, Pick};
use coo_llm_benches::set::S;
use coo_llm_benches::stats::median;
use coo_llm_benches::tally::Tally;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use crossbeam_utils::CachePadded;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Records in a batch.
const BATCH: usize = 2048;
/// Batches of each thread that must have overlapped with every other thread.
const OVERLAPPED_MIN: usize = 16;
/// Batches after which a machine that never runs the threads at once is given up.
const BATCHES_MAX: usize = 200_000;

/// What the threads of one run see of each other.
struct Crew {
    barrier: Barrier,
    /// Batches that each finished.
    finished: Vec<CachePadded<AtomicUsize>>,
    /// Threads that have what they need; the others go on until all have.
    satisfied: AtomicUsize,
}

impl Crew {
    fn new(threads: usize) -> Self {
        Self {
            barrier: Barrier::new(threads),
            finished: (0..threads).map(|_| CachePadded::default()).collect(),
            satisfied: AtomicUsize::new(0),
        }
    }

    /// Batches that the others finished.
    fn others(&self, me: usize) -> Vec<usize> {
        let others = self.finished.iter().enumerate().filter(|(at, _)| *at != me);
        others.map(|(_, n)| n.load(Ordering::Relaxed)).collect()
    }

    /// Nanoseconds a record: the median of the batches during which every other thread
    /// finished one too. On a busy machine the others are often not running, and then
    /// nothing contends; such batches say nothing.
    fn pace(&self, me: usize, batches: usize, mut batch: impl FnMut(usize)) -> f64 {
        self.barrier.wait();
        let (mut paces, mut at, mut is_satisfied) = (Vec::new(), 0, false);
        while self.satisfied.load(Ordering::Relaxed) < self.finished.len() {
            let before = self.others(me);
            let start = Instant::now();
            batch(at);
            let took = start.elapsed();
            at += 1;
            self.finished[me].store(at, Ordering::Relaxed);
            let overlapped = before
                .iter()
                .zip(self.others(me))
                .all(|(then, now)| now > *then);
            if overlapped {
                paces.push(took.as_secs_f64() * 1e9 / BATCH as f64);
            }
            assert!(
                at < BATCHES_MAX,
                "too busy a machine: threads do not run at once"
            );
            if !is_satisfied && at >= batches && paces.len() >= OVERLAPPED_MIN {
                is_satisfied = true;
                self.satisfied.fetch_add(1, Ordering::Relaxed);
            }
        }
        median(&paces)
    }
}

/// `records` at the pace of the slowest thread.
fn run<B: Backend>(backend: &B, picks: &[Pick], threads: usize, records: u64) -> Duration {
    let crew = Crew::new(threads);
    let batches = (records as usize).div_ceil(BATCH);
    let pace = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let crew = &crew;
                scope.spawn(move || {
                    let mut writer = backend.writer();
                    // Threads walk the same picks from different places.
                    let first = thread * PICKS / threads;
                    // Its own core: two threads on one would not contend at all.
                    let cores = core_affinity::get_core_ids().unwrap_or_default();
                    assert!(core_affinity::set_for_current(cores[thread]), "a core each");
                    crew.pace(thread, batches, |batch| {
                        let from = first + batch * BATCH;
                        for at in from..from + BATCH {
                            writer.record(black_box(&picks[at % PICKS]));
                        }
                    })
                })
            })
            .collect();
        let paces = running
            .into_iter()
            .map(|t| t.join().expect("no thread panics"));
        paces.fold(0.0, f64::max)
    });
    backend.upkeep();
    Duration::from_secs_f64(pace * records as f64 / 1e9)
}

/// Each of two threads records all picks once: exactly twice the sum of one.
fn check_two<B: Backend>(backend: &B, picks: &[Pick]) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut writer = backend.writer();
                picks.iter().for_each(|pick| writer.record(pick));
            });
        }
    });
    backend.upkeep();
    let twice: Vec<Pick> = picks.iter().chain(picks).copied().collect();
    assert!(
        backend.tally() == Tally::of(&S, &twice),
        "two threads lose counts"
    );
}

/// What every backend is timed in.
struct Timing<'a, 'b> {
    group: BenchmarkGroup<'a, WallTime>,
    picks: &'b [Pick],
}

impl Visit for Timing<'_, '_> {
    fn one<B: Backend>(&mut self, name: &str, make: impl Fn() -> B) {
        let picks = self.picks;
        check(&make(), &S, picks);
        check_two(&make(), picks);
        let backend = make();
        for threads in [1, 2] {
            let id = BenchmarkId::new(name, threads);
            self.group.bench_function(id, |bencher| {
                bencher.iter_custom(|records| run(&backend, picks, threads, records));
            });
        }
    }
}

fn scaling(criterion: &mut Criterion) {
    let picks = pick::zipf(&S);
    let mut group = criterion.benchmark_group("scaling/S");
    group
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(20);
    let mut timing = Timing {
        group,
        picks: &picks,
    };
    timing.one("ours, ids", || Ours::new(&S, By::Id));
    #[cfg(feature = "peers")]
    coo_llm_benches::peers::by_handle(&S, &mut timing);
    timing.group.finish();
}

criterion_group!(benches, scaling);
criterion_main!(benches);
