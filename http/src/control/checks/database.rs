//! Whether the history takes rows now: it is asked to, on a thread that may wait.

use super::report::{Check, Database, Status};
use coo_llm_core::UnixMillis;
use coo_llm_exporters::history::{self, History};
use coo_llm_runtime::unix_ms;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Rows that wait for longer than this wait for something.
const LAG_S_MAX: u64 = 120;

/// The history, and whether it is being asked: a disk that hangs gets one thread.
#[derive(Debug)]
pub(super) struct Probe {
    history: Arc<History>,
    is_asked: Arc<AtomicBool>,
}

impl Probe {
    pub(super) fn new(history: Arc<History>) -> Self {
        Self {
            history,
            is_asked: Arc::default(),
        }
    }
}

pub(super) async fn check(probe: Option<&Probe>, time_max: Duration) -> Database {
    let began = Instant::now();
    let Some(probe) = probe else {
        let detail = "there is none: storage.history.enabled is false";
        return Database {
            check: Check::new(Status::Ok, began.elapsed(), detail),
            lag_seconds: None,
            waiting_rows: None,
        };
    };
    if probe.is_asked.swap(true, Ordering::AcqRel) {
        let detail = "it still writes what an earlier check asked it to";
        return Database {
            check: Check::new(Status::Down, began.elapsed(), detail),
            lag_seconds: None,
            waiting_rows: None,
        };
    }
    let asked = tokio::task::spawn_blocking({
        let (history, is_asked) = (Arc::clone(&probe.history), Arc::clone(&probe.is_asked));
        move || {
            let written = history.probe();
            let health = history.health(UnixMillis(unix_ms()));
            is_asked.store(false, Ordering::Release);
            (written.map_err(|error| error.to_string()), health)
        }
    });
    let (status, detail, health) = match timeout(time_max, asked).await {
        Err(_) => (Status::Degraded, slow(time_max), None),
        Ok(Err(_)) => {
            probe.is_asked.store(false, Ordering::Release);
            (Status::Down, "the check of it panicked".to_owned(), None)
        }
        Ok(Ok((written, health))) => {
            let (status, detail) = judge(written, &health);
            (status, detail, Some(health))
        }
    };
    Database {
        check: Check::new(status, began.elapsed(), detail),
        lag_seconds: health.as_ref().map(|health| health.lag_s),
        waiting_rows: health.as_ref().map(|health| health.waiting_rows),
    }
}

fn slow(time_max: Duration) -> String {
    format!("it took no row within {time_max:?}")
}

fn judge(written: Result<(), String>, health: &history::Health) -> (Status, String) {
    match (written, &health.error) {
        (Err(error), _) => (Status::Down, format!("it takes no rows: {error}")),
        (Ok(()), Some(error)) => {
            let detail = format!("it took a row now, and the last flush failed: {error}");
            (Status::Degraded, detail)
        }
        (Ok(()), None) if health.dropped > 0 => {
            let detail = format!(
                "{} requests are missing in it: too many rows waited",
                health.dropped
            );
            (Status::Degraded, detail)
        }
        (Ok(()), None) if health.lag_s > LAG_S_MAX => {
            let detail = format!("rows wait for it since {} s", health.lag_s);
            (Status::Degraded, detail)
        }
        (Ok(()), None) => (Status::Ok, "it took a row".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_and_what_waits_say_how_it_is() {
        let well = history::Health::default();
        let failing = history::Health {
            error: Some("full".into()),
            ..well.clone()
        };
        let late = history::Health {
            lag_s: LAG_S_MAX + 1,
            ..well.clone()
        };
        let status = |written: Result<(), &str>, health| {
            let (status, detail) = judge(written.map_err(str::to_owned), health);
            assert!(!detail.is_empty());
            status
        };
        assert_eq!(status(Ok(()), &well), Status::Ok);
        assert_eq!(status(Ok(()), &late), Status::Degraded);
        assert_eq!(status(Ok(()), &failing), Status::Degraded);
        assert_eq!(status(Err("full"), &well), Status::Down);
    }
}
