//! How many records of other gateways does a core take in a second?
//!
//! Each row does more than the one before: the bytes copied; the lines found; the lines
//! read by simd-json; read, priced and given their series; claimed and recorded too. The
//! rows of `serde_json` read the same lines into the same checked values, and do the rest
//! in the same way.
//!
//! `ingest --count WHAT PASSES` under callgrind does so many passes over the lines and nothing
//! else, `WHAT` being `read`, `taken-in`, `read-serde` or `taken-in-serde`: instructions a
//! record are the difference of two numbers of passes by that of their records.

use coo_llm_config::{Config, Ingest};
use coo_llm_core::catalog::ClientId;
use coo_llm_core::names::Names;
use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
use coo_llm_http::gateway::ingest::{Batch, Claim, Intake, Ledger};
use coo_llm_http::gateway::{Plan, PriceBook};
use coo_llm_http::wire::ingest::{Lines, Parser, Text};
use criterion::{Criterion, Throughput, criterion_group};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

const RECORDS: usize = 20_000;
/// What a read of a socket brings.
const PIECE_BYTES: usize = 64 * 1024;
const NOW: UnixMillis = UnixMillis(1_763_950_000_000);

const CONFIG: &str = r#"
llm_providers:
  - { id: openai, type: custom, base_url: "http://127.0.0.1:9/v1", api_keys: [k], pricing: { input_per_million: 2.50, output_per_million: 10.00 } }
api_keys:
  - { id: gateway, key: sk-bench-0123456789, ingest: any }
"#;

/// Lines of 229 bytes on the mean, 40 routes and 100 clients, a cost in three of four.
fn body() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut body = Vec::new();
    for n in 0..RECORDS {
        let cost = if n % 4 == 0 {
            String::new()
        } else {
            format!(",\"cost_usd\":0.{:08}", random.u32(1..10_000_000))
        };
        let line = format!(
            "{{\"id\":\"{:016x}-{n:05}\",\"time\":{},\"provider\":\"openai\",\"model\":\"gpt-4o-{}\",\"key_id\":\"openai-{}\",\"client_id\":\"client-{:03}\",\"status\":200,\"latency_ms\":{},\"prompt_tokens\":{},\"completion_tokens\":{}{cost}}}\n",
            random.u64(..),
            NOW.0 - random.u64(..60_000),
            random.u32(..10),
            random.u32(..4),
            random.u32(..100),
            random.u32(100..9_000),
            random.u32(10..9_000),
            random.u32(1..900),
        );
        body.extend_from_slice(line.as_bytes());
    }
    body
}

/// Gives each line of the body to `take`.
fn lines(body: &[u8], mut take: impl FnMut(&[u8])) {
    let mut lines = Lines::default();
    for mut piece in body.chunks(PIECE_BYTES) {
        while let Some((_, text)) = lines.next(&mut piece) {
            if let Text::Whole(text) = text {
                take(text);
            }
        }
    }
}

/// What the parser reads, as serde reads it.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    time: u64,
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    key_id: Cow<'a, str>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    status: u16,
    latency_ms: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cached_tokens: Option<u64>,
    /// Its text, because a double is no money.
    #[serde(borrow)]
    cost_usd: Option<&'a RawValue>,
    #[serde(borrow)]
    error_type: Option<Cow<'a, str>>,
}

impl Line<'_> {
    fn tokens(&self) -> Tokens {
        let cached_input = self.cached_tokens.unwrap_or(0);
        Tokens {
            input: self.prompt_tokens - cached_input,
            cached_input,
            output: self.completion_tokens,
            ..Tokens::default()
        }
    }

    /// Enough for the costs of this bench.
    fn cost(&self) -> Option<NanoUsd> {
        let digits = self.cost_usd?.get().strip_prefix("0.")?;
        let nano = digits.parse::<u64>().ok()?;
        Some(NanoUsd(nano * 10u64.pow(9 - digits.len() as u32)))
    }
}

fn ledger() -> Ledger {
    Ledger::new(&Ingest::default())
}

/// Takes the body in as a worker does, into ids that are all new.
fn take_in(
    body: &[u8],
    plan: (&Plan, &PriceBook),
    meter: &Meter,
    intake: &mut Intake,
    passes: u64,
) -> Duration {
    let mut writer = meter.writer();
    let mut took = Duration::ZERO;
    for _ in 0..passes {
        let ledger = ledger();
        let mut batch = Batch::default();
        let mut accepted = 0;
        let start = Instant::now();
        lines(body, |text| {
            let read = intake.read(plan, 0, text, NOW, &ledger, &mut batch);
            read.expect("each line is a record");
            if batch.is_full() {
                accepted += batch.settle(&ledger, &mut writer, start).accepted;
            }
        });
        accepted += batch.settle(&ledger, &mut writer, start).accepted;
        took += start.elapsed();
        assert_eq!(accepted, RECORDS as u64);
    }
    took
}

