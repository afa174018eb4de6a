//! What was taken of limits and budgets, by name: it outlives the plan, and the client
//! too, so that who is taken out of the configuration and put back has not got all of it
//! anew.

use super::Windows;
use crate::gateway::plan::Plan;
use coo_llm_config::Limits;
use coo_llm_core::limiter::{Period, Spending, Terms, Window};
use coo_llm_core::{NanoUsd, UnixMillis};
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

    /// Says what was spent before this process.
    pub(super) fn seed(
        &mut self,
        id: &Arc<str>,
        terms: Terms,
        workers: usize,
        spent: impl Iterator<Item = (NanoUsd, UnixMillis)>,
    ) {
        let mut spending = Spending::new(workers);
        for (spent, at) in spent {
            spending.seed(terms.per, spent, at);
        }
        let kept = (terms.per, Arc::new(spending));
        self.budgets.insert(Arc::clone(id), kept);
    }

    /// Makes ready for the terms of the next plan: a budget whose period is another one
    /// counts anew, from what was spent in its period so far.
    pub(super) fn go_on(&mut self, plan: &Plan, workers: usize, now: UnixMillis) {
        for client in &plan.clients {
            let known = self.budgets.get(&client.id);
            if let (Some(terms), Some((per, spending))) = (client.budget, known)
                && terms.per != *per
            {
                let spent = spending.read(*per, now).spent;
                self.seed(&client.id, terms, workers, [(spent, now)].into_iter());
            }
        }
    }
}
