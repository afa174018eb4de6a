//! The metrics that do not come from the meter: of the log, the workers, the connections.

use super::price_file::Prices;
use super::reloading::Reloads;
use super::sinks::Status;
use crate::logging::LogHandle;
use coo_llm_exporters::history::History;
use coo_llm_exporters::prometheus::{Extra, Kind, Value};
use coo_llm_exporters::watch::Board;
use coo_llm_http::ServerTls;
use coo_llm_http::control::{Facts, TaskCounts};
use coo_llm_http::gateway::ingest::IngestCounters;
use coo_llm_http::gateway::{GatewayCounters, Ledgers, Plan, Setups};
use coo_llm_runtime::{Counters, Selection};
use std::sync::{Arc, OnceLock};

/// What is read at each scrape; parts that do not run yet have no samples.
pub(super) struct Extras {
    log: LogHandle,
    reloads: Arc<Reloads>,
    connections: OnceLock<Arc<GatewayCounters>>,
    ingest: OnceLock<Arc<IngestCounters>>,
    setups: OnceLock<Setups>,
    tls: OnceLock<Arc<ServerTls>>,
    tasks: OnceLock<Counters>,
    prices: OnceLock<Prices>,
    runtime: OnceLock<[String; 2]>,
    history: OnceLock<Arc<History>>,
    sinks: OnceLock<Arc<[Status]>>,
    clients: OnceLock<Arc<Board>>,
}

impl Extras {
    pub(super) fn new(log: LogHandle, reloads: Arc<Reloads>) -> Self {
        Self {
            log,
            reloads,
            connections: OnceLock::new(),
            ingest: OnceLock::new(),
            setups: OnceLock::new(),
            tls: OnceLock::new(),
            tasks: OnceLock::new(),
            prices: OnceLock::new(),
            runtime: OnceLock::new(),
            history: OnceLock::new(),
            sinks: OnceLock::new(),
            clients: OnceLock::new(),
        }
    }

    pub(super) fn watch_connections(&self, counters: Arc<GatewayCounters>) {
        // Set once, by the one start of a process.
        let _set = self.connections.set(counters);
    }

    pub(super) fn watch_setups(&self, setups: Setups) {
        let _set = self.setups.set(setups);
    }

    pub(super) fn watch_tls(&self, tls: Arc<ServerTls>) {
        let _set = self.tls.set(tls);
    }

    pub(super) fn watch_ingest(&self, counters: Arc<IngestCounters>) {
        let _set = self.ingest.set(counters);
    }

    pub(super) fn watch_tasks(&self, counters: Counters) {
        let _set = self.tasks.set(counters);
    }

    /// What the health checks ask for.
    pub(super) fn facts(&self) -> Facts {
        let tasks = self.tasks.get().map(|tasks| TaskCounts {
            alive: tasks.tasks(),
            panicked: tasks.task_panics(),
        });
        let sinks = self.sinks.get().map_or(&[][..], |sinks| sinks);
        let sinks = sinks.iter().map(|(name, sink)| (name.clone(), sink.read()));
        Facts {
            tasks,
            sinks: sinks.collect(),
        }
    }

    pub(super) fn watch_prices(&self, prices: Prices) {
        let _set = self.prices.set(prices);
    }

    pub(super) fn watch_history(&self, history: Arc<History>) {
        let _set = self.history.set(history);
    }

    pub(super) fn watch_sinks(&self, sinks: Arc<[Status]>) {
        let _set = self.sinks.set(sinks);
    }

    pub(super) fn watch_clients(&self, board: Arc<Board>) {
        let _set = self.clients.set(board);
    }

    pub(super) fn runs_on(&self, selection: &Selection) {
        let runs_on = [selection.backend.to_string(), selection.driver.to_string()];
        let _set = self.runtime.set(runs_on);
    }

