//! Brings one sink up to date, and keeps it there.

use super::fault::{Fault, Reason};
use super::status::{State, StatusHandle};
use super::{Applied, SetAside, Sink, Stored};
use crate::history::{History, HistoryError, Next, Position, Sealed};
use coo_llm_core::UnixMillis;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

/// The shortest and the longest time between two tries.
const BACKOFF: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// How often a sink's position is noted in the history, while rows go.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How a sink is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the sink is called in metrics and in the history: what its position is noted under.
    pub name: String,
    /// Rows a call.
    pub rows_max: usize,
    /// How long a call may take.
    pub patience: Duration,
    /// How often it is looked whether there are new rows.
    pub interval: Duration,
}

impl Options {
    /// For a sink of this name: 1,000 rows a call, 30 s, each 10 s.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rows_max: 1000,
            patience: Duration::from_secs(30),
            interval: Duration::from_secs(10),
        }
    }
}

/// How often a round may find a store elsewhere than it said.
const SURPRISES_MAX: u32 = 5;

type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;
type Aside = Box<dyn FnMut(&[SetAside]) -> std::io::Result<()> + Send>;

/// One sink, and what is known of it.
pub struct Delivery<S> {
    history: Arc<History>,
    instance: u64,
    sink: S,
    options: Options,
    status: StatusHandle,
    clock: Clock,
    /// Keeps the rows that the sink will never take.
    aside: Aside,
    noted: Option<(Position, Instant)>,
    tries: u32,
}

