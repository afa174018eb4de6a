//! What a worker has on its desk, and how it answers a request.

mod admission;
mod answer;
mod asked;
mod delivery;
mod fixtures;
mod ingest;
mod knowing;
mod stop;
mod succession;

pub(crate) use fixtures::Supplies;
pub(crate) use stop::Stop;

use super::limits::Counter;
use super::plan::{Kind, ModelPlan, Plan, ProviderPlan};
use super::price_book::{BookInUse, PriceBook};
use super::request_line::RequestLine;
use super::routing::{Breaker, Keys};
use super::setup::Setup;
use super::simulated;
use super::upstream::{AddressBook, Pool};
use crate::wire::request_id::RequestId;
use crate::wire::simulator::Simulator;
use coo_llm_core::catalog::EventId;
use coo_llm_core::{Record, UnixMillis};
use fixtures::Fixtures;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Names of unlisted models that a worker remembers; above it, it forgets and asks the
/// catalogue again, which costs a lock and a look-up and loses nothing.
const CONFIRMED_MODELS_MAX: usize = 4096;

/// Names that a provider has answered for. The model is made when it is first asked for
/// under the plan of this desk.
type Confirmed = HashMap<Arc<str>, Option<Arc<ModelPlan>>>;

/// One worker's part of the gateway, for one plan. It never leaves its thread.
///
/// A reload makes a new desk; requests under way stay at the one that they began on, so
/// that places in its plan stay right. What must not be there twice is shared by both.
pub(crate) struct Desk {
    plan: Arc<Plan>,
    fixtures: Rc<Fixtures>,
    /// A pool a provider.
    pools: Vec<Rc<Pool>>,
    /// A simulator a provider that is one.
    simulators: Vec<Option<Rc<RefCell<Simulator>>>>,
    /// The keys of each provider.
    keys: Vec<Keys>,
    /// Whether each provider is left alone.
    breakers: Vec<Rc<RefCell<Breaker>>>,
    /// Unlisted models that each provider has answered for.
    confirmed: Vec<RefCell<Confirmed>>,
    addresses: RefCell<Arc<AddressBook>>,
    prices: RefCell<Rc<BookInUse>>,
    limits: Counter,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// The first desk of a worker.
    pub(crate) fn new(supplies: &Supplies, setup: &Setup, worker: usize) -> Self {
        let plan = &setup.plan;
        let fixtures = Rc::new(Fixtures::new(supplies, setup, worker));
        let simulators = plan.providers.iter().map(|provider| match &provider.kind {
            Kind::Simulator(sim) => Some(simulated::simulator(sim, worker)),
            Kind::Http(_) => None,
        });
        let keys = |provider: &ProviderPlan| Keys::new(provider.keys.len(), worker);
        let breaker = |_| {
            Rc::new(RefCell::new(Breaker::new(
                plan.policy.circuit_breaker,
                plan.epoch,
            )))
        };
        Self {
            pools: plan.providers.iter().map(|_| Rc::default()).collect(),
            simulators: simulators
                .map(|sim| sim.map(|sim| Rc::new(RefCell::new(sim))))
                .collect(),
            // Workers start at different keys, so that few requests spread over all of them.
            keys: plan.providers.iter().map(keys).collect(),
            breakers: plan.providers.iter().map(breaker).collect(),
            confirmed: plan.providers.iter().map(|_| RefCell::default()).collect(),
            addresses: RefCell::new(Arc::clone(&setup.addresses)),
            prices: RefCell::new(Rc::new(BookInUse(Arc::clone(&setup.prices)))),
            limits: Counter::new(Arc::clone(&setup.ledgers), Rc::clone(&fixtures.seat)),
            fixtures,
            plan: Arc::clone(plan),
        }
    }

