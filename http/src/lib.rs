//! HTTP for coo-llm: the data plane that requests take, and the control plane beside it.
//!
//! It is: the wire formats ([`wire`]), the gateway that routes, forwards and meters
//! ([`gateway`]), and the endpoints for scrapers and operators ([`control`]). It is
//! not: how a number is stored, merged or rendered, nor what runs the threads.
//!
//! ```text
//!  worker (one a core, shares nothing)                 control thread
//!  client -> gateway::Gateway -> provider              axum Router
//!              |      \_ one Record -> core shard  ....> Meter::read -> exporters
//!              \_ not ours: control::Handover --------->/
//! ```
//!
//! ```
//! use coo_llm_core::Meter;
//! use coo_llm_http::gateway::Plan;
//!
//! let config = coo_llm_config::Config::builtin();
//! let plan = Plan::new(&config, &Meter::new(1000))?;
//! assert!(plan.hosts().is_empty(), "the built-in simulator needs no network");
//! # Ok::<(), coo_llm_http::gateway::PlanError>(())
//! ```

pub mod control;
pub mod gateway;
mod tls;
pub mod wire;

pub use tls::{Certificate, ServerTls, ServerTlsError, client_tls};
