//! From the desk of one plan to the desk of the next, when the configuration is reloaded.
//!
//! What is known of a provider goes with its id as long as it stays at the same place,
//! and what is known of a key with the key. The old desk goes when its last request ends.

use super::{Confirmed, Desk};
use crate::gateway::limits::Counter;
use crate::gateway::plan::{Kind, ProviderPlan};
use crate::gateway::price_book::BookInUse;
use crate::gateway::routing::{Breaker, Keys};
use crate::gateway::setup::Setup;
use crate::gateway::simulated;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

impl Desk {
    /// The desk for another setup. It shares with this one what must not be there twice:
    /// the writer, connections to providers, what is known of keys and providers.
    pub(crate) fn succeeded_by(&self, setup: &Setup) -> Self {
        let plan = &setup.plan;
        let mut next = Self {
            plan: Arc::clone(plan),
            fixtures: Rc::clone(&self.fixtures),
            pools: Vec::new(),
            simulators: Vec::new(),
            keys: Vec::new(),
            breakers: Vec::new(),
            confirmed: Vec::new(),
            addresses: RefCell::new(Arc::clone(&setup.addresses)),
            prices: RefCell::new(Rc::new(BookInUse(Arc::clone(&setup.prices)))),
            limits: Counter::new(Arc::clone(&setup.ledgers), Rc::clone(&self.fixtures.seat)),
        };
        for provider in plan.providers.iter() {
            next.take_on(provider, self);
        }
        for (at, provider) in self.plan.providers.iter().enumerate() {
            // Requests under way still connect there; nothing is kept after them.
            if plan.same_place(provider).is_none() {
                self.pools[at].close();
            }
        }
        next
    }

    /// Makes ready for a provider, with what the desk before knows of it.
    fn take_on(&mut self, provider: &ProviderPlan, before: &Self) {
        let policy = &self.plan.policy;
        let worker = self.fixtures.worker;
        let known = before.plan.same_place(provider);
        let simulator = match (&provider.kind, known) {
            (Kind::Http(_), _) => None,
            (Kind::Simulator(_), Some(at)) => before.simulators[at].clone(),
            (Kind::Simulator(sim), None) => {
                Some(Rc::new(RefCell::new(simulated::simulator(sim, worker))))
            }
        };
        let Some(at) = known else {
            let breaker = Breaker::new(policy.circuit_breaker, self.plan.epoch);
            self.pools.push(Rc::default());
            self.simulators.push(simulator);
            self.keys.push(Keys::new(provider.keys.len(), worker));
            self.breakers.push(Rc::new(RefCell::new(breaker)));
            self.confirmed.push(RefCell::default());
            return;
        };
        let breaker = Rc::clone(&before.breakers[at]);
        breaker.borrow_mut().obey(policy.circuit_breaker);
        let keys = &before.plan.providers[at].keys;
        let same_key = provider
            .keys
            .iter()
            .map(|key| keys.iter().position(|known| known.is_same(key)));
        let names = before.confirmed[at].borrow();
        let confirmed: Confirmed = names.keys().map(|name| (Arc::clone(name), None)).collect();
        self.pools.push(Rc::clone(&before.pools[at]));
        self.simulators.push(simulator);
        self.keys.push(before.keys[at].succeeded_by(same_key));
        self.breakers.push(breaker);
        self.confirmed.push(RefCell::new(confirmed));
    }
}
