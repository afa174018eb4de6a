//! What was spent before a budget was counted; and, once a period, in the log, that one is
//! spent.

use coo_llm_core::UnixMillis;
use coo_llm_core::limiter::Period;
use coo_llm_exporters::history::{History, HistoryError};
use coo_llm_http::gateway::{BudgetStanding, Setups, SpentBefore};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How soon it is said; nobody acts on it faster.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The wall clock.
pub(crate) fn now() -> UnixMillis {
    UnixMillis(coo_llm_runtime::unix_ms())
}

/// So many clients are asked for one by one; for more the time of their periods is read once.
const FEW: usize = 16;

/// What these clients have spent in their present periods, as the history knows it. What it
/// cannot say is left out, and said in the log. It may wait for the disk.
pub(super) fn spent_before(history: &History, clients: &[(Arc<str>, Period)]) -> Vec<SpentBefore> {
    let mut all = Vec::new();
    for per in [Period::Day, Period::Month] {
        let of_period = clients.iter().filter(|(_, its)| *its == per);
        let ids: Vec<_> = of_period.map(|(id, _)| id).collect();
        match spent_by(history, per, &ids) {
            Ok(spent) => all.extend(spent),
            Err(error) => tracing::error!(
                %error,
                clients = ids.len(),
                "the history cannot say what was spent: budgets begin at 0"
            ),
        }
    }
    all
}

fn spent_by(
    history: &History,
    per: Period,
    ids: &[&Arc<str>],
) -> Result<Vec<SpentBefore>, HistoryError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let at = history.clock(now());
    let since = per.start(per.index(at));
    let mut spent = HashMap::new();
    if ids.len() <= FEW {
        for id in ids {
            spent.extend(history.spent(since, Some(id), at)?);
        }
    } else {
        spent = history.spent(since, None, at)?;
    }
    let of = |id: &&Arc<str>| SpentBefore {
        client: id.to_string(),
        spent: spent.get(&***id).copied().unwrap_or_default(),
        at,
    };
    Ok(ids.iter().map(of).collect())
}

/// Starts to look, until the control plane ends.
pub(super) fn start(setups: Setups, runtime: &Handle) {
    runtime.spawn(async move {
        let mut said = Said::default();
        loop {
            for standing in said.news(setups.current().ledgers.budgets(now())) {
                tracing::warn!(
                    client_id = &*standing.client,
                    budget_usd = standing.budget.as_usd_f64(),
                    spent_usd = standing.spent.as_usd_f64(),
                    "a client's budget is spent"
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
}

/// The period, by its end, for which each client's budget was last said to be spent.
#[derive(Debug, Default)]
struct Said(HashMap<Arc<str>, UnixMillis>);

impl Said {
    /// The budgets that are spent, and were not said to be in their period.
    fn news(&mut self, budgets: Vec<BudgetStanding>) -> Vec<BudgetStanding> {
        let spent = budgets.into_iter().filter(|it| it.spent >= it.budget);
        let is_new = |it: &BudgetStanding| {
            let client = Arc::clone(&it.client);
            self.0.insert(client, it.resets) != Some(it.resets)
        };
        spent.filter(is_new).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::NanoUsd;
    use coo_llm_core::limiter::Period;

    #[test]
    fn a_spent_budget_is_news_once_a_period() {
        let standing = |client: &str, spent, resets| BudgetStanding {
            client: client.into(),
            budget: NanoUsd(10),
            spent: NanoUsd(spent),
            per: Period::Day,
            resets: UnixMillis(resets),
        };
        let mut said = Said::default();
        let mut news = |spent, resets| {
            let budgets = vec![standing("a", spent, resets), standing("b", 9, resets)];
            said.news(budgets).len()
        };
        assert_eq!(news(9, 1), 0);
        assert_eq!(news(10, 1), 1);
        assert_eq!(news(11, 1), 0);
        assert_eq!(news(0, 2), 0);
        assert_eq!(news(12, 2), 1);
    }
}
