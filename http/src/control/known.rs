//! Which clients and providers there are.

use super::Shared;
use coo_llm_core::catalog::{NONE, OTHER, Route};
use std::collections::HashSet;

/// Whether a name is somebody's, and not that of nobody or of all the rest.
fn is_somebodys(name: &str) -> bool {
    name != NONE && name != OTHER
}

impl Shared {
    /// Whether a client is configured.
    pub(super) fn configures_client(&self, id: &str) -> bool {
        let plan = &self.setups.current().plan;
        plan.clients.iter().any(|client| *client.id == *id)
    }

    /// Whether a provider is configured.
    pub(super) fn configures_provider(&self, id: &str) -> bool {
        let plan = &self.setups.current().plan;
        plan.providers.iter().any(|provider| *provider.id == *id)
    }

    /// How many clients and how many providers are configured, or used something since the
    /// start: those of ingested records are in no configuration.
    pub(super) fn known(&self) -> (usize, usize) {
        let plan = &self.setups.current().plan;
        let catalog = self.meter.catalog();
        let mut clients: HashSet<&str> = plan.clients.iter().map(|client| &*client.id).collect();
        let mut providers: HashSet<&str> = plan.providers.iter().map(|it| &*it.id).collect();
        self.meter.read(|snapshot| {
            let used = |(id, _): &(_, _)| snapshot.client(*id).requests > 0;
            clients.extend(catalog.clients().filter(used).map(|(_, name)| name));
            let used = |route: &Route| snapshot.route(route.id).requests > 0;
            let routes = catalog.routes().filter(used);
            providers.extend(routes.map(|route| catalog.provider_name(route.provider)));
        });
        let count = |names: HashSet<&str>| names.into_iter().filter(|it| is_somebodys(it)).count();
        (count(clients), count(providers))
    }
}