impl<S: fmt::Debug> fmt::Debug for Delivery<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("sink", &self.sink)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Why a round ended early.
enum Halt {
    /// It is tried again after a while.
    Fault(Fault),
    /// Somebody must look first.
    Stop(Fault),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<S: Sink> Delivery<S> {
    /// Serves a sink from a history. `aside` keeps rows that it will never take.
    pub fn new(
        history: Arc<History>,
        sink: S,
        options: Options,
        clock: Clock,
        aside: Aside,
    ) -> Self {
        Self {
            instance: history.instance(),
            history,
            sink,
            options,
            status: StatusHandle::default(),
            clock,
            aside,
            noted: None,
            tries: 0,
        }
    }

    /// How it does.
    #[must_use]
    pub fn status(&self) -> StatusHandle {
        self.status.clone()
    }

    /// Serves it until `end` says so (or its sender is gone), and then until it has
    /// everything that is sealed, or fails.
    pub async fn run(mut self, mut end: watch::Receiver<bool>) {
        loop {
            let is_last = *end.borrow() || end.has_changed().is_err();
            let wait = match self.round(&end).await {
                Ok(()) => {
                    self.tries = 0;
                    self.options.interval
                }
                Err(halt) => self.halted(&halt),
            };
            self.measure().await;
            if is_last {
                return;
            }
            tokio::select! {
                () = sleep(wait) => {}
                changed = end.changed() => {
                    // Without a sender there is nobody to serve for.
                    let _the_next_round_is_the_last = changed;
                }
            }
        }
    }

    /// Notes how much waits. What the history says of it is a fault of the next round.
    async fn measure(&mut self) {
        let history = Arc::clone(&self.history);
        let name = self.options.name.clone();
        let now = (self.clock)();
        let position = self.status.read().position;
        let measured = blocking(move || {
            let noted = position.or_else(|| history.sink_position(&name));
            let from = match noted {
                Some(position) => position,
                None => history.first_position(now)?,
            };
            Ok((from, history.bytes_after(from, now)?))
        });
        if let Ok((from, bytes)) = measured.await {
            if position.is_none() {
                self.status.was_at(from);
            }
            self.status.waits(bytes);
        }
    }

    /// Gives the sink all that is sealed.
    async fn round(&mut self, end: &watch::Receiver<bool>) -> Result<(), Halt> {
        let was_ending = *end.borrow();
        let (mut at, mut is_new, mut noted) = self.locate().await?;
        let mut surprises = 0;
        loop {
            let rows = match self.next(at).await? {
                Next::Rows(rows) => {
                    // Where there are no rows between them, a store is where its last ones
                    // ended and not where it was noted to be.
                    if noted.take().is_some_and(|noted| rows.to <= noted) {
                        self.status.rewound();
                    }
                    rows
                }
                Next::Nothing(position) => {
                    self.note(position, true).await?;
                    self.status.is_at(position, (self.clock)());
                    return Ok(());
                }
                Next::Gone => {
                    let detail = format!(
                        "the store has rows up to {at}, and the history no longer has those that \
                         follow; see docs/sinks.md, \"A sink that has stopped\""
                    );
                    return Err(Halt::Stop(Fault::new(Reason::History, detail)));
                }
            };
            if self.give((!is_new).then_some(at), &rows).await? {
                (at, is_new) = (rows.to, false);
                self.status.is_at(at, (self.clock)());
                self.note(at, false).await?;
            } else {
                // A call of ours that was given up came through after all; or the store went
                // back just now.
                surprises += 1;
                if surprises > SURPRISES_MAX {
                    let detail = "the store moves by itself: does another process write as this \
                                  instance, from a copy of its history?";
                    return Err(Fault::new(Reason::History, detail).into());
                }
                (at, is_new, noted) = self.locate().await?;
            }
            if *end.borrow() != was_ending {
                // What is left is the last round's.
                return Ok(());
            }
        }
    }

    /// Where to go on: where the store says it is, or where it was when it last took rows.
    /// Whether it has nothing, too, and where it was noted to be.
    async fn locate(&mut self) -> Result<(Position, bool, Option<Position>), Halt> {
        let asked = self.sink.position(self.instance);
        let stored = timeout(self.options.patience, asked)
            .await
            .map_err(|_| Fault::new(Reason::Timeout, "no answer in time"))??;
        let now = (self.clock)();
        let history = Arc::clone(&self.history);
        let name = self.options.name.clone();
        let known = blocking(move || {
            let noted = history.sink_position(&name);
            let first = history.first_position(now)?;
            Ok((noted, first, history.sealed_s(now)))
        })
        .await?;
        let (noted, first, sealed) = known;
        match stored {
            Stored::At(at) if at.second > sealed => {
                let detail = format!(
                    "the store has rows of this instance up to {at}, which this history does not \
                     have: it was put back to an earlier state, or another process writes as it; \
                     see docs/sinks.md, \"A sink that has stopped\""
                );
                Err(Halt::Stop(Fault::new(Reason::History, detail)))
            }
            Stored::At(at) => Ok((at, false, noted)),
            Stored::Nothing => Ok((first, true, noted)),
            Stored::Unknown => Ok((noted.unwrap_or(first), false, noted)),
        }
    }

    async fn next(&mut self, at: Position) -> Result<Next, Fault> {
        let history = Arc::clone(&self.history);
        let (name, rows_max) = (self.options.name.clone(), self.options.rows_max);
        let now = (self.clock)();
        blocking(move || history.next_sealed(&name, at, rows_max, now)).await
    }

    /// Gives the sink rows; whether it took them.
    async fn give(&mut self, at: Option<Position>, rows: &Sealed) -> Result<bool, Halt> {
        let giving = self.sink.apply(self.instance, at, rows);
        let applied = timeout(self.options.patience, giving)
            .await
            .map_err(|_| Fault::new(Reason::Timeout, "no answer in time"))??;
        let set_aside = match applied {
            Applied::Taken(set_aside) => set_aside,
            Applied::Elsewhere => return Ok(false),
        };
        if !set_aside.is_empty() {
            (self.aside)(&set_aside).map_err(|error| {
                let detail = format!("rows that the store refuses cannot be kept: {error}");
                Fault::new(Reason::Refused, detail)
            })?;
        }
        self.status.took(rows.rows.len(), set_aside.len());
        Ok(true)
    }

    /// Notes where the sink is, for the history to keep what follows.
    async fn note(&mut self, at: Position, is_end: bool) -> Result<(), Fault> {
        let is_due = match self.noted {
            None => true,
            Some((noted, when)) => noted != at && (is_end || when.elapsed() >= NOTE_EVERY),
        };
        if is_due {
            let history = Arc::clone(&self.history);
            let name = self.options.name.clone();
            blocking(move || history.sink_is_at(&name, at)).await?;
            self.noted = Some((at, Instant::now()));
        }
        Ok(())
    }

    /// Says what went wrong, once, and how long to wait.
    fn halted(&mut self, halt: &Halt) -> Duration {
        let sink = self.options.name.as_str();
        let (fault, state) = match halt {
            Halt::Fault(fault) => (fault, State::Down),
            Halt::Stop(fault) => (fault, State::Stopped),
        };
        if self.status.failed(fault, state) {
            match state {
                State::Stopped => tracing::error!(sink, %fault, "a sink has stopped"),
                _ => tracing::warn!(sink, %fault, "a sink takes no rows: they wait in the history"),
            }
        }
        let grown = BACKOFF[0].saturating_mul(1 << self.tries.min(10));
        self.tries += 1;
        let wait = if state == State::Stopped {
            BACKOFF[1]
        } else {
            fault.retry_after.unwrap_or(grown)
        };
        wait.min(BACKOFF[1])
    }
}

/// Asks the history off the thread that all sinks share.
async fn blocking<R: Send + 'static>(
    ask: impl FnOnce() -> Result<R, HistoryError> + Send + 'static,
) -> Result<R, Fault> {
    match spawn_blocking(ask).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Fault::new(Reason::History, error)),
        Err(panic) => Err(Fault::new(Reason::History, panic)),
    }
}
