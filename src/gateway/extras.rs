//! The metrics that do not come from the meter: of the log, the workers, the connections.

use crate::logging::LogHandle;
use coo_llm_exporters::prometheus::{Extra, Kind, Value};
use coo_llm_http::gateway::GatewayCounters;
use coo_llm_runtime::{Counters, Selection};
use std::sync::{Arc, OnceLock};

/// What is read at each scrape; parts that do not run yet have no samples.
pub(super) struct Extras {
    log: LogHandle,
    connections: OnceLock<Arc<GatewayCounters>>,
    tasks: OnceLock<Counters>,
    runtime: OnceLock<[String; 2]>,
}

impl Extras {
    pub(super) fn new(log: LogHandle) -> Self {
        Self {
            log,
            connections: OnceLock::new(),
            tasks: OnceLock::new(),
            runtime: OnceLock::new(),
        }
    }

    pub(super) fn watch_connections(&self, counters: Arc<GatewayCounters>) {
        // Set once, by the one start of a process.
        let _set = self.connections.set(counters);
    }

    pub(super) fn watch_tasks(&self, counters: Counters) {
        let _set = self.tasks.set(counters);
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
            Extra::config_last_reload_success(true),
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
        if let Some(tasks) = self.tasks.get() {
            families.push(gauge("tasks", "Tasks on the workers now.", tasks.tasks()));
            families.push(counter(
                "task_panics",
                "Tasks on the workers that panicked; each is a fault of the gateway.",
                tasks.task_panics(),
            ));
        }
        if let Some([runtime, driver]) = self.runtime.get() {
            let info = Extra::new(Kind::Info, "runtime", "What the workers run on.");
            let labels = [("runtime", runtime.as_str()), ("driver", driver.as_str())];
            families.push(info.with(&labels, Value::Count(1)));
        }
        families
    }
}
