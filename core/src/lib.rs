//! The metering core of coo-llm: what a request used, counted once, at a price
//! nobody can measure.
//!
//! It is: records, the counters and histograms that they go into, the merge of
//! those, exact prices, limits and budgets. It is not: I/O, async, threads, a
//! clock, or any format. Time is an argument.
//!
//! ```text
//!  thread 1: Record -> ShardWriter --.
//!  thread 2: Record -> ShardWriter ---+--> Meter::read -> Snapshot -> render | since -> delta
//!  thread n: Record -> ShardWriter --'
//!                         ^
//!         Catalog: label values -> dense ids, once
//! ```
//!
//! A writer does plain loads and stores into memory that it alone writes, one
//! cache line for the route and one for the client; it never waits. A reader
//! gets whole records: requests, tokens, cost and latency move together.
//!
//! To show a snapshot to Prometheus there is `coo-llm-exporters`; how a gateway
//! on tokio's threads uses both is its example `axum_gateway`.
//!
//! # Record
//!
//! Label values become ids once, in the [`catalog`]; a request carries the ids. When it
//! is over, however it ended, it makes one [`Record`], and every output is made from that.
//!
//! ```
//! use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
//! use coo_llm_core::price::{PriceError, Prices, TokenPrice};
//! use coo_llm_core::record::{Attempt, Endpoint, Outcome, Record, Tokens, UsageSource};
//!
//! let meter = Meter::new(100_000); // label sets of each kind; what is over it is `other`
//! // The third label is a public id of the provider's key, never the key itself.
//! let route = meter.catalog().route("openai", "gpt-4o", "openai-1f3a9c02");
//! let client = meter.catalog().client("client-123");
//! let prices = Prices {
//!     input: TokenPrice::parse_usd_per_million("2.50")?,
//!     output: TokenPrice::parse_usd_per_million("10.00")?,
//!     ..Prices::default()
//! };
//!
//! let tokens = Tokens { input: 12, output: 34, ..Tokens::default() };
//! let attempt = Attempt {
//!     route,
//!     outcome: Outcome::Success,
//!     latency: Micros(150_460),
//!     limited: None,
//! };
//! let mut writer = meter.writer(); // one a thread
//! let (finished, latency) = (UnixMillis(1_700_000_000_000), Micros(150_500));
//! writer.record(&Record {
//!     request_id: Some("req_1"),
//!     overhead: Some(Micros(40)),
//!     tokens,
//!     usage: Some(UsageSource::Provider),
//!     cost: Some(prices.cost(&tokens)),
//!     attempts: &[attempt],
//!     ..Record::new(route, client, Endpoint::ChatCompletions, finished, latency)
//! });
//!
//! let snapshot = meter.snapshot();
//! assert_eq!(snapshot.client(client).tokens.total(), 46);
//! assert_eq!(snapshot.route(route.id).cost, NanoUsd(370_000)); // 0.00037 USD
//! # Ok::<(), PriceError>(())
//! ```
//!
//! Callers that have nothing but names use [`names::Names`], which remembers their ids on
//! one thread.
//!
//! # Read
//!
//! [`Meter::read`] merges the shards and lends the result; [`Meter::snapshot`] copies it.
//! Two snapshots make a delta, and merging that into the earlier one gives the later one.
//!
//! ```
//! # use coo_llm_core::record::{Endpoint, Record, Tokens};
//! # use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
//! # let meter = Meter::new(100);
//! # let route = meter.catalog().route("p", "m", "k");
//! # let client = meter.catalog().client("c");
//! # let mut writer = meter.writer();
//! # let mut record = |latency_us| writer.record(&Record::new(
//! #     route, client, Endpoint::ChatCompletions, UnixMillis(1), Micros(latency_us),
//! # ));
//! record(8_000);
//! let earlier = meter.snapshot();
//! record(20_000);
//! record(90_000);
//!
//! let delta = meter.snapshot().since(&earlier);
//! assert_eq!(delta.route(route.id).requests, 2);
//! let latency = delta.latency(route.model);
//! assert_eq!(latency.sum(), Micros(110_000)); // exact
//! let p99_us = latency.quantile(0.99).expect("there are values");
//! assert!((p99_us - 90_000.0).abs() < 90_000.0 / 32.0); // within a cell
//! assert_eq!(meter.read(|snapshot| snapshot.total().requests), 3);
//! ```
//!
//! # Units
//!
//! Integers with their unit in the type: [`NanoUsd`] (a billionth of a US dollar),
//! [`Micros`] (microseconds, rounded up, so that `value <= bound` stays exact), [`UnixMillis`],
//! and tokens as `u64` of [disjoint kinds](record::Tokens), so that their sum is right. A float
//! appears only where something is rendered. What is not known is `None` and never 0: a request
//! whose price is not known has no cost, and [`Totals::unpriced`](snapshot::Totals::unpriced)
//! counts it.
//!
//! # Errors
//!
//! Recording and reading cannot fail. Where a bound is met the number stays at its bound
//! ([`shard`]) or the label values become [`catalog::OTHER`], and
//! [`Catalog::overflow_count`] tells. What is read from text can fail:
//! [`price::PriceError`]. Mistakes of the program panic, each under `# Panics`.
//!
//! # Threads
//!
//! A [`ShardWriter`] is `Send`, not `Clone`, and wants `&mut`: one thread at a time. Give each
//! thread of a pool its own and record between two `.await`s. One that is dropped leaves its
//! totals and its shard to the next [`Meter::writer`]. That call may have to wait for a
//! reader; nothing else on the writer's side does. A request may begin on one thread and end on another:
//! [`ShardWriter::active`] adds up over all of them.
//!
//! # Costs
//!
//! A record is plain loads and stores, tens of nanoseconds at most where its rows are in cache,
//! and no more with other threads beside it: nothing is shared between writers. It allocates only where
//! a series is new to its shard. A record by names costs two look-ups more. A reader pays for what
//! happened since the last one, and a shard pays memory for what it touched.
//! `benches/RESULTS.md` has the figures with their conditions, the peers beside them, and the
//! bounds that were missed; `docs/adr/0003-counters.md` says how it works and what was given up.

mod barrier;
mod chunks;
mod columns;
mod flip;
mod latency_log;
mod octaves;
mod pairs;
mod sync;
mod table;

pub mod catalog;
pub mod crossing;
pub mod dated;
pub mod exemplar;
pub mod histogram;
pub mod histograms;
pub mod limiter;
pub mod meter;
pub mod names;
pub mod price;
pub mod record;
pub mod shard;
pub mod snapshot;
pub mod units;

pub use catalog::Catalog;
pub use crossing::Crossing;
pub use meter::Meter;
pub use record::Record;
pub use shard::ShardWriter;
pub use snapshot::Snapshot;
pub use units::{Micros, NanoUsd, UnixMillis};