    pub(super) fn families(&self) -> Vec<Extra> {
        let counter = |name, help, value| {
            Extra::new(Kind::Counter, name, help).with(&[], Value::Count(value))
        };
        let gauge =
            |name, help, value| Extra::new(Kind::Gauge, name, help).with(&[], Value::Count(value));
        let mut families = vec![
            Extra::config_last_reload_success(self.reloads.is_last_one_used()),
            Extra::config_last_reload_timestamp(self.reloads.used_since()),
            counter(
                "log_lines_dropped",
                "Log lines lost because the log could not keep up.",
                self.log.lines_dropped(),
            ),
        ];
        if let Some(connections) = self.connections.get() {
            families.push(gauge(
                "connections",
                "Client connections open now.",
                connections.open(),
            ));
            families.push(counter(
                "connections_accepted",
                "Client connections accepted.",
                connections.accepted(),
            ));
            families.push(counter(
                "connections_refused",
                "Client connections closed at once because server.limits.max_connections were open.",
                connections.refused(),
            ));
            families.push(counter(
                "accept_errors",
                "Client connections that could not be accepted.",
                connections.accept_errors(),
            ));
        }
        if let Some(setups) = self.setups.get() {
            let setup = setups.current();
            families.extend(providers(&setup.plan));
            families.extend(budgets(&setup.ledgers));
        }
        if let Some(tls) = self.tls.get() {
            families.push(counter(
                "tls_handshake_failures",
                "Connections that closed before they had a TLS session, on either listener.",
                tls.handshake_failures(),
            ));
        }
        if let Some(ingest) = self.ingest.get() {
            families.extend(ingest_families(ingest));
        }
        if let Some(tasks) = self.tasks.get() {
            families.push(gauge("tasks", "Tasks on the workers now.", tasks.tasks()));
            families.push(counter(
                "task_panics",
                "Tasks on the workers that panicked; each is a fault of the gateway.",
                tasks.task_panics(),
            ));
        }
        if let Some(table) = self.prices.get().and_then(Prices::in_use) {
            let info = Extra::new(Kind::Info, "price_table", "The price file in use.");
            let labels = [
                ("version", table.version.as_str()),
                ("hash", table.hash.as_str()),
            ];
            families.push(info.with(&labels, Value::Count(1)));
            families.push(gauge(
                "price_table_last_reload_success",
                "Whether the price file was good when it was read last (1), or the one before stays in use (0).",
                u64::from(table.is_current),
            ));
        }
        if let Some(history) = self.history.get() {
            let sinks = self.sinks.get().map_or(&[][..], |sinks| sinks);
            families.extend(super::store_families::families(history, sinks));
        }
        if let Some(clients) = self.clients.get() {
            families.extend(clients.families());
        }
        if let Some([runtime, driver]) = self.runtime.get() {
            let info = Extra::new(Kind::Info, "runtime", "What the workers run on.");
            let labels = [("runtime", runtime.as_str()), ("driver", driver.as_str())];
            families.push(info.with(&labels, Value::Count(1)));
        }
        families
    }
}

/// How providers and their keys are.
fn providers(plan: &Plan) -> [Extra; 3] {
    let gauge = |name, help| Extra::new(Kind::Gauge, name, help);
    let mut up = gauge(
        "provider_up",
        "Whether a provider gets requests: no worker leaves it alone, and a key of it is up.",
    );
    let mut key_up = gauge(
        "provider_key_up",
        "Whether a provider's key is used: 0 while it is set aside because the provider refused it.",
    );
    let mut remaining = gauge(
        "upstream_ratelimit_remaining",
        "What a provider said last is left of a key's limit.",
    );
    for health in plan.health() {
        let provider = ("provider", &*health.provider);
        up = up.with(&[provider], Value::Count(u64::from(health.is_up)));
        for key in health.keys {
            let id = ("key", key.key.as_str());
            key_up = key_up.with(&[provider, id], Value::Count(u64::from(key.is_up)));
            for (kind, left) in key.remaining {
                remaining = remaining.with(&[id, ("kind", kind)], Value::Count(left));
            }
        }
    }
    [up, key_up, remaining]
}

fn ingest_families(ingest: &IngestCounters) -> [Extra; 4] {
    let counter = |name, help| Extra::new(Kind::Counter, name, help);
    let tally = ingest.tally();
    let mut records = counter(
        "ingest_records",
        "Lines of /ingest/v1/records by what became of them.",
    );
    for (result, count) in [
        ("accepted", tally.accepted),
        ("duplicate", tally.duplicates),
        ("rejected", tally.rejected),
    ] {
        records = records.with(&[("result", result)], Value::Count(count));
    }
    let mut requests = counter(
        "ingest_requests",
        "Requests to /ingest/v1/records by the status of their answer.",
    );
    for (status, count) in ingest.requests() {
        let status = status.to_string();
        requests = requests.with(&[("status", &status)], Value::Count(count));
    }
    let evicted = counter(
        "ingest_dedup_evicted",
        "Ids of ingested records that were forgotten before ingest.dedup_window was over.",
    );
    let busy = counter(
        "ingest_dedup_busy",
        "Pauses of ingest because another worker looked into the same part of the ids.",
    );
    [
        records,
        requests,
        evicted.with(&[], Value::Count(ingest.evicted())),
        busy.with(&[], Value::Count(ingest.busy())),
    ]
}

/// How the budgets of clients stand.
fn budgets(ledgers: &Ledgers) -> [Extra; 3] {
    let gauge = |name, help| Extra::new(Kind::Gauge, name, help);
    let mut families = [
        gauge(
            "client_budget_usd",
            "What a client may spend in a period of its budget.",
        ),
        gauge(
            "client_budget_spent_usd",
            "What a client spent in the present period of its budget.",
        ),
        gauge(
            "client_budget_reset_timestamp_seconds",
            "When the next period of a client's budget begins.",
        ),
    ];
    for standing in ledgers.budgets(super::budgets::now()) {
        let values = [
            Value::Usd(standing.budget),
            Value::Usd(standing.spent),
            Value::Count(standing.resets.0 / 1000),
        ];
        for (family, value) in families.iter_mut().zip(values) {
            let labels = vec![("client_id", standing.client.to_string())];
            family.samples.push((labels, value));
        }
    }
    families
}
