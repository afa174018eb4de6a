//! What the workers go by, swapped as one: a plan, and what fits that plan and no other.
//!
//! ```text
//! reload     --replace-->  Setups  --watch-->  each worker: a new desk for new requests
//! resolving  --readdress-->                    the same desk with other addresses
//! price file --reprice---->                    or prices
//! ```
//! Requests under way keep the desk that they began on. A worker that has taken a plan
//! says so, so that a reload can tell when the old one is used by no new request.

use super::limits::Ledgers;
use super::plan::Plan;
use super::price_book::PriceBook;
use super::upstream::AddressBook;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// See the module.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration, resolved.
    pub plan: Arc<Plan>,
    /// Where the plan's providers are.
    pub addresses: Arc<AddressBook>,
    /// What the plan's models cost.
    pub prices: Arc<PriceBook>,
    /// What was taken of the plan's limits.
    pub ledgers: Arc<Ledgers>,
    /// A permit from each worker that has taken the plan.
    taken: Arc<Semaphore>,
}

impl Setup {
    /// The plan, and what was made for it.
    #[must_use]
    pub fn new(plan: Plan, addresses: AddressBook, prices: PriceBook, ledgers: Ledgers) -> Self {
        Self {
            plan: Arc::new(plan),
            addresses: Arc::new(addresses),
            prices: Arc::new(prices),
            ledgers: Arc::new(ledgers),
            taken: Arc::new(Semaphore::new(0)),
        }
    }

    /// Says that a worker has taken the plan.
    pub(crate) fn is_taken(&self) {
        self.taken.add_permits(1);
    }
}

/// The setup that the workers are to use. Clones share it.
#[derive(Clone, Debug)]
pub struct Setups {
    newest: watch::Sender<Arc<Setup>>,
}

impl Setups {
    /// Begins with a setup.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let (newest, _) = watch::channel(Arc::new(setup));
        Self { newest }
    }

    /// The setup in use.
    #[must_use]
    pub fn current(&self) -> Arc<Setup> {
        Arc::clone(&self.newest.borrow())
    }

    /// Puts another setup in the place of the one in use.
    pub fn replace(&self, setup: Setup) {
        self.newest.send_replace(Arc::new(setup));
    }

    /// Puts a plan that differs in its clients alone in the place of the one in use, with its
    /// ledgers. Addresses and prices stay.
    pub fn with_plan(&self, plan: Plan, ledgers: Ledgers) {
        self.newest.send_modify(|setup| {
            *setup = Arc::new(Setup {
                plan: Arc::new(plan),
                addresses: Arc::clone(&setup.addresses),
                prices: Arc::clone(&setup.prices),
                ledgers: Arc::new(ledgers),
                taken: Arc::new(Semaphore::new(0)),
            });
        });
    }

    /// Says where the providers of `plan` are; nothing where that is known, or where
    /// another plan is in use by now.
    pub fn readdress(&self, plan: &Arc<Plan>, addresses: &AddressBook) {
        self.newest.send_if_modified(|setup| {
            let is_news = Arc::ptr_eq(&setup.plan, plan) && *setup.addresses != *addresses;
            if is_news {
                let mut next = Setup::clone(setup);
                next.addresses = Arc::new(addresses.clone());
                *setup = Arc::new(next);
            }
            is_news
        });
    }

    /// Says what the models of the plan in use cost: `prices` was made for that one, so
    /// call it where [`Setups::replace`] is called.
    pub fn reprice(&self, prices: PriceBook) {
        self.newest.send_modify(|setup| {
            let mut next = Setup::clone(setup);
            next.prices = Arc::new(prices);
            *setup = Arc::new(next);
        });
    }

    /// Waits until so many workers have taken the setup in use, or until `patience` is over.
    /// Whether they all have.
    ///
    /// It needs a tokio runtime with time.
    pub async fn taken_by(&self, workers: usize, patience: Duration) -> bool {
        let taken = Arc::clone(&self.newest.borrow().taken);
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        let all = tokio::time::timeout(patience, taken.acquire_many(workers)).await;
        // Given back with this: who asks again is told the same.
        all.is_ok()
    }

    /// Follows the setup in use.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Arc<Setup>> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_config::Config;
    use coo_llm_core::{Meter, UnixMillis};
    use std::net::SocketAddr;

    const CONFIG: &str = "
