//! What the end-to-end tests are made of: an upstream with an exact ledger, a
//! slow and obvious meter, a strict reader of the Prometheus text format, and
//! launchers of real processes.
//!
//! ```text
//!   client ----------> gateway (a real process) ----------> upstream
//!     | what was sent      | /metrics                          | ledger
//!     v                    v                                   v
//!   oracle ----------> equal? <------ exposition         equal? <--- oracle
//! ```
//!
//! It is not a mock framework: everything runs over real sockets, and nothing
//! here uses a crate of the gateway, so a shared mistake cannot cancel out.
//!
//! ```
//! use coo_llm_tests::{client::Client, upstream::Upstream};
//!
//! let upstream = Upstream::builder().start();
//! let mut client = Client::connect(upstream.addr());
//! let reply = client.post("/v1/chat/completions", "key-1", br#"{"model":"m"}"#);
//! assert_eq!(reply.status, 200);
//! assert_eq!(upstream.ledger().served.len(), 1);
//! ```

pub mod authority;
pub mod client;
pub mod exposition;
pub mod gateway;
pub mod influx;
pub mod mixed_load;
pub mod oracle;
pub mod patience;
pub mod postgres;
pub mod prometheus;
pub mod python;
pub mod redis;
pub mod resident;
pub mod rig;
pub mod twice;
pub mod upstream;
