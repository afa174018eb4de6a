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
mod kept;
mod keys;
mod standing;

pub(crate) use counter::{Account, Claim, Counter, Moment};
pub(crate) use estimate::Estimate;
pub(crate) use keys::{Held, KeyClaim};
pub(crate) use standing::Standing;

use super::plan::Plan;
use coo_llm_core::limiter::{Period, Seat, Spending, Terms, Window};
use coo_llm_core::{NanoUsd, UnixMillis};
use kept::Kept;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What was taken of the limits of one client or key; `None` where there is no limit.
#[derive(Debug, Default)]
struct Windows {
    requests: Option<(u64, Arc<Window>)>,
    tokens: Option<(u64, Arc<Window>)>,
}

/// What a client took.
#[derive(Debug)]
struct ClientLedger {
    id: Arc<str>,
    windows: Windows,
    budget: Option<(Terms, Arc<Spending>)>,
}

/// A worker's seat, shared by its desks; `None` for a worker that there is none for.
pub(crate) type OwnSeat = Rc<RefCell<Option<Seat>>>;

/// How a client's budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetStanding {
    /// The client's id.
    pub client: Arc<str>,
    /// What it may spend a period.
    pub budget: NanoUsd,
    /// What it spent in this one: the costs of the requests that are over.
    pub spent: NanoUsd,
    /// How long a period is.
    pub per: Period,
    /// When the next one begins.
    pub resets: UnixMillis,
}

/// What was spent before this process, or before there was a budget: for [`Ledgers::new`] and
/// [`Ledgers::succeeded_by`]. The last one of a client counts.
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
    /// Whether any key has limits.
    has_limited_keys: bool,
    /// What times are counted from.
    epoch: Instant,
    workers: usize,
    /// The workers' seats, until they take them.
    seats: Arc<Mutex<Vec<Option<Seat>>>>,
    /// What was taken under this plan and those before it.
    kept: Kept,
}

impl Ledgers {
    /// Ledgers for so many workers, with nothing taken but `before`; what is before a
    /// client's present period, or of a client without a budget, is left out.
    #[must_use]
    pub fn new(plan: &Plan, workers: usize, before: &[SpentBefore]) -> Self {
        let seats = Seat::all(workers).into_iter().map(Some).collect();
        let mut kept = Kept::default();
        kept.go_on(plan, workers, UnixMillis(0), before);
        Self::of(
            plan,
            workers,
            Instant::now(),
            Arc::new(Mutex::new(seats)),
            kept,
        )
    }

    /// The ledgers of the plan that follows: clients and keys that are in it have taken
    /// what they took so far, under whichever plan of this process.
    ///
    /// A limit that is new begins with nothing taken. A budget that is new, or whose period is
    /// another one, begins with what `before` says of its client; see [`Ledgers::uncounted`].
    /// Where that says nothing, what was spent in the period before counts in the new one.
    #[must_use]
    pub fn succeeded_by(&self, plan: &Plan, now: UnixMillis, before: &[SpentBefore]) -> Self {
        let mut kept = self.kept.clone();
        kept.go_on(plan, self.workers, now, before);
        Self::of(
            plan,
            self.workers,
            self.epoch,
            Arc::clone(&self.seats),
            kept,
        )
    }

    fn of(
        plan: &Plan,
        workers: usize,
        epoch: Instant,
        seats: Arc<Mutex<Vec<Option<Seat>>>>,
        mut kept: Kept,
    ) -> Self {
        let clients = plan.clients.iter().map(|client| {
            let windows = kept.client_windows(&client.id, client.limits, workers);
            let budget = client.budget;
            let budget = budget.map(|terms| (terms, kept.spending(&client.id, terms, workers)));
            let is_limited =
                windows.requests.is_some() || windows.tokens.is_some() || budget.is_some();
            is_limited.then(|| ClientLedger {
                id: Arc::clone(&client.id),
                windows,
                budget,
            })
        });
        let clients = clients.collect();
        let mut has_limited_keys = false;
        let keys = plan.providers.iter().map(|provider| {
            let limits = provider.limits;
            let is_limited = limits.req_per_min.is_some() || limits.tokens_per_min.is_some();
            has_limited_keys |= is_limited;
            let keys = provider.keys.iter().filter(|_| is_limited);
            keys.map(|key| kept.key_windows(&key.label, limits, workers))
                .collect()
        });
        let keys = keys.collect();
        Self {
            clients,
            keys,
            has_limited_keys,
            epoch,
            workers,
            seats,
            kept,
        }
    }

