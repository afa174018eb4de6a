//! Clients that the admin API makes, changes and deletes: kept first, then taken by every
//! worker, then answered.

use super::{Done, Reloader, TAKEN_WAIT_MAX};
use crate::gateway::budgets;
use crate::keys;
use coo_llm_http::control::clients::ClientOrder;
use coo_llm_http::control::{Followed, OrderRefused};
use coo_llm_http::gateway::{Plan, Setup, SpentBefore};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// What every generated key begins with.
const KEY_PREFIX: &str = "sk-coo-";

impl Reloader {
    /// Follows an order about a client: whole, or not at all.
    pub(super) async fn change_client(&self, order: &ClientOrder) -> Done {
        let now = budgets::now();
        let config = &self.document.config;
        let roster = self.clients.current();
        let (change, answer) = roster.change(order, config, now, || keys::random(KEY_PREFIX))?;
        let roster = roster.with(&change, config, now);
        let before = self.setups.current();
        let plan = before.plan.with_clients(roster.clients());
        let clients = Arc::clone(&self.clients);
        // The control thread does not wait for the disk.
        let kept = spawn_blocking(move || clients.keep(&change)).await;
        let kept = kept.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        kept.map_err(|error| {
            tracing::error!(%error, "a change of a client cannot be written down");
            OrderRefused::Store(format!(
                "The change cannot be written down, and was not made: {error}."
            ))
        })?;

        // As late as can be: what is spent from here on until the workers have taken the plan
        // is not of a budget that is new.
        let spent = self.spent_before(&before, &plan).await;
        // From here on nothing fails. Addresses or prices may be others by now, but only this
        // task makes another plan.
        let ledgers = before.ledgers.succeeded_by(&plan, budgets::now(), &spent);
        self.setups.with_plan(plan, ledgers);
        self.clients.publish(roster);
        if self.setups.taken_by(self.workers, TAKEN_WAIT_MAX).await {
            Ok(Followed::Client(answer))
        } else {
            tracing::warn!("a worker has not taken a change of a client yet");
            Err(OrderRefused::Late(
                "The change is written down, but a worker has not taken it yet.".to_owned(),
            ))
        }
    }

    /// What the history knows of clients whose budget was not counted under the plan before.
    pub(super) async fn spent_before(&self, before: &Setup, plan: &Plan) -> Vec<SpentBefore> {
        let uncounted = before.ledgers.uncounted(plan);
        match &self.history {
            Some(history) if !uncounted.is_empty() => {
                let history = Arc::clone(history);
                let read = spawn_blocking(move || budgets::spent_before(&history, &uncounted));
                read.await.unwrap_or_else(|error| {
                    tracing::error!(%error, "the history was not asked what was spent");
                    Vec::new()
                })
            }
            _ => Vec::new(),
        }
    }
}
