//! What a worker has on its desk, and how it answers a request.

mod admission;
mod answer;
mod asked;
mod delivery;
mod ingest;
mod knowing;
mod stop;

pub(crate) use stop::Stop;

use super::ingest::IngestCounters;
use super::limits::{Counter, Ledgers};
use super::plan::{Kind, ModelPlan, ModelPrice, Plan, ProviderPlan};
use super::price_book::{BookInUse, PriceBook};
use super::request_line::{RequestLine, RequestLog};
use super::routing::{Breaker, Keys};
use super::simulated;
use super::upstream::{AddressBook, Pool};
use crate::control::Handover;
use crate::wire::prng::Prng;
use crate::wire::request_id::{ProcessTag, RequestId, RequestIds};
use crate::wire::simulator::Simulator;
use coo_llm_core::catalog::EventId;
use coo_llm_core::{Record, ShardWriter, UnixMillis};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Names of unlisted models that a worker remembers; above it, it forgets and asks the
/// catalogue again, which costs a lock and a look-up and loses nothing.
const CONFIRMED_MODELS_MAX: usize = 4096;

type Confirmed = HashMap<Arc<str>, Arc<ModelPlan>>;

/// One worker's part of the gateway. It never leaves its thread.
pub(crate) struct Desk {
    plan: Arc<Plan>,
    writer: RefCell<ShardWriter>,
    /// A pool a provider.
    pools: Vec<Rc<Pool>>,
    /// A simulator a provider that is one.
    simulators: Vec<Option<RefCell<Simulator>>>,
    /// The keys of each provider.
    keys: Vec<Keys>,
    /// Whether each provider is left alone.
    breakers: Vec<RefCell<Breaker>>,
    /// For the jitter of pauses.
    chance: RefCell<Prng>,
    /// Unlisted models that each provider has answered for.
    confirmed: Vec<RefCell<Confirmed>>,
    addresses: RefCell<Arc<AddressBook>>,
    prices: RefCell<Rc<BookInUse>>,
    request_ids: RefCell<RequestIds>,
    /// A moment by both clocks, so that a record needs no reading of the wall clock.
    anchor: Cell<(Instant, UnixMillis)>,
    log: RequestLog,
    none: Arc<str>,
    handover: Handover,
    /// Whether the control plane listens elsewhere.
    is_control_apart: bool,
    ingest: ingest::IngestDesk,
    limits: Counter,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// What a desk needs from outside.
#[derive(Clone)]
pub(crate) struct Supplies {
    pub(crate) plan: Arc<Plan>,
    pub(crate) log: RequestLog,
    pub(crate) handover: Handover,
    pub(crate) is_control_apart: bool,
    pub(crate) process: ProcessTag,
    pub(crate) ingest: Arc<IngestCounters>,
    pub(crate) ledgers: Arc<Ledgers>,
}

impl Desk {
    pub(crate) fn new(supplies: &Supplies, worker: usize) -> Self {
        let plan = &supplies.plan;
        let simulators = plan.providers.iter().map(|provider| match &provider.kind {
            Kind::Simulator(sim) => Some(RefCell::new(simulated::simulator(sim, worker))),
            Kind::Http(_) => None,
        });
        // Workers start at different keys, so that few requests spread over all of them.
        let keys = |provider: &ProviderPlan| Keys::new(provider.keys.len(), worker);
        let breaker = |_| RefCell::new(Breaker::new(plan.policy.circuit_breaker, plan.epoch));
        let ids = RequestIds::new(supplies.process, u16::try_from(worker).unwrap_or(u16::MAX));
        Self {
            writer: RefCell::new(plan.meter.writer()),
            pools: plan.providers.iter().map(|_| Rc::default()).collect(),
            simulators: simulators.collect(),
            keys: plan.providers.iter().map(keys).collect(),
            breakers: plan.providers.iter().map(breaker).collect(),
            chance: RefCell::new(Prng::new(RandomState::new().hash_one(worker))),
            confirmed: plan.providers.iter().map(|_| RefCell::default()).collect(),
            addresses: RefCell::default(),
            prices: RefCell::default(),
            request_ids: RefCell::new(ids),
            anchor: Cell::new(anchor()),
            log: Arc::clone(&supplies.log),
            none: coo_llm_core::catalog::NONE.into(),
            handover: supplies.handover.clone(),
            is_control_apart: supplies.is_control_apart,
            ingest: ingest::IngestDesk::new(Arc::clone(&supplies.ingest)),
            limits: Counter::new(Arc::clone(&supplies.ledgers), worker),
            plan: Arc::clone(plan),
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn limits(&self) -> &Counter {
        &self.limits
    }

    pub(crate) fn none(&self) -> Arc<str> {
        Arc::clone(&self.none)
    }

    pub(crate) fn record(&self, record: &Record<'_>) {
        self.writer.borrow_mut().record(record);
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
        self.writer.borrow_mut().active(series, change);
    }

    fn count(&self, event: EventId) {
        self.writer.borrow_mut().count(event);
    }

    pub(crate) fn log(&self, line: RequestLine) {
        (self.log)(line);
    }

    /// The wall clock's time at `now`.
    pub(crate) fn unix_millis(&self, now: Instant) -> UnixMillis {
        let (then, unix) = self.anchor.get();
        let passed = now.saturating_duration_since(then).as_millis();
        UnixMillis(
            unix.0
                .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)),
        )
    }

    fn request_id(&self, client_header: Option<&[u8]>) -> RequestId {
        self.request_ids.borrow_mut().take(client_header)
    }

    /// A model by its name at the provider.
    fn model(&self, provider: usize, name: &str) -> Arc<ModelPlan> {
        let plan = &self.plan.providers[provider];
        if let Some(model) = plan.models.get(name) {
            return Arc::clone(model);
        }
        if let Some(model) = self.confirmed[provider].borrow().get(name) {
            return Arc::clone(model);
        }
        let price = self.prices.borrow().0.of_other(provider, name);
        Arc::new(plan.unconfirmed(name, price))
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
        let entry = confirmed.entry(Arc::clone(&model.name));
        let made = || {
            let price = self.prices.borrow().0.of_other(provider, &model.name);
            Arc::new(plan.confirmed(&model.name, price, self.plan.meter.catalog()))
        };
        Arc::clone(entry.or_insert_with(made))
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
    pub(crate) fn reprice(&self, book: Arc<PriceBook>) {
        for (provider, confirmed) in self.confirmed.iter().enumerate() {
            for model in confirmed.borrow_mut().values_mut() {
                *model = Arc::new(ModelPlan {
                    name: Arc::clone(&model.name),
                    price: ModelPrice::Own(book.of_other(provider, &model.name)),
                    routes: model.routes.clone(),
                });
            }
        }
        self.prices.replace(Rc::new(BookInUse(book)));
    }

    /// What is due once a second.
    pub(crate) fn tidy(&self) {
        self.anchor.set(anchor());
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

fn anchor() -> (Instant, UnixMillis) {
    // A clock before 1970 is as good as 1970.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (
        Instant::now(),
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
    )
}
