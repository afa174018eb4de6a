//! Our meter at the standard work.

use crate::backend::{Backend, Writer};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use crate::tally::Tally;
use coo_llm_core::catalog::{ClientId, Route};
use coo_llm_core::names::Names;
use coo_llm_core::record::{Attempt, Endpoint, Outcome, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, ShardWriter, UnixMillis};
use coo_llm_exporters::prometheus::{Format, Namespace, Renderer};
use std::sync::Mutex;

/// As long as those that the gateway makes.
const REQUEST_ID: &str = "req_0123456789abcdeffffe000000000000";

/// How a record names its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Ids that were resolved before.
    Id,
    /// Label values, resolved at each record.
    Label,
    /// Ids; and the record has a request id, an overhead and one attempt, as the gateway's
    /// have for an answer in one piece.
    IdWhole,
    /// The same, on a meter that crosses routes with clients for a history.
    IdPairs,
}

/// The meter with its catalogue filled.
#[derive(Debug)]
pub struct Ours {
    /// The meter.
    pub meter: Meter,
    by: By,
    routes: Vec<Route>,
    clients: Vec<ClientId>,
    route_names: Vec<RouteNames>,
    client_names: Vec<String>,
    renderer: Mutex<Renderer>,
}

impl Ours {
    /// A meter for a set.
    #[must_use]
    pub fn new(set: &Set, by: By) -> Self {
        let meter = match by {
            By::IdPairs => Meter::with_pairs(1_000_000),
            By::Id | By::Label | By::IdWhole => Meter::new(1_000_000),
        };
        let route_names: Vec<_> = (0..set.routes()).map(|at| set.route_names(at)).collect();
        let client_names: Vec<_> = (0..set.clients).map(|at| set.client_name(at)).collect();
        let catalog = meter.catalog();
        let routes = route_names
            .iter()
            .map(|names| catalog.route(&names.provider, &names.model, &names.key))
            .collect();
        let clients = client_names
            .iter()
            .map(|name| catalog.client(name))
            .collect();
        let renderer = Mutex::new(Renderer::new(Namespace::default(), UnixMillis(0)));
        Self {
            meter,
            by,
            routes,
            clients,
            route_names,
            client_names,
            renderer,
        }
    }
}

/// One thread's writer, with the ids it needs.
#[derive(Debug)]
pub struct OursWriter<'a> {
    ours: &'a Ours,
    writer: ShardWriter,
    names: Names,
}

impl OursWriter<'_> {
    #[inline]
    fn write(&mut self, route: Route, client: ClientId, pick: &Pick) {
        let latency = Micros(u64::from(pick.latency));
        let attempt = Attempt {
            route,
            outcome: Outcome::Success,
            latency,
            limited: None,
        };
        let is_whole = matches!(self.ours.by, By::IdWhole | By::IdPairs);
        let attempts = std::slice::from_ref(&attempt);
        self.writer.record(&Record {
            route,
            client,
            endpoint: Endpoint::ChatCompletions,
            request_id: is_whole.then_some(REQUEST_ID),
            finished: UnixMillis(1_700_000_000_000),
            latency,
            overhead: is_whole.then_some(Micros(40)),
            time_to_first_token: None,
            time_per_output_token: None,
            tokens: Tokens {
                input: u64::from(pick.input),
                output: u64::from(pick.output),
                ..Tokens::default()
            },
            usage: Some(UsageSource::Provider),
            cost: Some(NanoUsd(u64::from(pick.cost))),
            error: None,
            limited: None,
            attempts: if is_whole { attempts } else { &[] },
        });
    }
}

impl Writer for OursWriter<'_> {
    #[inline]
    fn record(&mut self, pick: &Pick) {
        let (at, client_at) = (pick.route as usize, pick.client as usize);
        let ours = self.ours;
        let (route, client) = if ours.by == By::Label {
            let (names, catalog) = (&mut self.names, ours.meter.catalog());
            let RouteNames {
                provider,
                model,
                key,
            } = &ours.route_names[at];
            (
                names.route(catalog, provider, model, key),
                names.client(catalog, &ours.client_names[client_at]),
            )
        } else {
            (ours.routes[at], ours.clients[client_at])
        };
        self.write(route, client, pick);
    }

    fn record_new_client(&mut self, pick: &Pick, name: &str) {
        let client = self.ours.meter.catalog().client(name);
        self.write(self.ours.routes[pick.route as usize], client, pick);
    }
}

impl Backend for Ours {
    type Writer<'a> = OursWriter<'a>;

    fn writer(&self) -> OursWriter<'_> {
        OursWriter {
            ours: self,
            writer: self.meter.writer(),
            names: Names::default(),
        }
    }

    fn tally(&self) -> Tally {
        let snapshot = self.meter.snapshot();
        let routes = self.routes.iter().map(|route| {
            let of = snapshot.route(route.id);
            [of.requests, of.tokens.input, of.tokens.output, of.cost.0]
        });
        let clients = self.clients.iter().map(|client| {
            let of = snapshot.client(*client);
            [of.requests, of.tokens.total(), of.cost.0]
        });
        let all = snapshot.total_latency();
        Tally {
            routes: routes.collect(),
            clients: clients.collect(),
            buckets: all.whole().classic().map(|(_, n)| n).collect(),
            latency_us: all.whole().sum().0,
        }
    }

    fn scrape(&self, page: &mut Vec<u8>) {
        let mut renderer = self.renderer.lock().expect("no scrape panics");
        self.meter.read(|snapshot| {
            renderer.render(Format::Text, snapshot, self.meter.catalog(), &[], page);
        });
    }
}
