//! How long does one record take on one thread?

use coo_llm_benches::backend::{Backend, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick::{self, PICKS, Pick};
use coo_llm_benches::set::{L, S, Set};
use coo_llm_benches::steady::steady;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

fn one<B: Backend>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    set: &Set,
    picks: &[Pick],
    make: impl Fn() -> B,
) {
    check(&make(), set, picks);
    let backend = make();
    let mut writer = backend.writer();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|records| {
            let took = steady(records, |at| {
                writer.record(black_box(&picks[at as usize % PICKS]));
            });
            backend.upkeep();
            took
        });
    });
}

fn record(criterion: &mut Criterion) {
    for set in [&S, &L] {
        let picks = pick::zipf(set);
        let mut group = criterion.benchmark_group(format!("record/{}", set.name));
        group
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_millis(1500))
            .sample_size(20);
        for (name, by) in [
            ("ours, ids", By::Id),
            ("ours, labels", By::Label),
            ("ours, ids, as the gateway", By::IdWhole),
        ] {
            one(&mut group, name, set, &picks, || Ours::new(set, by));
        }
        #[cfg(feature = "peers")]
        peers(&mut group, set, &picks);
        group.finish();
    }
}

#[cfg(feature = "peers")]
fn peers(group: &mut BenchmarkGroup<'_, WallTime>, set: &Set, picks: &[Pick]) {
    use coo_llm_benches::peers::metrics::Metrics;
    use coo_llm_benches::peers::prometheus::Prometheus;
    use coo_llm_benches::peers::prometheus_client::PrometheusClient;
    one(group, "prometheus, handles", set, picks, || {
        Prometheus::<false>::new(set)
    });
    one(group, "prometheus, labels", set, picks, || {
        Prometheus::<true>::new(set)
    });
    one(group, "prometheus-client, handles", set, picks, || {
        PrometheusClient::new(set)
    });
    one(group, "metrics, handles", set, picks, || Metrics::new(set));
}

criterion_group!(benches, record);
criterion_main!(benches);