    /// The clients of a plan with a budget, and by what period it is.
    #[must_use]
    pub fn with_budgets(plan: &Plan) -> Vec<(Arc<str>, Period)> {
        let clients = plan.clients.iter();
        clients
            .filter_map(|client| Some((Arc::clone(&client.id), client.budget?.per)))
            .collect()
    }

    /// Those of the plan that follows whose budget was not counted so far.
    #[must_use]
    pub fn uncounted(&self, plan: &Plan) -> Vec<(Arc<str>, Period)> {
        let mut uncounted = Self::with_budgets(plan);
        uncounted.retain(|(id, per)| !self.kept.counts(id, *per));
        uncounted
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
                    per: terms.per,
                    resets: read.resets,
                })
            })
            .collect()
    }

    /// The seat of a worker; each is given once.
    pub(crate) fn seat(&self, worker: usize) -> OwnSeat {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = seats.get_mut(worker).and_then(Option::take);
        Rc::new(RefCell::new(seat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::Meter;

    const DAY: UnixMillis = UnixMillis(24 * 60 * 60 * 1000);

    fn plan(budgets: &str, meter: &Meter) -> Plan {
        let text = format!(
            "llm_providers: [{{ id: one, type: custom, base_url: \"http://one.test/v1\" }}]\n\
             api_keys: [{budgets}]"
        );
        let config = coo_llm_config::parse(&text, &|_| None).expect("sound");
        Plan::new(&config, meter).expect("a plan")
    }

    fn before(client: &str, spent: u64, at: UnixMillis) -> SpentBefore {
        SpentBefore {
            client: client.to_owned(),
            spent: NanoUsd(spent),
            at,
        }
    }

    fn spent(ledgers: &Ledgers, now: UnixMillis) -> Vec<u64> {
        let budgets = ledgers.budgets(now);
        budgets.iter().map(|budget| budget.spent.0).collect()
    }

    #[test]
    fn a_budget_begins_with_what_was_spent_before_and_is_counted_once() {
        let meter = Meter::new(100);
        let now = UnixMillis(DAY.0 + 5);
        let daily = "{ id: a, key: ka, budget: { usd: 1, per: day } }";
        let first = plan(daily, &meter);
        let per_day = vec![(Arc::from("a"), Period::Day)];
        assert_eq!(Ledgers::with_budgets(&first), per_day);
        let ledgers = Ledgers::new(&first, 2, &[before("a", 7, now), before("b", 9, now)]);
        assert_eq!(spent(&ledgers, now), [7]);
        assert_eq!(spent(&ledgers, UnixMillis(2 * DAY.0)), [0], "the next day");
        // What is counted is not taken from the history again.
        assert_eq!(ledgers.uncounted(&first), []);
        let same = ledgers.succeeded_by(&first, now, &[before("a", 100, now)]);
        assert_eq!(spent(&same, now), [7]);
        // A new client's budget, and one by another period, are.
        let both = "{ id: a, key: ka, budget: { usd: 1, per: month } }, \
                    { id: b, key: kb, budget: { usd: 1, per: day } }";
        let second = plan(both, &meter);
        let uncounted = ledgers.uncounted(&second);
        assert_eq!(
            uncounted,
            [
                (Arc::from("a"), Period::Month),
                (Arc::from("b"), Period::Day)
            ]
        );
        let next = ledgers.succeeded_by(&second, now, &[before("a", 30, now), before("b", 4, now)]);
        assert_eq!(spent(&next, now), [30, 4]);
        // Where nobody knows, the period of before counts, and a new budget begins anew.
        let blind = ledgers.succeeded_by(&second, now, &[]);
        assert_eq!(spent(&blind, now), [7, 0]);
        // Who is taken out and put back has what it had.
        let back = next.succeeded_by(&first, now, &[]);
        let back = back.succeeded_by(&second, now, &[]);
        assert_eq!(spent(&back, now)[1], 4);
    }
}
