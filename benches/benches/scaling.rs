//! How long does one record take when two threads record at once?
#![expect(missing_docs, reason = "criterion's macros make public items")]

use coo_llm_benches::backend::{Backend, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick::{self, PICKS, Pick};
use coo_llm_benches::set::S;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The longest time of any thread for `records` each.
fn run<B: Backend>(backend: &B, picks: &[Pick], threads: usize, records: u64) -> Duration {
    let barrier = Barrier::new(threads);
    let took = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut writer = backend.writer();
                    // Threads walk the same picks from different places.
                    let first = thread * PICKS / threads;
                    barrier.wait();
                    let start = Instant::now();
                    for at in 0..records {
                        writer.record(black_box(&picks[(first + at as usize) % PICKS]));
                    }
                    start.elapsed()
                })
            })
            .collect();
        let ended = running
            .into_iter()
            .map(|t| t.join().expect("no thread panics"));
        ended.max().unwrap_or_default()
    });
    backend.upkeep();
    took
}

fn one<B: Backend>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    picks: &[Pick],
    make: impl Fn() -> B,
) {
    check(&make(), &S, picks);
    // Each thread walks all picks once: exactly twice the sum of one.
    let backend = make();
    run(&backend, picks, 2, PICKS as u64);
    let twice: Vec<Pick> = picks.iter().chain(picks).copied().collect();
    let expected = coo_llm_benches::tally::Tally::of(&S, &twice);
    assert!(
        backend.tally() == expected,
        "{name}: two threads lose counts"
    );
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new(name, threads), |bencher| {
            bencher.iter_custom(|records| run(&backend, picks, threads, records));
        });
    }
}

fn scaling(criterion: &mut Criterion) {
    let picks = pick::zipf(&S);
    let mut group = criterion.benchmark_group("scaling/S");
    group
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(20);
    one(&mut group, "ours, ids", &picks, || Ours::new(&S, By::Id));
    #[cfg(feature = "peers")]
    {
        use coo_llm_benches::peers::metrics::Metrics;
        use coo_llm_benches::peers::prometheus::Prometheus;
        use coo_llm_benches::peers::prometheus_client::PrometheusClient;
        one(&mut group, "prometheus, handles", &picks, || {
            Prometheus::<false>::new(&S)
        });
        one(&mut group, "prometheus-client, handles", &picks, || {
            PrometheusClient::new(&S)
        });
        one(&mut group, "metrics, handles", &picks, || Metrics::new(&S));
    }
    group.finish();
}

criterion_group!(benches, scaling);
criterion_main!(benches);
