//! The metering core of coo-llm: what a request used, counted once, at a price
//! nobody can measure.
//!
//! It is: records, the counters and histograms that they go into, the merge of
//! those, and exact prices. It is not: I/O, async, threads, a clock, or any
//! format. Time is an argument.
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
//! ```
//! use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
//! use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
//!
//! let meter = Meter::new(100_000);
//! let route = meter.catalog().route("openai", "gpt-4o", "openai-1f3a9c02");
//! let client = meter.catalog().client("client-123");
//!
//! let mut writer = meter.writer(); // one a thread
//! writer.record(&Record {
//!     route,
//!     client,
//!     endpoint: Endpoint::ChatCompletions,
//!     request_id: Some("req_1"),
//!     finished: UnixMillis(1_700_000_000_000),
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
//! let snapshot = meter.snapshot();
//! assert_eq!(snapshot.client(client).tokens.total(), 46);
//! assert_eq!(snapshot.route(route.id).cost, NanoUsd(370_000));
//! ```

mod chunks;
mod columns;
mod flip;
mod sync;
mod touched;

pub mod catalog;
pub mod exemplar;
pub mod histogram;
pub mod histograms;
pub mod meter;
pub mod names;
pub mod price;
pub mod record;
pub mod shard;
pub mod snapshot;
pub mod units;

pub use catalog::Catalog;
pub use meter::Meter;
pub use record::Record;
pub use shard::ShardWriter;
pub use snapshot::Snapshot;
pub use units::{Micros, NanoUsd, UnixMillis};
