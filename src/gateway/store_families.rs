//! What the history and the sinks say in /metrics.

use super::budgets::now;
use super::sinks::Status;
use coo_llm_core::Micros;
use coo_llm_exporters::history::History;
use coo_llm_exporters::prometheus::{Extra, Kind, Value};
use coo_llm_exporters::sinks::{Reason, State};

/// The history as one of the sinks.
const HISTORY: [(&str, &str); 1] = [("sink", "history")];

/// The families of the stores.
pub(super) fn families(history: &History, sinks: &[Status]) -> Vec<Extra> {
    let now = now();
    let health = history.health(now);
    let sealed = history.sealed_s(now);
    // Beside `recorded`, which the meter itself knows.
    let help = "Records by stage of their way to the history.";
    let records = Extra::new(Kind::Counter, "records", help)
        .with(&[("stage", "persisted")], Value::Count(health.persisted))
        .with(&[("stage", "dropped")], Value::Count(health.dropped));
    let mut rows = Extra::new(Kind::Counter, "sink_rows", "Rows that a sink has taken.")
        .with(&HISTORY, Value::Count(health.rows));
    let mut failures = Extra::new(
        Kind::Counter,
        "sink_failures",
        "Calls that a sink did not take, by reason; their rows wait.",
    )
    .with(
        &[("sink", "history"), ("reason", "store")],
        Value::Count(health.failures),
    );
    let mut lag = Extra::new(
        Kind::Gauge,
        "sink_lag_seconds",
        "Age of the oldest row that waits for a sink.",
    )
    .with(&HISTORY, Value::Count(health.lag_s));
    let mut families = vec![
        Extra::new(
            Kind::Gauge,
            "sink_waiting_rows",
            "Rows that wait for the history in memory.",
        )
        .with(&HISTORY, Value::Count(health.waiting_rows)),
        plain(
            "history_folds",
            "Times that waiting rows were folded to hours, because there were 200,000.",
            health.folds,
        ),
        plain(
            "history_latencies_missed",
            "Latencies that percentiles of the history lack, because nobody took them in time.",
            health.latencies_missed,
        ),
        Extra::new(
            Kind::Gauge,
            "history_clock_behind_seconds",
            "How far the clock is behind the history's last stamp, because it was set back.",
        )
        .with(
            &[],
            Value::Seconds(Micros(health.clock_behind_ms.saturating_mul(1000))),
        ),
    ];
    if !sinks.is_empty() {
        let counter = |name, help| Extra::new(Kind::Counter, name, help);
        let gauge = |name, help| Extra::new(Kind::Gauge, name, help);
        let mut up = gauge("sink_up", "Whether a sink took the last rows.");
        let mut set_aside = counter(
            "sink_set_aside_rows",
            "Rows that a sink refuses for what they are, kept in the spool's folder.",
        );
        let mut rewinds = counter(
            "sink_rewinds",
            "Times that a sink was behind where it had been, and got rows again.",
        );
        let mut bytes = gauge(
            "sink_spool_bytes",
            "About how many bytes of the history wait for a sink.",
        );
        for (name, status) in sinks {
            let status = status.read();
            let sink = [("sink", name.as_str())];
            rows = rows.with(&sink, Value::Count(status.rows));
            for reason in Reason::ALL {
                let n = status.failures.get(&reason).copied().unwrap_or(0);
                let labels = [("sink", name.as_str()), ("reason", reason.as_str())];
                failures = failures.with(&labels, Value::Count(n));
            }
            // Where it is not known yet, there is no sample.
            if let Some(position) = status.position {
                let behind = sealed.saturating_sub(position.second);
                lag = lag.with(&sink, Value::Count(behind));
            }
            if let Some(waiting) = status.waiting_bytes {
                bytes = bytes.with(&sink, Value::Count(waiting));
            }
            if status.state != State::Starting {
                up = up.with(&sink, Value::Count((status.state == State::Up).into()));
            }
            set_aside = set_aside.with(&sink, Value::Count(status.set_aside));
            rewinds = rewinds.with(&sink, Value::Count(status.rewinds));
        }
        families.extend([up, set_aside, rewinds, bytes]);
        families.push(plain(
            "sink_spool_folds",
            "Hours of rows that sinks get by the minute or the hour, as storage.spool.max_bytes were full.",
            health.spool_folds,
        ));
    }
    families.extend([records, rows, failures, lag]);
    families
}

fn plain(name: &'static str, help: &'static str, n: u64) -> Extra {
    Extra::new(Kind::Counter, name, help).with(&[], Value::Count(n))
}
