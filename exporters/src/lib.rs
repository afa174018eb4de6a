//! Rendering of snapshots: what the meter counted, in the formats that others read.
//!
//! It is: pure functions from a [`Snapshot`](coo_llm_core::Snapshot) and its
//! catalogue to bytes. It is not: a server, a socket, a request.
//!
//! ```text
//! Snapshot + Catalog --.
//!                       +--> prometheus::Renderer --> text 0.0.4 | OpenMetrics 1.0 | protobuf
//! [Extra] (gauges) ----'
//! ```
//!
//! ```
//! use coo_llm_core::{Meter, UnixMillis};
//! use coo_llm_exporters::prometheus::{Format, Namespace, Renderer};
//!
//! let meter = Meter::new(100_000);
//! meter.catalog().route("openai", "gpt-4o", "openai-1f3a9c02");
//!
//! let mut renderer = Renderer::new(Namespace::default(), UnixMillis(1_700_000_000_123));
//! let mut page = Vec::new();
//! meter.read(|snapshot| {
//!     renderer.render(Format::Text, snapshot, meter.catalog(), &[], &mut page);
//! });
//! let page = String::from_utf8(page).expect("a page is UTF-8");
//! assert!(page.contains(
//!     r#"coo_llm_requests_total{provider="openai",model="gpt-4o",key="openai-1f3a9c02"} 0"#
//! ));
//! ```

pub mod decimal;
pub mod prometheus;
