//! What was taken of limits and budgets, by name: it outlives the plan, and the client
//! too, so that who is taken out of the configuration and put back has not got all of it
//! anew.

use super::{SpentBefore, Windows};
use crate::gateway::plan::Plan;
use coo_llm_config::Limits;
use coo_llm_core::UnixMillis;
use coo_llm_core::limiter::{Period, Spending, Terms, Window};
use std::collections::HashMap;
use std::sync::Arc;

/// Of one client or key: what it has, or once had.
#[derive(Clone, Debug, Default)]
struct Taken {
    requests: Option<Arc<Window>>,
    tokens: Option<Arc<Window>>,
}

impl Taken {
    fn windows(&mut self, limits: Limits, workers: usize) -> Windows {
        let window = |limit: Option<u64>, window: &mut Option<Arc<Window>>| {
            let new = || Arc::new(Window::new(workers));
            limit.map(|limit| (limit, Arc::clone(window.get_or_insert_with(new))))
        };
        Windows {
            requests: window(limits.req_per_min, &mut self.requests),
            tokens: window(limits.tokens_per_min, &mut self.tokens),
        }
    }
}

/// See the module. It grows with the names that were ever configured, as series do.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    clients: HashMap<Arc<str>, Taken>,
    /// By the `key` label.
    keys: HashMap<Box<str>, Taken>,
    /// By client, with the period that it is counted by.
    budgets: HashMap<Arc<str>, (Period, Arc<Spending>)>,
}

impl Kept {
    pub(super) fn client_windows(
        &mut self,
        id: &Arc<str>,
        limits: Limits,
        workers: usize,
    ) -> Windows {
        if limits == Limits::default() {
            return Windows::default();
        }
        let taken = self.clients.entry(Arc::clone(id)).or_default();
        taken.windows(limits, workers)
    }

    pub(super) fn key_windows(&mut self, label: &str, limits: Limits, workers: usize) -> Windows {
        let taken = self.keys.entry(label.into()).or_default();
        taken.windows(limits, workers)
    }

    /// What a client has spent; of a budget by another period than these terms', nothing.
    pub(super) fn spending(
        &mut self,
        id: &Arc<str>,
        terms: Terms,
        workers: usize,
    ) -> Arc<Spending> {
        let new = || (terms.per, Arc::new(Spending::new(workers)));
        let (_, spending) = self.budgets.entry(Arc::clone(id)).or_insert_with(new);
        Arc::clone(spending)
    }

    /// Whether what a client spends is counted by this period.
    pub(super) fn counts(&self, id: &str, per: Period) -> bool {
        self.budgets.get(id).is_some_and(|(known, _)| *known == per)
    }

    /// Makes ready for the terms of the next plan: a budget that is new, or whose period is
    /// another one, counts anew, from what `before` says of its client; where that says
    /// nothing, from what was spent in the period so far.
    pub(super) fn go_on(
        &mut self,
        plan: &Plan,
        workers: usize,
        now: UnixMillis,
        before: &[SpentBefore],
    ) {
        let before: HashMap<&str, &SpentBefore> =
            before.iter().map(|it| (&*it.client, it)).collect();
        for client in &plan.clients {
            let Some(terms) = client.budget else { continue };
            let known = self.budgets.get(&client.id);
            let known = known.map(|(per, spending)| (*per, Arc::clone(spending)));
            let seed = match (before.get(&*client.id), known) {
                (_, Some((per, _))) if per == terms.per => continue,
                (Some(before), _) => (before.spent, before.at),
                (None, Some((per, spending))) => (spending.read(per, now).spent, now),
                (None, None) => continue,
            };
            let mut spending = Spending::new(workers);
            spending.seed(terms.per, seed.0, seed.1);
            let kept = (terms.per, Arc::new(spending));
            self.budgets.insert(Arc::clone(&client.id), kept);
        }
    }
}