    /// Whether it was made for this plan.
    pub(crate) fn is_for(&self, plan: &Arc<Plan>) -> bool {
        Arc::ptr_eq(&self.plan, plan)
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn limits(&self) -> &Counter {
        &self.limits
    }

    pub(crate) fn none(&self) -> Arc<str> {
        Arc::clone(&self.fixtures.none)
    }

    pub(crate) fn record(&self, record: &Record<'_>) {
        self.fixtures.writer.borrow_mut().record(record);
    }

    /// A provider gets a request with this key.
    pub(crate) fn begins(&self, provider: usize, key: usize) {
        self.keys[provider].begins(key);
        self.active(provider, 1);
    }

    /// It has it no more.
    pub(crate) fn ends(&self, provider: usize, key: usize) {
        self.keys[provider].ends(key);
        self.active(provider, -1);
    }

    fn active(&self, provider: usize, change: i64) {
        let series = self.plan.providers[provider].series;
        self.fixtures.writer.borrow_mut().active(series, change);
    }

    fn count(&self, event: EventId) {
        self.fixtures.writer.borrow_mut().count(event);
    }

    pub(crate) fn log(&self, line: RequestLine) {
        (self.fixtures.log)(line);
    }

    /// The wall clock's time at `now`.
    pub(crate) fn unix_millis(&self, now: Instant) -> UnixMillis {
        self.fixtures.unix_millis(now)
    }

    fn request_id(&self, client_header: Option<&[u8]>) -> RequestId {
        self.fixtures.request_ids.borrow_mut().take(client_header)
    }

    /// A model by its name at the provider.
    fn model(&self, provider: usize, name: &str) -> Arc<ModelPlan> {
        let plan = &self.plan.providers[provider];
        if let Some(model) = plan.models.get(name) {
            return Arc::clone(model);
        }
        match self.confirmed[provider].borrow_mut().get_mut(name) {
            None => {
                let price = self.prices.borrow().0.of_other(provider, name);
                Arc::new(plan.unconfirmed(name, price))
            }
            Some(confirmed) => self.made(provider, name, confirmed),
        }
    }

    /// The same model now that its provider has answered for it.
    pub(crate) fn confirmed(&self, provider: usize, model: &Arc<ModelPlan>) -> Arc<ModelPlan> {
        let plan = &self.plan.providers[provider];
        if !plan.takes_any || model.routes != plan.unconfirmed {
            return Arc::clone(model);
        }
        let mut confirmed = self.confirmed[provider].borrow_mut();
        if confirmed.len() >= CONFIRMED_MODELS_MAX {
            confirmed.clear();
        }
        let entry = confirmed.entry(Arc::clone(&model.name)).or_default();
        self.made(provider, &model.name, entry)
    }

    fn made(
        &self,
        provider: usize,
        name: &str,
        confirmed: &mut Option<Arc<ModelPlan>>,
    ) -> Arc<ModelPlan> {
        let plan = &self.plan.providers[provider];
        let made = || {
            let price = self.prices.borrow().0.of_other(provider, name);
            Arc::new(plan.confirmed(name, price, self.plan.meter.catalog()))
        };
        Arc::clone(confirmed.get_or_insert_with(made))
    }

    /// Takes new addresses of the providers.
    pub(crate) fn readdress(&self, book: Arc<AddressBook>) {
        self.addresses.replace(book);
    }

    /// The prices that a request which begins now is billed by.
    pub(crate) fn prices(&self) -> Rc<BookInUse> {
        Rc::clone(&self.prices.borrow())
    }

    /// Takes new prices, for requests that begin from now on.
    pub(crate) fn reprice(&self, book: &Arc<PriceBook>) {
        if Arc::ptr_eq(book, &self.prices.borrow().0) {
            return;
        }
        for confirmed in &self.confirmed {
            for model in confirmed.borrow_mut().values_mut() {
                // Made again, with its price, when it is next asked for.
                *model = None;
            }
        }
        self.prices.replace(Rc::new(BookInUse(Arc::clone(book))));
    }

    /// What is due once a second.
    pub(crate) fn tidy(&self) {
        self.fixtures.tidy();
        for pool in &self.pools {
            pool.tidy();
        }
    }

    /// Lets go of idle connections, and of those that become idle.
    pub(crate) fn close(&self) {
        for pool in &self.pools {
            pool.close();
        }
    }
}
