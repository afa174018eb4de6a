//! Questions to the history, asked without making the control thread wait for the disk.
//!
//! ```text
//! endpoint --work--> [ places, bounded ] --> [ room, bounded ] --> blocking thread --> History
//! ```
//! A question that finds no place, or is not answered in time, gets 503; the work of one that
//! was given up goes on in its room until it ends, so that the bound holds.

use super::answer;
use crate::wire::openai_error::ErrorKind;
use axum::response::Response;
use coo_llm_core::UnixMillis;
use coo_llm_exporters::history::{History, HistoryError};
use coo_llm_exporters::prometheus::{Extra, Kind, Value};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Questions that are worked on at a time: as many as the history keeps connections for.
const RUNNING_MAX: usize = 4;
/// Questions that wait for that.
const WAITING_MAX: usize = 28;
/// How long a client waits. The slowest question that makes sense is far below it.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// No history is kept.
    Off,
    /// Too many others are asked.
    Busy,
    /// It takes too long.
    TimedOut,
    /// The work panicked.
    Broken,
    /// The history's own reason.
    History(HistoryError),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(
                "No history is kept: storage.history.enabled is false. /metrics has the numbers \
                 since the start.",
            ),
            Self::Busy => f.write_str("Too many questions are asked of the history; try again."),
            Self::TimedOut => write!(
                f,
                "The history did not answer within {} s; ask for less time or a larger step.",
                TIME_MAX.as_secs()
            ),
            Self::Broken => f.write_str("The question failed; the log says why."),
            Self::History(HistoryError::Damaged { .. }) => {
                f.write_str("The history (storage.history) is damaged; the log says what to do.")
            }
            Self::History(error @ HistoryError::TooManyPoints { .. }) => {
                write!(f, "{error}")
            }
            Self::History(_) => {
                f.write_str("The history (storage.history) cannot be read; the log says why.")
            }
        }
    }
}

impl NoAnswer {
    /// The answer to a client of the data plane.
    pub(super) fn to_client(&self) -> Response {
        let kind = match self {
            Self::History(HistoryError::TooManyPoints { .. }) => ErrorKind::InvalidRequest,
            Self::Broken => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        };
        let mut response = answer::openai_error(kind, &self.to_string());
        if matches!(self, Self::Busy | Self::TimedOut) {
            let wait = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, wait);
        }
        response
    }

    /// The answer of an endpoint that asked.
    pub(super) fn response(&self) -> Response {
        let (status, kind) = match self {
            Self::History(HistoryError::TooManyPoints { .. }) => {
                (StatusCode::BAD_REQUEST, "invalid_request_error")
            }
            Self::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "store_error"),
        };
        let mut response = answer::admin_error(status, kind, &self.to_string());
        if matches!(self, Self::Busy | Self::TimedOut) {
            let wait = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, wait);
        }
        response
    }
}

/// Asks a history, or says that there is none.
pub(super) struct Questions {
    history: Option<Arc<History>>,
    /// For those that are worked on and those that wait.
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
    time_max: Duration,
    busy: AtomicU64,
    timed_out: AtomicU64,
}

impl Questions {
    pub(super) fn new(history: Option<Arc<History>>) -> Self {
        Self {
            history,
            places: Arc::new(Semaphore::new(RUNNING_MAX + WAITING_MAX)),
            room: Arc::new(Semaphore::new(RUNNING_MAX)),
            time_max: TIME_MAX,
            busy: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
        }
    }

    /// Whether there is a history.
    pub(super) const fn has_history(&self) -> bool {
        self.history.is_some()
    }

    /// Has `work` done on a blocking thread. It may ask several times, and is given the
    /// wall clock's now.
    ///
    /// # Errors
    /// There is no history, it cannot answer, or not in time.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&History, UnixMillis) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let history = Arc::clone(self.history.as_ref().ok_or(NoAnswer::Off)?);
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.busy.fetch_add(1, Ordering::Relaxed);
            return Err(NoAnswer::Busy);
        };
        let room = Arc::clone(&self.room);
        let asked = async move {
            let room = room.acquire_owned().await;
            let work = move || {
                // Given back when the work ends, whether somebody still waits or not.
                let _held = (place, room.expect("this semaphore is never closed"));
                work(&history, now())
            };
            tokio::task::spawn_blocking(work).await
        };
        match tokio::time::timeout(self.time_max, asked).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => {
                if !matches!(error, HistoryError::TooManyPoints { .. }) {
                    tracing::error!(%error, "the history cannot be read");
                }
                Err(NoAnswer::History(error))
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a question to the history failed");
                Err(NoAnswer::Broken)
            }
            Err(_elapsed) => {
                self.timed_out.fetch_add(1, Ordering::Relaxed);
                Err(NoAnswer::TimedOut)
            }
        }
    }

    /// What became of questions that got no answer.
    pub(super) fn family(&self) -> Extra {
        let count = |of: &AtomicU64| Value::Count(of.load(Ordering::Relaxed));
        Extra::new(
            Kind::Counter,
            "history_questions_refused",
            "Questions of the admin API to the history that got 503 because too many were asked, or took too long.",
        )
        .with(&[("reason", "busy")], count(&self.busy))
        .with(&[("reason", "timeout")], count(&self.timed_out))
    }
}

