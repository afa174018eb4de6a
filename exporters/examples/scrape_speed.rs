//! How long does a page of 100,000 counters take? `cargo run --release --example scrape_speed`,
//! and with `--features prometheus` through that crate's registry, too.
#![expect(clippy::print_stdout, reason = "the figure is the purpose")]

use coo_llm_core::record::{Attempt, Endpoint, Outcome, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
use coo_llm_exporters::prometheus::{Format, Namespace, Renderer};
use std::time::{Duration, Instant};

const ROUNDS: usize = 31;

fn main() {
    let meter = Meter::new(1_000_000);
    let catalog = meter.catalog();
    let clients: Vec<_> = (0..7_150)
        .map(|n| catalog.client(&format!("client-{n}")))
        .collect();
    let mut writer = meter.writer();
    for n in 0..10_000u64 {
        let model = format!("gpt-4o-2024-{}", n / 100);
        let route = catalog.route("openai", &model, &format!("openai-{:08x}", n % 100));
        writer.record(&Record {
            route,
            client: clients[n as usize % clients.len()],
            endpoint: Endpoint::ChatCompletions,
            request_id: None,
            finished: UnixMillis(1_700_000_000_000),
            latency: Micros(1_000 * n),
            overhead: Some(Micros(n % 100)),
            time_to_first_token: Some(Micros(n)),
            time_per_output_token: None,
            tokens: Tokens {
                input: 1_000 + n,
                output: 77 * n,
                ..Tokens::default()
            },
            usage: Some(UsageSource::Provider),
            cost: Some(NanoUsd(370_000 + 7_919 * n)),
            error: None,
            limited: None,
            attempts: &[Attempt {
                route,
                outcome: Outcome::Success,
                latency: Micros(1_000 * n),
                limited: None,
            }],
        });
    }
    let snapshot = meter.snapshot();
    let mut renderer = Renderer::new(Namespace::default(), UnixMillis(1_700_000_000_123));
    let mut page = Vec::new();
    renderer.render(Format::Text, &snapshot, catalog, &[], &mut page);
    let lines = page.split(|byte| *byte == b'\n');
    let (histograms, counters) = lines
        .filter(|line| !line.is_empty() && line[0] != b'#')
        .partition::<Vec<_>, _>(|line| line.windows(8).any(|part| part == b"_seconds"));
    println!(
        "{} counters and {} histogram lines",
        counters.len(),
        histograms.len()
    );
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        let mut times = [Duration::ZERO; ROUNDS];
        for time in &mut times {
            let began = Instant::now();
            renderer.render(format, &snapshot, catalog, &[], &mut page);
            *time = began.elapsed();
        }
        let first = times[0];
        times.sort_unstable();
        println!(
            "{format:?}: {} bytes: first {first:?}, median {:?}, least {:?}",
            page.len(),
            times[ROUNDS / 2],
            times[0],
        );
    }
    #[cfg(feature = "prometheus")]
    through_a_registry(&meter);
    let began = Instant::now();
    let sum = meter.read(|snapshot| snapshot.total().requests);
    println!("merge alone: {:?} ({sum} requests)", began.elapsed());
}

#[cfg(feature = "prometheus")]
fn through_a_registry(meter: &Meter) {
    use coo_llm_exporters::prometheus::MeterCollector;
    use prometheus::{Encoder, Registry, TextEncoder};
    let registry = Registry::new();
    let collector = MeterCollector::new(meter.clone(), Namespace::default());
    let registered = registry.register(Box::new(collector));
    registered.expect("an empty registry takes it");
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let families = registry.gather();
            let gathered = began.elapsed();
            let mut page = Vec::new();
            let encoded = TextEncoder::new().encode(&families, &mut page);
            encoded.expect("a Vec takes every write");
            (began.elapsed(), gathered, page.len())
        })
        .collect();
    times.sort_unstable();
    let (all, gathered, bytes) = times[ROUNDS / 2];
    println!("registry: {bytes} bytes: median {all:?}, of which it gathered for {gathered:?}");
}