llm_providers:
  - { id: one, type: custom, base_url: \"http://one.test/v1\", api_keys: [k1, k2] }
  - { id: two, type: custom, base_url: \"http://two.test/v1\", api_keys: [k3] }
";

    fn config(text: &str) -> Config {
        coo_llm_config::parse(text, &|_| None).expect("a sound configuration")
    }

    fn book(port: u16) -> AddressBook {
        let mut book = AddressBook::default();
        book.set(0, vec![SocketAddr::from(([127, 0, 0, 1], port))]);
        book
    }

    fn setup(plan: Plan) -> Setup {
        let (prices, ledgers) = (PriceBook::default(), Ledgers::new(&plan, 2, &[]));
        Setup::new(plan, book(1), prices, ledgers)
    }

    #[tokio::test]
    async fn addresses_fit_their_plan_and_a_plan_is_taken_by_all_or_not() {
        let plan = |meter: &Meter| Plan::new(&config(CONFIG), meter).expect("a plan");
        let meter = Meter::new(100);
        let setups = Setups::new(setup(plan(&meter)));
        let news = setups.follow();
        let first = setups.current();
        setups.readdress(&first.plan, &book(1));
        assert_eq!(news.has_changed().ok(), Some(false), "it is known");
        setups.readdress(&first.plan, &book(2));
        assert_eq!(*setups.current().addresses, book(2));

        // A worker that takes it late, by an address that came in between.
        setups.current().is_taken();
        assert!(!setups.taken_by(2, Duration::ZERO).await);
        first.is_taken();
        assert!(setups.taken_by(2, Duration::ZERO).await);

        let next = first.plan.succeeded_by(&config(CONFIG)).expect("a plan");
        let ledgers = first.ledgers.succeeded_by(&next, UnixMillis(0), &[]);
        setups.replace(Setup::new(next, book(3), PriceBook::default(), ledgers));
        setups.readdress(&first.plan, &book(4));
        assert_eq!(*setups.current().addresses, book(3), "of another plan");
        assert!(!setups.taken_by(1, Duration::ZERO).await);
    }

    #[test]
    fn a_plan_takes_over_what_is_known_of_the_same_places_and_keys() {
        let meter = Meter::new(100);
        let first = Plan::new(&config(CONFIG), &meter).expect("a plan");
        first.providers[0].keys[1]
            .aside
            .refused(401, 0, &first.policy.key_cooldown);
        first.providers[1].keys[0]
            .aside
            .refused(401, 0, &first.policy.key_cooldown);
        let is_up = |plan: &Plan| -> Vec<bool> {
            let keys = plan.health().into_iter().flat_map(|provider| provider.keys);
            keys.map(|key| key.is_up).collect()
        };
        assert_eq!(is_up(&first), [true, false, false]);
        // Other places in the list, another order of keys, a new one, and `two` has moved.
        let next = CONFIG
            .replace("[k1, k2]", "[k4, k2, k1]")
            .replace("two.test", "elsewhere.test");
        let next = first.succeeded_by(&config(&next)).expect("a plan");
        assert_eq!(is_up(&next), [true, false, true, true]);
        assert_eq!((next.number, next.epoch), (1, first.epoch));

        let series = meter.catalog().providers().count();
        let mut bad = config(&CONFIG.replace("id: one", "id: new"));
        bad.providers[1].base_url = Some("http://user@two.test/v1".into());
        assert!(first.succeeded_by(&bad).is_err());
        assert_eq!(
            meter.catalog().providers().count(),
            series,
            "nothing was made"
        );
    }
}
