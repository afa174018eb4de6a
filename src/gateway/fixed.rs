//! What a reload cannot change: it is decided when the process starts.

use coo_llm_config::{Config, Logging, Server};

/// The keys that differ between the configuration in use and the next one, and that only
/// a restart changes.
pub(super) fn changes(now: &Config, next: &Config) -> Vec<String> {
    // No `..`: who adds a key decides here whether a reload changes it.
    let Config {
        server,
        logging,
        metrics,
        ingest,
        storage,
        client_health,
        prices: _,
        providers: _,
        aliases: _,
        clients: _,
        policy: _,
    } = now;
    let Server {
        listen,
        admin_listen,
        workers,
        runtime,
        driver,
        webui,
        cors,
        tls,
        data_dir,
        admin_req_per_min,
        trusted_proxies,
        audit,
        admin_api_key: _,
        metrics_auth: _,
        limits: _,
    } = server;
    let Logging {
        level: _,
        file,
        prometheus,
    } = logging;
    let differences = [
        ("server.listen", *listen != next.server.listen),
        (
            "server.admin_listen",
            *admin_listen != next.server.admin_listen,
        ),
        ("server.workers", *workers != next.server.workers),
        ("server.runtime", *runtime != next.server.runtime),
        ("server.driver", *driver != next.server.driver),
        // Who may log in is of the reload.
        (
            "server.webui.enabled",
            webui.enabled != next.server.webui.enabled,
        ),
        ("server.data_dir", *data_dir != next.server.data_dir),
        (
            "server.admin_req_per_min",
            *admin_req_per_min != next.server.admin_req_per_min,
        ),
        (
            "server.trusted_proxies",
            *trusted_proxies != next.server.trusted_proxies,
        ),
        ("server.audit", *audit != next.server.audit),
        ("server.cors", *cors != next.server.cors),
        ("server.tls", *tls != next.server.tls),
        ("logging.file", *file != next.logging.file),
        ("logging.prometheus", *prometheus != next.logging.prometheus),
        ("metrics", *metrics != next.metrics),
        ("ingest", *ingest != next.ingest),
        ("storage", *storage != next.storage),
        ("client_health", *client_health != next.client_health),
    ];
    differences
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(path, _)| format!("{path}: a reload cannot change it; restart"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_config::{LogLevel, MetricsAuth, Secret, Workers};

    #[test]
    fn what_needs_a_restart_is_named_and_nothing_else() {
        let now = Config::builtin();
        let mut next = now.clone();
        next.logging.level = LogLevel::Error;
        next.server.admin_api_key = Some(Secret::new("k"));
        next.server.metrics_auth = MetricsAuth::Bearer;
        next.server.limits.max_body_bytes = 1;
        next.server.webui.admin_password_hash = Some(Secret::new("h"));
        next.providers.clear();
        assert_eq!(changes(&now, &next), [""; 0]);
        next.server.workers = Workers::Count(7);
        next.metrics.max_series = 200;
        assert_eq!(
            changes(&now, &next),
            [
                "server.workers: a reload cannot change it; restart",
                "metrics: a reload cannot change it; restart",
            ]
        );
    }
}
