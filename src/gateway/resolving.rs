//! Resolves the providers' names on the control side, and tells the workers.

use coo_llm_http::gateway::{AddressBook, Plan, Setup, Setups};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long an answer is used: as long as many providers' DNS records live.
const REFRESH: Duration = Duration::from_secs(30);
/// How soon it is tried again while a name has no address.
const RETRY: Duration = Duration::from_secs(2);
/// How long a reload waits for names that are new; a slow name server holds up no more.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(5);

/// Starts to resolve the names of the plan in use, whichever it is.
pub(super) fn start(setups: Setups, runtime: &Handle) {
    runtime.spawn(async move {
        let mut news = setups.follow();
        let mut failing = HashSet::new();
        loop {
            let setup = Arc::clone(&news.borrow_and_update());
            let pause = refresh(&setups, &setup, &mut failing).await;
            tokio::select! {
                () = sleep(pause) => {}
                () = other_plan(&mut news, &setup) => {}
            }
        }
    });
}

/// Waits until another plan is in use.
async fn other_plan(news: &mut tokio::sync::watch::Receiver<Arc<Setup>>, setup: &Setup) {
    while news.changed().await.is_ok() {
        if !Arc::ptr_eq(&news.borrow().plan, &setup.plan) {
            return;
        }
    }
    // The workers are gone, and this task goes with the process.
    std::future::pending::<()>().await;
}

/// Resolves all names of a setup, and says when they are to be resolved again.
async fn refresh(setups: &Setups, setup: &Setup, failing: &mut HashSet<(String, u16)>) -> Duration {
    let mut book = AddressBook::clone(&setup.addresses);
    let mut still_failing = HashSet::new();
    let names = names(&setup.plan);
    for (at, host, port) in names {
        match lookup(&host, port).await {
            Ok(found) => book.set(at, found),
            // The last addresses stay: they are more likely right than none.
            Err(error) => {
                let name = (host, port);
                if !failing.contains(&name) {
                    tracing::warn!(host = name.0.as_str(), %error, "a provider's name has no address");
                }
                still_failing.insert(name);
            }
        }
    }
    setups.readdress(&setup.plan, &book);
    *failing = still_failing;
    if failing.is_empty() { REFRESH } else { RETRY }
}

/// The addresses for a plan that is not in use yet: those of `known`, literal ones, and
/// those of names that are new, if they come in time.
pub(super) async fn of_new_plan(plan: &Plan, known: &Setup) -> AddressBook {
    let mut book = AddressBook::of_literals(&plan.hosts());
    let before: HashMap<(String, u16), usize> = known
        .plan
        .hosts()
        .into_iter()
        .map(|(at, host, port)| ((host, port), at))
        .collect();
    let mut looked_up = JoinSet::new();
    for (at, host, port) in names(plan) {
        let name = (host, port);
        match before.get(&name).map(|at| known.addresses.of(*at)) {
            Some(addresses) if !addresses.is_empty() => book.set(at, addresses.to_vec()),
            _ => {
                looked_up.spawn(async move { (at, lookup(&name.0, name.1).await) });
            }
        }
    }
    // What does not come is warned of by the refresh, which follows at once.
    let _in_time = timeout(FIRST_WAIT_MAX, async {
        while let Some(found) = looked_up.join_next().await {
            if let Ok((at, Ok(addresses))) = found {
                book.set(at, addresses);
            }
        }
    })
    .await;
    book
}

/// The hosts that are no literal addresses.
fn names(plan: &Plan) -> Vec<(usize, String, u16)> {
    let hosts = plan.hosts();
    let literals = AddressBook::of_literals(&hosts);
    let is_name = |(at, ..): &(usize, String, u16)| literals.of(*at).is_empty();
    hosts.into_iter().filter(is_name).collect()
}

async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    Ok(found.collect())
}
