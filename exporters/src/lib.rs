//! Rendering of snapshots: what the meter counted, in the formats that others read.
//!
//! It is: pure functions from a [`Snapshot`](coo_llm_core::Snapshot) and its
//! catalogue to bytes, and from the headers of a scrape to a format. It is not: a server, a
//! socket, a request.
//!
//! ```text
//! Snapshot + Catalog --.
//!                       +--> prometheus::Renderer --> text 0.0.4 | OpenMetrics 1.0 | protobuf
//! [Extra] (gauges) ----'
//!
//! Meter --> prometheus::MeterCollector --> your own prometheus::Registry    (feature `prometheus`)
//! ```
//!
//! # Record, snapshot, render
//!
//! ```
//! use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
//! use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
//! use coo_llm_exporters::prometheus::{Extra, Kind, Namespace, Renderer, Value, negotiation};
//!
//! let meter = Meter::new(100_000);
//! let route = meter.catalog().route("openai", "gpt-4o", "openai-1f3a9c02");
//! meter.writer().record(&Record {
//!     route,
//!     client: meter.catalog().client("client-123"),
//!     endpoint: Endpoint::ChatCompletions,
//!     request_id: Some("req_1"),
//!     finished: UnixMillis(1_700_000_000_500),
//!     latency: Micros(150_500),
//!     overhead: Some(Micros(40)),
//!     time_to_first_token: None,
//!     time_per_output_token: None,
//!     tokens: Tokens { input: 12, output: 34, ..Tokens::default() },
//!     usage: Some(UsageSource::Provider),
//!     cost: Some(NanoUsd(370_000)),
//!     error: None,
//!     limited: None,
//!     attempts: &[],
//! });
//!
//! // Kept from scrape to scrape, as is the buffer: then a page allocates little.
//! let mut renderer = Renderer::new(Namespace::default(), UnixMillis(1_700_000_000_000));
//! let mut page = Vec::new();
//!
//! // A scrape: its `Accept` header says the format, your own gauges come as extras.
//! let (format, content_type) = negotiation::format(["text/plain;version=0.0.4"]);
//! let up = Extra::new(Kind::Gauge, "provider_up", "Whether a provider answers.")
//!     .with(&[("provider", "openai")], Value::Count(1));
//! meter.read(|snapshot| {
//!     renderer.render(format, snapshot, meter.catalog(), &[up], &mut page);
//! });
//!
//! assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
//! let page = String::from_utf8(page).expect("a page of text is UTF-8");
//! for line in [
//!     r#"coo_llm_tokens_total{provider="openai",model="gpt-4o",key="openai-1f3a9c02",type="output"} 34"#,
//!     r#"coo_llm_cost_total{provider="openai",model="gpt-4o",key="openai-1f3a9c02"} 0.00037"#,
//!     r#"coo_llm_latency_seconds_sum{provider="openai",model="gpt-4o"} 0.1505"#,
//!     r#"coo_llm_provider_up{provider="openai"} 1"#,
//! ] {
//!     assert!(page.lines().any(|have| have == line), "{line}");
//! }
//! ```
//!
//! `cargo run -p coo-llm-exporters --example axum_gateway` is all of it in a small program: axum on
//! tokio's threads, a writer for each thread, one record a request even where the client leaves.
//! `docs/embedding.md` explains it.
//!
//! [`health`] is another reader of what was counted: from a client's history to what is unusual in it.
//!
//! A program that has a registry of the `prometheus` crate turns on the feature `prometheus` and
//! registers a `MeterCollector` with it.
//!
//! # Units
//!
//! Pages have seconds and USD, as Prometheus wants it. Both are written from integers, digit by
//! digit ([`decimal`]): a sum of a billion nano-USD is `1`, and none of them is lost in a float.
//! Protobuf and the `prometheus` crate know nothing but doubles, which are exact up to 2^53.
//!
//! # Errors
//!
//! Rendering cannot fail. [`Namespace::parse`](prometheus::Namespace::parse) refuses what makes no
//! metric name; label values may be any text, and are escaped. What is not known has no sample.
//!
//! # Costs
//!
//! About 20 ns a counter, on the thread that asks: 100,000 of them and 7,500 histogram lines took 2.1 ms
//! as text. Labels are rendered once and then copied. While a page is rendered inside
//! [`Meter::read`](coo_llm_core::Meter::read) other readers wait, writers do not. The conditions,
//! and peers beside it, are in `benches/RESULTS.md`; `examples/scrape_speed.rs` repeats the figure.

pub mod decimal;
pub mod health;
pub mod history;
pub mod prometheus;
pub mod reprice;
pub mod sinks;
pub mod watch;

/// The examples of these pages run as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../docs/embedding.md")]
    struct Embedding;
}
