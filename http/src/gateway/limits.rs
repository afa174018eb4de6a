//! Limits and budgets: of clients, and of the keys of providers.
//!
//! ```text
//! plan: limits, terms --> Ledgers: what was taken, shared by all workers
//!                            ^ Counter, one a worker: claim before, settle after
//!                            '.. control plane: budgets(), for gauges and the log
//! ```
//! The arithmetic, and why no request exceeds a limit, is [`coo_llm_core::limiter`];
//! docs/limits.md says what users can rely on.

mod counter;
mod estimate;
mod keys;
mod standing;

pub(crate) use counter::{Claim, Counter, Moment};
pub(crate) use estimate::Estimate;
pub(crate) use keys::KeyClaim;
pub(crate) use standing::Standing;

use super::plan::Plan;
use coo_llm_core::limiter::{Seat, Spending, Terms, Window};
use coo_llm_core::{NanoUsd, UnixMillis};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What was taken of the limits of one client or key; `None` where there is no limit.
#[derive(Debug)]
struct Windows {
    requests: Option<(u64, Window)>,
    tokens: Option<(u64, Window)>,
}

impl Windows {
    fn new(limits: coo_llm_config::Limits, workers: usize) -> Self {
        let window = |limit: u64| (limit, Window::new(workers));
        Self {
            requests: limits.req_per_min.map(window),
            tokens: limits.tokens_per_min.map(window),
        }
    }
}

/// What a client took.
#[derive(Debug)]
struct ClientLedger {
    id: Arc<str>,
    windows: Windows,
    budget: Option<(Terms, Spending)>,
}

/// How a client's budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetStanding {
    /// The client's id.
    pub client: Arc<str>,
    /// What it may spend a period.
    pub budget: NanoUsd,
    /// What it spent in this one: the costs of the requests that are over.
    pub spent: NanoUsd,
    /// When the next one begins.
    pub resets: UnixMillis,
}

/// What was spent before this process, for [`Ledgers::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentBefore {
    /// The client's id.
    pub client: String,
    /// How much.
    pub spent: NanoUsd,
    /// When it was read; it counts in the budget's period that this lies in.
    pub at: UnixMillis,
}

/// What all workers took of every limit and budget of a plan.
#[derive(Debug)]
pub struct Ledgers {
    /// In the plan's order; `None` for a client without limits.
    clients: Vec<Option<ClientLedger>>,
    /// A provider each, with a place a key; empty for a provider without limits.
    keys: Vec<Box<[Windows]>>,
    /// What times are counted from.
    epoch: Instant,
    /// The workers' seats, until they take them.
    seats: Mutex<Vec<Option<Seat>>>,
}

impl Ledgers {
    /// Ledgers for so many workers, with nothing taken but `before`; what is before a
    /// client's present period, or of a client without a budget, is left out.
    #[must_use]
    pub fn new(plan: &Plan, workers: usize, before: &[SpentBefore]) -> Self {
        let ledger = |client: &super::plan::ClientPlan| {
            let limits = client.limits;
            let budget = client.budget.map(|terms| {
                let mut spending = Spending::new(workers);
                for before in before.iter().filter(|before| *before.client == *client.id) {
                    spending.seed(terms.per, before.spent, before.at);
                }
                (terms, spending)
            });
            let is_limited =
                limits.req_per_min.is_some() || limits.tokens_per_min.is_some() || budget.is_some();
            is_limited.then(|| ClientLedger {
                id: Arc::clone(&client.id),
                windows: Windows::new(limits, workers),
                budget,
            })
        };
        let keys = |provider: &super::plan::ProviderPlan| {
            let limits = provider.limits;
            let is_limited = limits.req_per_min.is_some() || limits.tokens_per_min.is_some();
            let keys = provider.keys.iter().filter(|_| is_limited);
            keys.map(|_| Windows::new(limits, workers)).collect()
        };
        Self {
            clients: plan.clients.iter().map(ledger).collect(),
            keys: plan.providers.iter().map(keys).collect(),
            epoch: Instant::now(),
            seats: Mutex::new(Seat::all(workers).into_iter().map(Some).collect()),
        }
    }

    /// How the budgets stand, in the order of the configuration.
    #[must_use]
    pub fn budgets(&self, now: UnixMillis) -> Vec<BudgetStanding> {
        let clients = self.clients.iter().flatten();
        clients
            .filter_map(|client| {
                let (terms, spending) = client.budget.as_ref()?;
                let read = spending.read(terms.per, now);
                Some(BudgetStanding {
                    client: Arc::clone(&client.id),
                    budget: terms.usd,
                    spent: read.spent,
                    resets: read.resets,
                })
            })
            .collect()
    }

    /// The seat of a worker; each is given once.
    fn seat(&self, worker: usize) -> Option<Seat> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.get_mut(worker)?.take()
    }
}
