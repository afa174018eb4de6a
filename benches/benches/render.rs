//! How long does a page take to render, counters apart from histograms?

use coo_llm_benches::backend::{Backend, Visit, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick;
use coo_llm_benches::set::Set;
use coo_llm_exporters::prometheus::{Format, Namespace, Renderer};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use std::time::Duration;

/// Clients almost alone: about 100,000 counter series, 3 histograms of the standard work.
const COUNTERS: Set = Set {
    name: "counters",
    providers: 1,
    models: 1,
    keys: 1,
    clients: 33_330,
};

/// 6,000 models, a route each.
const HISTOGRAMS: Set = Set {
    name: "histograms",
    providers: 60,
    models: 100,
    keys: 1,
    clients: 1,
};

/// Sample lines of a page: (histograms, series of counters and gauges).
fn lines(page: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(page);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let of_histogram = |line: &str| {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        name.ends_with("_bucket") || name.ends_with("_sum") || name.ends_with("_count")
    };
    let (of, others): (Vec<&str>, Vec<&str>) = samples.partition(|line| of_histogram(line));
    let histograms = of.iter().filter(|line| line.contains("_count")).count();
    (histograms, others.len())
}

/// What every backend is timed in.
struct Timing<'a, 'b> {
    group: BenchmarkGroup<'a, WallTime>,
    set: &'b Set,
}

impl Visit for Timing<'_, '_> {
    fn one<B: Backend>(&mut self, name: &str, make: impl Fn() -> B) {
        let backend = make();
        let picks = pick::cover(self.set, 1);
        check(&backend, self.set, &picks);
        let mut page = Vec::new();
        backend.scrape(&mut page);
        let (histograms, others) = lines(&page);
        let bytes = page.len();
        let label = format!("{name}: {histograms} histograms, {others} others, {bytes} bytes");
        self.group.bench_function(label, |bencher| {
            bencher.iter(|| backend.scrape(&mut page));
        });
    }
}

fn render(criterion: &mut Criterion) {
    for set in [&COUNTERS, &HISTOGRAMS] {
        let mut group = criterion.benchmark_group(format!("render/{}", set.name));
        group
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_millis(2500))
            .sample_size(15);
        let mut timing = Timing { group, set };
        timing.one("ours, merge and render", || Ours::new(set, By::Id));
        render_alone(&mut timing.group, set);
        #[cfg(feature = "peers")]
        coo_llm_benches::peers::by_handle(set, &mut timing);
        timing.group.finish();
    }
}

/// Ours without the merge: a snapshot is rendered.
fn render_alone(group: &mut BenchmarkGroup<'_, WallTime>, set: &Set) {
    let ours = Ours::new(set, By::Id);
    // Not the cold page: peers render every series, so ours has a record in each too.
    let mut writer = ours.writer();
    pick::cover(set, 1)
        .iter()
        .for_each(|pick| writer.record(pick));
    let snapshot = ours.meter.snapshot();
    let mut renderer = Renderer::new(Namespace::default(), coo_llm_core::UnixMillis(0));
    let mut page = Vec::new();
    group.bench_function("ours, render a snapshot", |bencher| {
        bencher.iter(|| {
            renderer.render(
                Format::Text,
                &snapshot,
                ours.meter.catalog(),
                &[],
                &mut page,
            );
        });
    });
}

criterion_group!(benches, render);
criterion_main!(benches);