/// The same by `serde_json`.
fn take_in_serde(body: &[u8], meter: &Meter, names: &mut Names, passes: u64) -> Duration {
    let mut writer = meter.writer();
    let mut took = Duration::ZERO;
    for _ in 0..passes {
        let ledger = ledger();
        let mut accepted = 0;
        let start = Instant::now();
        lines(body, |text| {
            let line: Line<'_> = serde_json::from_slice(text).expect("each line is a record");
            let catalog = meter.catalog();
            let client: ClientId = names.client(catalog, &line.client_id);
            let route = names.route(catalog, &line.provider, &line.model, &line.key_id);
            let key = ledger.key(&line.client_id, &line.id);
            if ledger.claim(key, start) == Claim::New {
                accepted += 1;
                writer.record(&Record {
                    route,
                    client,
                    endpoint: Endpoint::Ingest,
                    request_id: None,
                    finished: UnixMillis(line.time),
                    latency: Micros(line.latency_ms * 1000),
                    overhead: None,
                    time_to_first_token: None,
                    time_per_output_token: None,
                    tokens: line.tokens(),
                    usage: Some(UsageSource::Provider),
                    cost: line.cost(),
                    error: None,
                    limited: None,
                    attempts: &[],
                });
            }
            black_box((line.status, line.error_type.is_some()));
        });
        took += start.elapsed();
        assert_eq!(accepted, RECORDS);
    }
    took
}

fn ingest(criterion: &mut Criterion) {
    let body = body();
    let mean = body.len() / RECORDS;
    assert!((220..=260).contains(&mean), "{mean} bytes a line");
    let config: Config = coo_llm_config::parse(CONFIG, &|_| None).expect("a configuration");
    let meter = Meter::new(100_000);
    let plan = Plan::new(&config, &meter).expect("a plan");
    let prices = PriceBook::new(&plan, None);

    let mut group = criterion.benchmark_group("ingest");
    group
        .throughput(Throughput::Elements(RECORDS as u64))
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(10);
    let mut copy = vec![0; body.len()];
    group.bench_function("copy the bytes", |bencher| {
        bencher.iter(|| copy.copy_from_slice(black_box(&body)));
    });
    group.bench_function("find the lines", |bencher| {
        bencher.iter(|| {
            let mut count = 0;
            lines(&body, |text| {
                count += usize::from(!black_box(text).is_empty());
            });
            assert_eq!(count, RECORDS);
        });
    });
    let mut parser = Parser::default();
    group.bench_function("read, simd-json", |bencher| {
        bencher.iter(|| {
            lines(&body, |text| {
                black_box(parser.parse(text)).expect("each line is a record");
            });
        });
    });
    group.bench_function("read, serde_json", |bencher| {
        bencher.iter(|| {
            lines(&body, |text| {
                let line: Line<'_> = serde_json::from_slice(text).expect("each is a record");
                black_box((line.tokens(), line.cost(), line));
            });
        });
    });
    let keys = ledger();
    let mut intake = Intake::default();
    group.bench_function("read, named and priced, simd-json", |bencher| {
        bencher.iter(|| {
            let mut batch = Batch::default();
            let mut in_batch = 0;
            lines(&body, |text| {
                let read = intake.read((&plan, &prices), 0, text, NOW, &keys, &mut batch);
                read.expect("each line is a record");
                in_batch += 1;
                if in_batch == Batch::RECORDS_MAX {
                    batch = Batch::default();
                    in_batch = 0;
                }
            });
        });
    });
    group.bench_function("taken in, simd-json", |bencher| {
        bencher.iter_custom(|passes| take_in(&body, (&plan, &prices), &meter, &mut intake, passes));
    });
    let mut names = Names::default();
    group.bench_function("taken in, serde_json", |bencher| {
        bencher.iter_custom(|passes| take_in_serde(&body, &meter, &mut names, passes));
    });
    group.finish();
}

criterion_group!(benches, ingest);

/// Passes for callgrind. Ids are new in each, as the ledger is.
fn count(what: &str, passes: u64) {
    let body = body();
    let config: Config = coo_llm_config::parse(CONFIG, &|_| None).expect("a configuration");
    let meter = Meter::new(100_000);
    let plan = Plan::new(&config, &meter).expect("a plan");
    let prices = PriceBook::new(&plan, None);
    match what {
        "read" => {
            let mut parser = Parser::default();
            for _ in 0..passes {
                lines(&body, |text| {
                    black_box(parser.parse(text)).expect("each line is a record");
                });
            }
        }
        "read-serde" => {
            for _ in 0..passes {
                lines(&body, |text| {
                    let line: Line<'_> = serde_json::from_slice(text).expect("each is a record");
                    black_box((line.tokens(), line.cost(), line));
                });
            }
        }
        "taken-in" => {
            let mut intake = Intake::default();
            take_in(&body, (&plan, &prices), &meter, &mut intake, passes);
        }
        "taken-in-serde" => {
            take_in_serde(&body, &meter, &mut Names::default(), passes);
        }
        _ => unreachable!("there is no {what} to count"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, what, passes] = &arguments[..]
        && flag == "--count"
    {
        return count(what, passes.parse().expect("a number of passes"));
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
