//! Keys for who brings none: random, shown once, never a fixed default.

use coo_llm_config::{AllowedProviders, Client, Config, IngestRight, Limits, Secret};
use std::fmt::Write as _;
use std::io;

/// Bytes of randomness in a key.
const KEY_BYTES: usize = 24;

/// What was made, to be shown once.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) admin: Option<Secret>,
    pub(crate) client: Option<Secret>,
}

/// A random key: `prefix` and 48 hexadecimal digits.
///
/// # Errors
/// The system has no randomness to give.
pub(crate) fn random(prefix: &str) -> io::Result<Secret> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let mut key = String::from(prefix);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _infallible = write!(key, "{byte:02x}");
    }
    Ok(Secret::new(key))
}

/// Adds a client with a random key.
///
/// # Errors
/// As [`random`].
pub(crate) fn add_client(config: &mut Config, id: &str) -> io::Result<Secret> {
    let key = random("sk-coo-")?;
    config.clients.push(Client {
        id: id.to_owned(),
        key: key.digest(),
        old_keys: Vec::new(),
        description: "made at start".to_owned(),
        allowed_providers: AllowedProviders::Any,
        ingest: IngestRight::Own,
        limits: Limits::default(),
        budget: None,
    });
    Ok(key)
}

/// Makes the admin key where there is none, and on the built-in defaults a client.
///
/// # Errors
/// As [`random`].
pub(crate) fn complete(config: &mut Config, is_builtin: bool) -> io::Result<Made> {
    let mut made = Made::default();
    if config.server.admin_api_key.is_none() {
        let key = random("coo-admin-")?;
        config.server.admin_api_key = Some(key.clone());
        made.admin = Some(key);
    }
    if is_builtin {
        made.client = Some(add_client(config, "demo")?);
    }
    Ok(made)
}
