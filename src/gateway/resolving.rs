//! Resolves the providers' names on the control side, and tells the workers.

use coo_llm_http::gateway::AddressBook;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch::{self, Receiver};

/// How long an answer is used: as long as many providers' DNS records live.
const REFRESH: Duration = Duration::from_secs(30);
/// How soon it is tried again while a name has no address.
const RETRY: Duration = Duration::from_secs(2);

/// Starts to resolve; literal addresses are there at once.
pub(super) fn start(
    hosts: Vec<(usize, String, u16)>,
    runtime: &Handle,
) -> Receiver<Arc<AddressBook>> {
    let literals = AddressBook::of_literals(&hosts);
    let (publish, addresses) = watch::channel(Arc::new(literals.clone()));
    let names: Vec<_> = hosts
        .into_iter()
        .filter(|(at, ..)| literals.of(*at).is_empty())
        .collect();
    runtime.spawn(async move {
        let mut book = literals;
        let mut is_failing = vec![false; names.len()];
        loop {
            for ((at, host, port), failing) in names.iter().zip(&mut is_failing) {
                match tokio::net::lookup_host((host.as_str(), *port)).await {
                    Ok(found) => {
                        book.set(*at, found.collect());
                        *failing = false;
                    }
                    // The last addresses stay: they are more likely right than none.
                    Err(error) => {
                        if !*failing {
                            tracing::warn!(host = host.as_str(), %error, "a provider's name has no address");
                        }
                        *failing = true;
                    }
                }
            }
            publish.send_if_modified(|known| {
                let is_new = **known != book;
                if is_new {
                    *known = Arc::new(book.clone());
                }
                is_new
            });
            if names.is_empty() {
                // Kept open: workers take a closed channel for the end.
                publish.closed().await;
                return;
            }
            let pause = if is_failing.contains(&true) { RETRY } else { REFRESH };
            tokio::time::sleep(pause).await;
        }
    });
    addresses
}
