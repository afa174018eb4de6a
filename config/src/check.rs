//! What one value alone cannot tell: ids and keys that must differ, names that must exist.

use crate::client::AllowedProviders;
use crate::config::Config;
use crate::reader::{Reader, nearest};
use crate::secret::Secret;
use crate::server::{Driver, MetricsAuth, Runtime};
use std::collections::HashMap;

/// Reports every contradiction between the parts of `config`.
pub(crate) fn check(config: &Config, reader: &Reader<'_>) {
    listeners(config, reader);
    if config.server.runtime == Runtime::Tokio && config.server.driver == Driver::IoUring {
        reader.complain(
            "server.driver",
            "the tokio runtime waits with epoll only; write auto or epoll, or choose another runtime",
        );
    }
    if config.server.runtime == Runtime::Glommio {
        if !cfg!(feature = "glommio") {
            reader.complain(
                "server.runtime",
                "this build has no glommio; write auto, monoio or tokio, or build it with `--features glommio`",
            );
        } else if config.server.driver == Driver::Epoll {
            reader.complain(
                "server.driver",
                "the glommio runtime waits with io_uring only; write auto or io_uring, or choose another runtime",
            );
        }
    }
    if config.storage.history.is_none() && !config.storage.sinks.is_empty() {
        reader.complain(
            "storage.runtime",
            "rows go there from the history, which `storage.history.enabled: false` turns off; \
             turn it on, or remove `storage.runtime`",
        );
    }
    let ids = config.providers.iter().map(|provider| provider.id.as_str());
    unique("llm_providers", "id", ids, reader);
    unique(
        "api_keys",
        "id",
        config.clients.iter().map(|client| client.id.as_str()),
        reader,
    );
    keys(config, reader);
    references(config, reader);
}

/// The control plane must not be open to the network without a key that someone chose.
fn listeners(config: &Config, reader: &Reader<'_>) {
    let server = &config.server;
    let open = [
        ("server.listen", Some(server.listen)),
        ("server.admin_listen", server.admin_listen),
    ];
    for (path, address) in open {
        let Some(address) = address else { continue };
        if !address.ip().is_loopback() && server.admin_api_key.is_none() {
            let message = format!(
                "{address} can be reached from the network, but `server.admin_api_key` is not set; \
                 set it, or listen on 127.0.0.1"
            );
            reader.complain(path, message);
        }
    }
    if server.admin_listen == Some(server.listen) && server.listen.port() != 0 {
        reader.complain(
            "server.admin_listen",
            "is the same as `server.listen`; remove it",
        );
    }
    if server.metrics_auth == MetricsAuth::Bearer && server.admin_api_key.is_none() {
        reader.complain(
            "server.metrics_auth",
            "`bearer` asks scrapers for the admin key, but `server.admin_api_key` is not set; set it",
        );
    }
}

/// Each id once; an empty one has been reported already.
fn unique<'i>(list: &str, key: &str, ids: impl Iterator<Item = &'i str>, reader: &Reader<'_>) {
    let mut first = HashMap::new();
    for (index, id) in ids.enumerate().filter(|(_, id)| !id.is_empty()) {
        if let Some(earlier) = first.get(id) {
            let message = format!("`{id}` is already the id of {list}[{earlier}]; choose another");
            reader.complain(&format!("{list}[{index}].{key}"), message);
        } else {
            first.insert(id, index);
        }
    }
}

/// A key must tell who calls: no two clients and not the admin may share one.
fn keys(config: &Config, reader: &Reader<'_>) {
    let admin = config.server.admin_api_key.as_ref().map(Secret::digest);
    let mut first = HashMap::new();
    for (index, client) in config
        .clients
        .iter()
        .enumerate()
        .filter(|(_, c)| c.has_key())
    {
        // `key` and `key_sha256` can name the same key.
        let hashed = format!("api_keys[{index}].key_sha256");
        let plain = format!("api_keys[{index}].key");
        let path = if reader.is_given(&hashed) {
            hashed
        } else {
            plain
        };
        if admin == Some(client.key) {
            reader.complain(
                &path,
                "is the admin key too; give the client a key of its own",
            );
        }
        if let Some(earlier) = first.get(&client.key) {
            let message =
                format!("is the key of api_keys[{earlier}] too; give each client its own");
            reader.complain(&path, message);
        } else {
            first.insert(client.key, index);
        }
    }
}

/// Every provider that is named must exist.
pub(crate) fn references(config: &Config, reader: &Reader<'_>) {
    let known: Vec<&str> = config
        .providers
        .iter()
        .map(|provider| provider.id.as_str())
        .collect();
    if known.is_empty() || known.contains(&"") {
        // Without the real ids every name would look wrong.
        return;
    }
    let exists = |path: &str, id: &str| {
        if let Some(message) = unknown_provider(&known, id) {
            reader.complain(path, message);
        }
    };
    for alias in &config.aliases {
        let path = crate::yaml::key_path("model_aliases", &alias.name);
        exists(&path, &alias.provider);
        if config
            .provider(&alias.provider)
            .is_some_and(|provider| !provider.serves(&alias.model))
        {
            let message = format!(
                "the model is not in `models` of provider `{}`; add it there",
                alias.provider
            );
            reader.complain(&path, message);
        }
    }
    for (index, client) in config.clients.iter().enumerate() {
        if let AllowedProviders::Only(ids) = &client.allowed_providers {
            for (item, id) in ids.iter().enumerate() {
                exists(&format!("api_keys[{index}].allowed_providers[{item}]"), id);
            }
        }
    }
    for (item, id) in config.policy.fallback.providers.iter().enumerate() {
        exists(&format!("policy.fallback.providers[{item}]"), id);
    }
}

/// What is wrong with a name where no provider has it.
pub(crate) fn unknown_provider(known: &[&str], id: &str) -> Option<String> {
    if known.contains(&id) {
        return None;
    }
    let hint = match nearest(id, known) {
        Some(id) => format!("did you mean `{id}`?"),
        None => format!("the providers are {}", known.join(", ")),
    };
    // The id is not repeated: it may be a key in the wrong place.
    Some(format!("no provider has this id; {hint}"))
}
