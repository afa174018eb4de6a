//! How long does one record take on one thread?

use coo_llm_benches::backend::{Backend, Visit, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick::{self, PICKS, Pick};
use coo_llm_benches::set::{L, S, Set};
use coo_llm_benches::steady::steady;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

/// What every backend is timed in.
struct Timing<'a, 'b> {
    group: BenchmarkGroup<'a, WallTime>,
    set: &'b Set,
    picks: &'b [Pick],
}

impl Visit for Timing<'_, '_> {
    fn one<B: Backend>(&mut self, name: &str, make: impl Fn() -> B) {
        check(&make(), self.set, self.picks);
        let backend = make();
        let mut writer = backend.writer();
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|records| {
                let took = steady(records, |at| {
                    writer.record(black_box(&self.picks[at as usize % PICKS]));
                });
                backend.upkeep();
                took
            });
        });
    }
}

fn record(criterion: &mut Criterion) {
    for set in [&S, &L] {
        let picks = pick::zipf(set);
        let mut group = criterion.benchmark_group(format!("record/{}", set.name));
        group
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_millis(1500))
            .sample_size(20);
        let mut timing = Timing {
            group,
            set,
            picks: &picks,
        };
        for (name, by) in [
            ("ours, ids", By::Id),
            ("ours, labels", By::Label),
            ("ours, ids, as the gateway", By::IdWhole),
        ] {
            timing.one(name, || Ours::new(set, by));
        }
        #[cfg(feature = "peers")]
        {
            coo_llm_benches::peers::by_handle(set, &mut timing);
            coo_llm_benches::peers::by_label(set, &mut timing);
        }
        timing.group.finish();
    }
}

criterion_group!(benches, record);
criterion_main!(benches);
