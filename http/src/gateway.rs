//! The data plane: what happens to a request between a client and a provider.
//!
//! ```text
//! server (accept, connection) -> desk.answer
//!    paths: is it ours?             no -> control::Handover
//!    clients: who asks?             no -> 401
//!    plan: which provider, key?     no -> 404, 403
//!    ingest: lines of other gateways, one Record each
//!    limits: may this client?       no -> 429
//!    routing: another key or provider where one fails
//!    dialect: what that provider is sent, and how its answer is heard
//!    upstream: the pool, or the simulator
//!    relay: bytes pass, usage is read as they do
//!    settlement: one Record, one log line, whatever happened
//! ```
//! Everything here belongs to one worker and is shared with no other thread, but
//! for the [`Plan`], in which only the news of keys and providers changes, a word at a time, and the
//! [`PriceBook`], which is swapped whole. There is no lock on this path.

mod desk;
mod dialect;
mod error;
mod headers;
pub mod ingest;
mod limits;
mod models;
mod paths;
mod plan;
mod price_book;
mod relay;
mod reply;
mod request_line;
mod routing;
mod server;
mod settlement;
mod setup;
mod simulated;
mod upstream;

pub(crate) use limits::Account;
pub use limits::{BudgetStanding, Ledgers, SpentBefore};
pub(crate) use plan::Reach;
pub use plan::{KeyHealth, Plan, PlanError, ProviderHealth};
pub use price_book::PriceBook;
pub use request_line::{RequestLine, RequestLog};
pub use server::{Gateway, GatewayCounters, Heartbeats};
pub use setup::{Setup, Setups};
pub use upstream::AddressBook;
