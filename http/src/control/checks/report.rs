//! The answer's types, and how the whole follows from its parts.

use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthStatus)]
pub(in crate::control) enum Status {
    /// As it should be.
    Ok,
    /// Something is wrong, and requests are answered.
    Degraded,
    /// It does not work. Of the whole: requests are not answered.
    Down,
}

/// What was found of one thing.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = HealthCheck)]
pub(in crate::control) struct Check {
    /// How it is.
    pub(in crate::control) status: Status,
    /// How long it took to find out, milliseconds.
    pub(in crate::control) latency_ms: f64,
    /// In words.
    pub(in crate::control) detail: String,
}

/// Whether the history takes rows.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DatabaseCheck)]
pub(in crate::control) struct Database {
    #[serde(flatten)]
    pub(in crate::control) check: Check,
    /// Age of the oldest row that waits for it; null without a history.
    pub(in crate::control) lag_seconds: Option<u64>,
    /// Rows that wait.
    pub(in crate::control) waiting_rows: Option<u64>,
}

/// Whether a provider is reached and used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::control) struct ProviderCheck {
    #[serde(flatten)]
    pub(in crate::control) check: Check,
    /// Whether the workers send it requests.
    pub(in crate::control) is_used: bool,
    /// Its keys, and those of them that are used.
    pub(in crate::control) keys: usize,
    pub(in crate::control) keys_up: usize,
}

/// The process's memory.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = MemoryCheck)]
pub(in crate::control) struct Memory {
    #[serde(flatten)]
    pub(in crate::control) check: Check,
    /// Resident; null where the system does not say.
    pub(in crate::control) rss_bytes: Option<u64>,
    /// What its control group may have; null where there is no limit.
    pub(in crate::control) limit_bytes: Option<u64>,
}

/// The workers and their tasks.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TasksCheck)]
pub(in crate::control) struct Tasks {
    #[serde(flatten)]
    pub(in crate::control) check: Check,
    /// Tasks that are alive; null before the workers run.
    pub(in crate::control) count: Option<u64>,
    /// Tasks that panicked since the start.
    pub(in crate::control) panicked: Option<u64>,
    /// Each worker.
    pub(in crate::control) workers: Vec<WorkerCheck>,
}

/// Whether a worker comes round.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::control) struct WorkerCheck {
    /// Its number: `coo-worker-N` is its thread.
    pub(in crate::control) worker: usize,
    /// How it is.
    pub(in crate::control) status: Status,
    /// How long ago it was well.
    pub(in crate::control) seen_seconds_ago: f64,
}

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::control) struct HealthChecks {
    /// The history.
    pub(in crate::control) database: Database,
    /// By their ids.
    pub(in crate::control) providers: BTreeMap<String, ProviderCheck>,
    /// By their names.
    pub(in crate::control) sinks: BTreeMap<String, Check>,
    /// The process's memory.
    pub(in crate::control) memory: Memory,
    /// The workers.
    pub(in crate::control) tasks: Tasks,
}

/// The answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::control) struct Health {
    /// `down`: every provider or every worker is; `degraded`: any check is not `ok`.
    pub(in crate::control) status: Status,
    /// What was looked at.
    pub(in crate::control) checks: HealthChecks,
    /// The gateway's version.
    pub(in crate::control) version: String,
    /// How long the process ran when it was looked at.
    pub(in crate::control) uptime_seconds: u64,
}

pub(super) fn millis(time: Duration) -> f64 {
    // Microseconds are enough to read.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Check {
    pub(super) fn new(status: Status, latency: Duration, detail: impl Into<String>) -> Self {
        Self {
            status,
            latency_ms: millis(latency),
            detail: detail.into(),
        }
    }
}

impl Health {
    pub(super) fn new(checks: HealthChecks, version: &str, uptime_seconds: u64) -> Self {
        let parts = [
            &checks.database.check,
            &checks.memory.check,
            &checks.tasks.check,
        ];
        let providers = || checks.providers.values().map(|it| it.check.status);
        let parts = parts.into_iter().map(|check| check.status);
        let sinks = checks.sinks.values().map(|check| check.status);
        let is_any_wrong = parts
            .chain(providers())
            .chain(sinks)
            .any(|status| status != Status::Ok);
        let is_down = |status: Status| status == Status::Down;
        let no_provider = !checks.providers.is_empty() && providers().all(is_down);
        let workers = &checks.tasks.workers;
        let no_worker = !workers.is_empty() && workers.iter().all(|it| is_down(it.status));
        let status = if no_provider || no_worker {
            Status::Down
        } else if is_any_wrong {
            Status::Degraded
        } else {
            Status::Ok
        };
        Self {
            status,
            checks,
            version: version.to_owned(),
            uptime_seconds,
        }
    }
}
