//! The meter, as the benches use it.

use crate::work::{Item, RouteName, Set, Sums};
use coo_llm_core::catalog::{ClientId, Route};
use coo_llm_core::names::Names;
use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, ShardWriter, Snapshot, UnixMillis};

/// A meter and the ids of a set.
#[derive(Clone, Debug)]
pub struct Ours {
    /// The meter.
    pub meter: Meter,
    /// By place in [`Set::routes`].
    pub routes: Vec<Route>,
    /// By place in [`Set::client_names`].
    pub clients: Vec<ClientId>,
}

impl Ours {
    /// A meter that knows the set's names.
    #[must_use]
    pub fn new(set: &Set) -> Self {
        let meter = Meter::new(1_000_000);
        let catalog = meter.catalog();
        let routes = set.routes();
        let routes = routes
            .iter()
            .map(|r| catalog.route(&r.provider, &r.model, &r.key))
            .collect();
        let clients = set.client_names();
        let clients = clients.iter().map(|name| catalog.client(name)).collect();
        Self {
            meter,
            routes,
            clients,
        }
    }

    /// Records through resolved ids.
    #[inline]
    pub fn record(&self, writer: &mut ShardWriter, item: &Item) {
        record(
            writer,
            self.routes[item.route],
            self.clients[item.client],
            item,
        );
    }

    /// The meter's sums.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.meter.read(|snapshot| sums_of(&self.meter, snapshot))
    }
}

/// Records through names, with one look-up for the route and one for the client.
#[inline]
pub fn record_names(
    meter: &Meter,
    names: &mut Names,
    writer: &mut ShardWriter,
    route: &RouteName,
    client: &str,
    item: &Item,
) {
    let catalog = meter.catalog();
    let route = names.route(catalog, &route.provider, &route.model, &route.key);
    let client = names.client(catalog, client);
    record(writer, route, client, item);
}

/// One record of the standard work.
#[inline]
pub fn record(writer: &mut ShardWriter, route: Route, client: ClientId, item: &Item) {
    writer.record(&Record {
        route,
        client,
        endpoint: Endpoint::ChatCompletions,
        request_id: None,
        finished: UnixMillis(1_700_000_000_000),
        latency: Micros(item.latency_us),
        overhead: None,
        time_to_first_token: None,
        time_per_output_token: None,
        tokens: Tokens {
            input: item.input,
            output: item.output,
            ..Tokens::default()
        },
        usage: Some(UsageSource::Provider),
        cost: Some(NanoUsd(item.cost)),
        error: None,
        limited: None,
        attempts: &[],
    });
}

/// The sums of a snapshot.
#[must_use]
pub fn sums_of(meter: &Meter, snapshot: &Snapshot) -> Sums {
    let mut sums = Sums::default();
    for route in meter.catalog().routes() {
        let totals = snapshot.route(route.id);
        sums.requests += totals.requests;
        sums.input += totals.tokens.input;
        sums.output += totals.tokens.output;
        sums.cost += totals.cost.0;
    }
    for (client, _) in meter.catalog().clients() {
        let totals = snapshot.client(client);
        sums.client_requests += totals.requests;
        sums.client_tokens += totals.tokens.total();
        sums.client_cost += totals.cost.0;
    }
    for (model, _, _) in meter.catalog().models() {
        let latency = snapshot.latency(model);
        sums.latency_count += latency.count();
        sums.latency_us += latency.sum().0;
    }
    sums
}
