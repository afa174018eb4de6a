//! TLS: towards providers, and of the gateway's own listeners.

mod client;
mod server;

pub(crate) use client::client_config;
pub use client::client_tls;
pub use server::{Certificate, ServerTls, ServerTlsError};