/// The wall clock.
pub(super) fn now() -> UnixMillis {
    UnixMillis(coo_llm_runtime::unix_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::Folder;
    use coo_llm_core::Meter;
    use coo_llm_exporters::history::Options;
    use std::sync::mpsc;

    fn questions() -> (Questions, Folder) {
        let folder = Folder::new();
        let options = Options {
            path: folder.path().join("history.db"),
            retention: [Duration::from_secs(24 * 3600); 3],
            spool_bytes_max: 1 << 20,
        };
        let history = History::open(&options, Meter::with_pairs(100), now()).expect("a folder");
        (Questions::new(Some(Arc::new(history))), folder)
    }

    #[tokio::test]
    async fn over_the_bound_it_is_told_at_once_and_later_there_is_room() {
        let (questions, _folder) = questions();
        let questions = Arc::new(questions);
        let (go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let asked: Vec<_> = (0..RUNNING_MAX + WAITING_MAX)
            .map(|n| {
                let (questions, gate) = (Arc::clone(&questions), Arc::clone(&gate));
                let work = move |_: &History, _| {
                    let gate = gate.lock().expect("nobody panics under it");
                    gate.recv().expect("the test sends one for each");
                    Ok(n)
                };
                tokio::spawn(async move { questions.ask(work).await })
            })
            .collect();
        // The runtime has one thread: each task runs until it waits.
        while questions.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = questions.ask(|_, _| Ok(())).await;
        assert!(matches!(refused, Err(NoAnswer::Busy)), "{refused:?}");
        assert_eq!(refused.expect_err("busy").response().status(), 503);
        for _ in &asked {
            go.send(()).expect("somebody waits");
        }
        for (n, asked) in asked.into_iter().enumerate() {
            assert_eq!(asked.await.expect("no panic").expect("an answer"), n);
        }
        assert!(questions.ask(|_, _| Ok(())).await.is_ok());
        assert_eq!(questions.busy.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_takes_too_long_keeps_its_room_until_it_ends() {
        let (mut questions, _folder) = questions();
        questions.time_max = Duration::ZERO;
        let (go, gate) = mpsc::channel::<()>();
        let late = questions.ask(move |_, _| {
            // An error says that the test let it go.
            let _gone = gate.recv();
            Ok(())
        });
        let late = late.await.expect_err("no time");
        assert!(matches!(late, NoAnswer::TimedOut), "{late:?}");
        assert_eq!(late.response().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(questions.timed_out.load(Ordering::Relaxed), 1);
        drop(go);
        let all = u32::try_from(RUNNING_MAX + WAITING_MAX).expect("small");
        let all = questions.places.acquire_many(all).await;
        assert!(all.is_ok(), "its place came back");
    }

    #[tokio::test]
    async fn each_reason_has_its_status() {
        let off = Questions::new(None);
        let error = off.ask(|_, _| Ok(())).await.expect_err("there is none");
        assert_eq!(error.response().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.to_string().contains("storage.history.enabled"));

        let (questions, folder) = questions();
        let too_many = || Err::<(), _>(HistoryError::TooManyPoints { points: 7 });
        let error = questions
            .ask(move |_, _| too_many())
            .await
            .expect_err("it is");
        assert_eq!(error.response().status(), StatusCode::BAD_REQUEST);
        let path = folder.path().join("history.db");
        let damaged = HistoryError::Damaged {
            path,
            detail: "x".into(),
        };
        let error = questions.ask(|_, _| Err::<(), _>(damaged)).await;
        let error = error.expect_err("it is");
        assert_eq!(error.response().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.to_string().contains("storage.history"), "{error}");
        let broken = |_: &History, _| -> Result<(), HistoryError> { panic!("a bug") };
        let error = questions.ask(broken).await.expect_err("it panicked");
        assert_eq!(error.response().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
