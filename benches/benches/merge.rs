//! How long does a merge of many shards take?

use coo_llm_benches::backend::{Backend, Writer};
use coo_llm_benches::ours::{By, Ours, OursWriter};
use coo_llm_benches::pick;
use coo_llm_benches::set::Set;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// 100,000 counter series: 16,000 routes and 12,000 clients.
const SET: Set = Set {
    name: "100k",
    providers: 20,
    models: 10,
    keys: 80,
    clients: 12_000,
};

fn merge(criterion: &mut Criterion) {
    assert_eq!(SET.counter_series(), 100_000);
    let picks = pick::cover(&SET, 1);
    let mut group = criterion.benchmark_group("merge/100k series");
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10);
    for shards in [2, 16] {
        let ours = Ours::new(&SET, By::Id);
        let mut writers: Vec<_> = (0..shards).map(|_| ours.writer()).collect();
        let mut sent = 0;
        let mut measure = |name: &str, record: &mut dyn FnMut(&mut [OursWriter<'_>]) -> usize| {
            group.bench_function(BenchmarkId::new(name, shards), |bencher| {
                bencher.iter_custom(|times| {
                    let mut took = Duration::ZERO;
                    for _ in 0..times {
                        sent += record(&mut writers);
                        let start = Instant::now();
                        let seen = ours
                            .meter
                            .read(|snapshot| black_box(snapshot).total_latency());
                        took += start.elapsed();
                        assert_eq!(seen.whole().count(), sent as u64, "a merge loses records");
                    }
                    took
                });
            });
        };
        // The same traffic, however many workers there are.
        measure("every series touched in one shard", &mut |writers| {
            for (at, pick) in picks.iter().enumerate() {
                writers[at % shards].record(pick);
            }
            picks.len()
        });
        measure("every series touched in every shard", &mut |writers| {
            for writer in &mut *writers {
                picks.iter().for_each(|pick| writer.record(pick));
            }
            picks.len() * shards
        });
        measure("nothing touched", &mut |_| 0);
    }
    group.finish();
}

criterion_group!(benches, merge);
criterion_main!(benches);
