//! The configuration of coo-llm: from YAML to typed values, or to every problem in the file.
//!
//! It is the one place that knows the schema. It does not apply anything: it opens
//! no socket and no file but the one it reads, and asks for environment variables
//! through a function that is handed in.
//!
//! ```text
//! text --> yaml (tree with places) --> sections (typed values, ${VAR} expanded)
//!                                         --> check (parts against each other)
//!                                         --> unsupported (what is not built yet)
//!                                         --> Config | Problems
//! ```
//!
//! Secrets are [`Secret`], which prints as a mask; the keys of clients are kept as
//! digests only. No message repeats a secret or what a variable held.
//!
//! ```
//! let text = "
//! llm_providers:
//!   - { id: local, type: custom, base_url: \"http://127.0.0.1:8000/v1\", api_keys: [\"${KEY}\"] }
//! server: { lisen: \"127.0.0.1:0\" }
//! ";
//! let problems = coo_llm_config::parse(text, &|_| Some("sk-1".into())).unwrap_err();
//! assert_eq!(problems.to_string(), "config:4:11: server.lisen: unknown key; did you mean `listen`?");
//! ```

mod address_range;
mod check;
mod client;
mod client_body;
mod client_health;
mod config;
mod dated_prices;
mod document;
mod expand;
mod ingest;
mod json;
mod logging;
mod metrics;
mod moment;
mod policy;
mod price_table;
mod problem;
mod provider;
mod reader;
mod scalar;
mod secret;
mod server;
mod storage;
mod unsupported;
mod yaml;

pub use address_range::AddressRange;
pub use client::{
    AllowedProviders, Budget, BudgetAction, BudgetPeriod, Client, IngestRight, Limits, OldKey,
};
pub use client_body::{ClientBody, RotateBody};
pub use client_health::{ClientHealth, Sensitivity};
pub use config::{Alias, Config};
pub use dated_prices::DatedPrices;
pub use document::Document;
pub use ingest::Ingest;
pub use logging::{LogFile, LogLevel, Logging, Prometheus};
pub use metrics::Metrics;
pub use moment::moment;
pub use policy::{Algorithm, CircuitBreaker, Fallback, KeyCooldown, Policy, Retry};
pub use price_table::{
    Found, PRICE_FILE_BYTES_MAX, PriceFault, PriceTable, PriceTableError, Unpriced,
};
pub use problem::{Place, Problem, Problems};
pub use provider::{Model, Provider, ProviderType, Simulator, Timeouts};
pub use secret::{KeyDigest, MASK, Secret};
pub use server::{
    Audit, Cors, Driver, MetricsAuth, Role, Runtime, Server, ServerLimits, Tls, User, WebUi,
    Workers,
};
pub use storage::{
    History, InfluxSink, PostgresSink, RedisRetention, RedisSink, Retention, Sink, Spool, Storage,
};

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The largest file that is read: a thousand times the example, and nothing next to memory.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reads a file, with variables from the environment of this process.
///
/// # Errors
/// Every problem of the file, or that it cannot be read.
pub fn load(path: &Path) -> Result<Config, Problems> {
    Document::load(path).map(|document| document.config)
}

/// Reads a text, with variables from `env`. Problems call the file `config`.
///
/// # Errors
/// Every problem of the text.
pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    Document::read("config", text, env).map(|document| document.config)
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => Err(format!(
            "is larger than {FILE_BYTES_MAX} bytes; this is no configuration"
        )),
        Ok(_) => String::from_utf8(bytes).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            format!("line {} is not UTF-8; save the file as UTF-8", line + 1)
        }),
    }
}
