//! The thread that watches clients: it reads what is over, and judges once a minute.

use super::Failure;
use super::budgets::now;
use coo_llm_config::{Config, Sensitivity as Wanted};
use coo_llm_core::limiter::Period;
use coo_llm_core::{Micros, UnixMillis};
use coo_llm_exporters::health::{Budget, Change, Sensitivity};
use coo_llm_exporters::history::{History, HistoryError};
use coo_llm_exporters::watch::{Board, CLIENTS_MAX, News, Options, SERIES_PER_CLIENT, Step, Watch};
use coo_llm_http::gateway::Setups;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MINUTE_MS: u64 = 60_000;
/// After the end of a minute, so that what ended in it was recorded.
const AFTER_MS: u64 = 500;
/// Rest after each step while weeks are read, so that no core is held.
const REST: Duration = Duration::from_millis(5);

/// The thread and its end.
#[derive(Debug)]
pub(super) struct Watching {
    end: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// What is to be watched, and how; `None` where it is turned off or there is no history.
pub(super) fn watch(config: &Config, history: Option<&Arc<History>>) -> Option<Watch> {
    let wanted = config.client_health;
    history.filter(|_| wanted.enabled)?;
    let series = usize::try_from(config.metrics.max_series).unwrap_or(usize::MAX);
    Some(Watch::new(Options {
        sensitivity: match wanted.sensitivity {
            Wanted::Low => Sensitivity::Low,
            Wanted::Normal => Sensitivity::Normal,
            Wanted::High => Sensitivity::High,
        },
        clients_max: CLIENTS_MAX.min(series / SERIES_PER_CLIENT),
    }))
}

/// Starts to watch.
pub(super) fn start(
    watch: Watch,
    history: Arc<History>,
    setups: Setups,
) -> Result<Watching, Failure> {
    let (end, ended) = mpsc::sync_channel(1);
    let board = watch.board();
    let job = Job {
        watch,
        history,
        setups,
        ended,
    };
    let thread = std::thread::Builder::new()
        .name("coo-clients".to_owned())
        .spawn(move || job.run(&board))
        .map_err(|error| Failure::system("the thread that watches clients", error))?;
    Ok(Watching { end, thread })
}

impl Watching {
    /// Ends it, within a step.
    pub(super) fn stop(self) {
        // An error means that the thread has ended already.
        let _told = self.end.send(());
        if self.thread.join().is_err() {
            tracing::error!("the thread that watches clients panicked");
        }
    }
}

struct Job {
    watch: Watch,
    history: Arc<History>,
    setups: Setups,
    ended: Receiver<()>,
}

impl Job {
    fn run(mut self, board: &Board) {
        let mut failing = None;
        loop {
            let began = Instant::now();
            let result = self.catch_up();
            let error = match result {
                Ok(true) => {
                    for news in self.judge() {
                        say(&news);
                    }
                    None
                }
                Ok(false) => return,
                Err(error) => Some(error.to_string()),
            };
            if error != failing {
                if let Some(error) = &error {
                    tracing::error!(error, "clients are not watched: the history cannot be read");
                }
                failing.clone_from(&error);
            }
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            board.ran(Micros(took), now(), error);
            let rest = MINUTE_MS - (now().0 + MINUTE_MS - AFTER_MS) % MINUTE_MS;
            let rest = Duration::from_millis(rest);
            if self.ended.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Reads and learns everything that is over; `false` where it is to end.
    fn catch_up(&mut self) -> Result<bool, HistoryError> {
        while self.watch.step(&self.history, now())? == Step::Behind {
            if self.ended.try_recv() != Err(TryRecvError::Empty) {
                return Ok(false);
            }
            std::thread::sleep(REST);
        }
        Ok(true)
    }

    fn judge(&mut self) -> Vec<News> {
        let budgets = budgets(&self.setups, now());
        self.watch.judge(&self.history, &budgets, now())
    }
}

fn budgets(setups: &Setups, now: UnixMillis) -> HashMap<Arc<str>, Budget> {
    let standings = setups.current().ledgers.budgets(now);
    let budget = |it: coo_llm_http::gateway::BudgetStanding| {
        let budget = Budget {
            amount: it.budget,
            start_s: begins(it.per, it.resets).0 / 1000,
            end_s: it.resets.0 / 1000,
            spent: it.spent,
        };
        (it.client, budget)
    };
    standings.into_iter().map(budget).collect()
}

/// When the period that ends at `resets` began.
fn begins(per: Period, resets: UnixMillis) -> UnixMillis {
    per.start(per.index(UnixMillis(resets.0.saturating_sub(1))))
}

fn say(news: &News) {
    let client = &*news.client;
    match news.change {
        Change::Began(kind) => {
            let text = news.text.as_deref().unwrap_or_default();
            tracing::warn!(client_id = client, kind = kind.name(), "{text}");
        }
        Change::Ended(kind) => {
            tracing::info!(client_id = client, kind = kind.name(), "it is over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_where_the_one_before_ended() {
        let midnight = UnixMillis(1_700_006_400_000);
        let day = UnixMillis(1_699_920_000_000);
        assert_eq!(begins(Period::Day, midnight), day);
        let december = UnixMillis(1_701_388_800_000);
        assert_eq!(
            begins(Period::Month, december),
            UnixMillis(1_698_796_800_000)
        );
    }
}
