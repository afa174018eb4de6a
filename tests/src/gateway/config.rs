//! A configuration file, written as an operator would write it.

use super::runs_on;
use crate::authority::Leaf;
use std::fmt::Write as _;

/// The admin key of every test gateway.
pub const ADMIN_KEY: &str = "admin-key-of-the-tests-0123456789";

/// A `policy` with which each request is one attempt, whatever came of those before.
pub const ONE_ATTEMPT: &str = "{ retry: { max_attempts: 1 }, key_cooldown: { enabled: false }, \
     circuit_breaker: { enabled: false } }";

/// The certificate's file, in the gateway's folder.
pub const TLS_CERT: &str = "cert.pem";
/// The key's file, there too.
pub const TLS_KEY: &str = "key.pem";
/// The authority's, for clients.
pub const TLS_CA: &str = "ca.pem";

/// Prices in USD per million tokens, as decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// For input.
    pub input: &'static str,
    /// For output.
    pub output: &'static str,
    /// For cached input; without it cached input costs `input`.
    pub cached_input: Option<&'static str>,
}

/// A provider, of type `custom` unless it is said otherwise.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its base URL, with `/v1`.
    pub base_url: String,
    /// Its keys.
    pub keys: Vec<String>,
    /// The models it lists and their prices.
    pub models: Vec<(String, Option<Pricing>)>,
    /// Further lines of the provider's mapping, without indentation.
    pub more: Vec<String>,
}

impl Provider {
    /// A provider with one key and one priced model.
    #[must_use]
    pub fn new(id: &str, base_url: &str, key: &str, model: &str, pricing: Pricing) -> Self {
        Self {
            id: id.to_owned(),
            kind: "custom".to_owned(),
            base_url: base_url.to_owned(),
            keys: vec![key.to_owned()],
            models: vec![(model.to_owned(), Some(pricing))],
            more: Vec::new(),
        }
    }

    /// Makes it one of another type.
    #[must_use]
    pub fn of_type(mut self, kind: &str) -> Self {
        self.kind = kind.to_owned();
        self
    }

    /// Adds a model.
    #[must_use]
    pub fn model(mut self, id: &str, pricing: Option<Pricing>) -> Self {
        self.models.push((id.to_owned(), pricing));
        self
    }

    /// Adds a key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.keys.push(key.to_owned());
        self
    }

    /// Adds a line to its mapping, such as `timeouts: { first_byte: 1s }`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.more.push(line.to_owned());
        self
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "  - id: {}\n    type: {}", self.id, self.kind)?;
        writeln!(out, "    base_url: \"{}\"", self.base_url)?;
        let keys: Vec<String> = self.keys.iter().map(|k| format!("\"{k}\"")).collect();
        writeln!(out, "    api_keys: [{}]", keys.join(", "))?;
        if !self.models.is_empty() {
            writeln!(out, "    models:")?;
        }
        for (id, pricing) in &self.models {
            writeln!(out, "      - id: {id}")?;
            let Some(pricing) = pricing else { continue };
            writeln!(out, "        pricing:")?;
            writeln!(out, "          input_per_million: {}", pricing.input)?;
            writeln!(out, "          output_per_million: {}", pricing.output)?;
            if let Some(cached) = pricing.cached_input {
                writeln!(out, "          cached_input_per_million: {cached}")?;
            }
        }
        for line in &self.more {
            writeln!(out, "    {line}")?;
        }
        Ok(())
    }
}

/// A client of the gateway.
#[derive(Clone, Debug)]
pub struct ClientKey {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
    /// Ids of the providers it may use, or `*`.
    pub allowed_providers: Vec<String>,
    /// Further lines of the client's mapping, without indentation.
    pub more: Vec<String>,
}

impl ClientKey {
    /// A client that may use every provider.
    #[must_use]
    pub fn new(id: &str, key: &str) -> Self {
        Self::limited_to(id, key, &["*"])
    }

    /// A client that may use some providers.
    #[must_use]
    pub fn limited_to(id: &str, key: &str, providers: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            key: key.to_owned(),
            allowed_providers: providers.iter().map(ToString::to_string).collect(),
            more: Vec::new(),
        }
    }

    /// Adds a line to its mapping, such as `limits: { req_per_min: 2 }`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.more.push(line.to_owned());
        self
    }
}

/// A whole file. The ports are the launcher's to fill in.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The providers.
    pub providers: Vec<Provider>,
    /// The clients.
    pub clients: Vec<ClientKey>,
    /// `server.workers`; `None` leaves it to the gateway.
    pub workers: Option<u32>,
    /// Whether the control plane has a listener of its own.
    pub own_admin_listener: bool,
    /// The `policy` mapping in flow style; `None` leaves it to the gateway.
    pub policy: Option<String>,
    /// TLS of the listeners: the certificate, and the authority that clients trust, as PEM.
    pub tls: Option<(Leaf, String)>,
    /// Further lines of the `server` mapping, without indentation.
    pub server: Vec<String>,
    /// Further lines at the top level.
    pub top: Vec<String>,
}

impl Config {
    /// The YAML text, for these ports of loopback.
    ///
    /// # Panics
    /// Never: writing to a `String` does not fail.
    #[must_use]
    pub fn yaml(&self, port: u16, admin_port: u16) -> String {
        let mut out = String::new();
        self.write(&mut out, port, admin_port)
            .expect("writing to a String cannot fail");
        out
    }

    fn write(&self, out: &mut String, port: u16, admin_port: u16) -> std::fmt::Result {
        writeln!(
            out,
            "version: \"1.0\"\nserver:\n  listen: \"127.0.0.1:{port}\""
        )?;
        if self.own_admin_listener {
            writeln!(out, "  admin_listen: \"127.0.0.1:{admin_port}\"")?;
        }
        writeln!(out, "  admin_api_key: \"{ADMIN_KEY}\"")?;
        if let Some(workers) = self.workers {
            writeln!(out, "  workers: {workers}")?;
        }
        if self.tls.is_some() {
            writeln!(out, "  tls: {{ cert: {TLS_CERT}, key: {TLS_KEY} }}")?;
        }
        for line in &self.server {
            writeln!(out, "  {line}")?;
        }
        if let Some(pair) = runs_on() {
            let (runtime, driver) = (pair.runtime, pair.driver);
            writeln!(out, "  runtime: {runtime}\n  driver: {driver}")?;
        }
        writeln!(out, "logging:\n  level: info\n  file: {{ enabled: false }}")?;
        if !self.providers.is_empty() {
            writeln!(out, "llm_providers:")?;
        }
        for provider in &self.providers {
            provider.write(out)?;
        }
        if !self.clients.is_empty() {
            writeln!(out, "api_keys:")?;
        }
        for client in &self.clients {
            let providers: Vec<String> = client
                .allowed_providers
                .iter()
                .map(|id| format!("\"{id}\""))
                .collect();
            writeln!(out, "  - id: {}\n    key: \"{}\"", client.id, client.key)?;
            writeln!(out, "    allowed_providers: [{}]", providers.join(", "))?;
            for line in &client.more {
                writeln!(out, "    {line}")?;
            }
        }
        if let Some(policy) = &self.policy {
            writeln!(out, "policy: {policy}")?;
        }
        for line in &self.top {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}
