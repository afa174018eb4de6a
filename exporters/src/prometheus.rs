//! The Prometheus exposition formats: text 0.0.4, OpenMetrics 1.0 text and protobuf.
//!
//! Sources: <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/> and `metrics.proto` of
//! <https://github.com/prometheus/client_model>. Order is fixed: families
//! as below, then extras by name; in a family by label values. Two pages of the same
//! snapshot are the same bytes.

#[cfg(feature = "prometheus")]
mod collector;
mod extra;
#[cfg(feature = "prometheus")]
mod families_page;
mod known;
mod labels;
mod namespace;
mod native;
pub mod negotiation;
mod page;
pub mod process;
mod proto;
mod proto_page;
mod spread;
mod text_page;

#[cfg(test)]
mod tests;

#[cfg(feature = "prometheus")]
pub use collector::MeterCollector;
pub use extra::{Extra, Kind, LabelSet, Value};
pub use namespace::Namespace;

use coo_llm_core::catalog::{Family, NONE, Overflow, ProviderId};
use coo_llm_core::histogram::{LATENCY, OVERHEAD, TIME_PER_OUTPUT_TOKEN, TIME_TO_FIRST_TOKEN};
use coo_llm_core::record::{Endpoint, ErrorType, Limit, Origin, Outcome, Tokens, UsageSource};
use coo_llm_core::{Catalog, Snapshot, UnixMillis};
use known::Known;
use labels::{Labels, More};
use page::{Edges, Page, Terms, Type};

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
    /// Length-delimited `MetricFamily` messages, with native histograms beside the classic
    /// ones if the [`Renderer`] is told so.
    Protobuf,
}

impl Format {
    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Endpoints whose overhead is there before their first request.
const ENDPOINTS_SERVED: [Endpoint; 4] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Models,
];

/// Values of a closed list, each with its rendered label, in the order of the texts.
type Closed<T> = Vec<(T, More)>;

fn closed<T: Copy>(all: &[T], label: &str, text: impl Fn(T) -> &'static str) -> Closed<T> {
    let mut all = all.to_vec();
    all.sort_by_key(|value| text(*value));
    let rendered = all
        .into_iter()
        .map(|value| (value, More::new(&[(label, text(value))])));
    rendered.collect()
}

/// Renders snapshots of one meter. Keeps each series' labels from scrape to scrape, as
/// text, and from the first page of protobuf on as its fields too.
#[derive(Debug)]
pub struct Renderer {
    namespace: Namespace,
    started: UnixMillis,
    native_histograms: bool,
    known: Known,
    /// Places in [`Tokens::KINDS`].
    token_kinds: Closed<usize>,
    errors: Closed<ErrorType>,
    outcomes: Closed<Outcome>,
    sources: Closed<UsageSource>,
    limits: Closed<Limit>,
    limits_by_origin: Closed<(Limit, Origin)>,
    endpoints: Labels<Endpoint>,
    overflows: Labels<Overflow>,
    /// In the order of [`Catalog::sets`].
    set_kinds: Labels<usize>,
    recorded: Labels<()>,
    latency: Edges,
    first_token: Edges,
    per_token: Edges,
    overhead: Edges,
}

impl Renderer {
    /// A renderer that has seen nothing.
    ///
    /// `started` is when the process did: every series counts from then on, which
    /// OpenMetrics says in `_created`.
    #[must_use]
    pub fn new(namespace: Namespace, started: UnixMillis) -> Self {
        let kinds: Vec<_> = (0..Tokens::KINDS.len()).collect();
        let mut limits_by_origin = Vec::new();
        for limit in Limit::ALL {
            for origin in Origin::ALL {
                let labels = [("limit", limit.as_str()), ("origin", origin.as_str())];
                limits_by_origin.push(((*limit, *origin), More::new(&labels)));
            }
        }
        limits_by_origin.sort_by_key(|((limit, origin), _)| (limit.as_str(), origin.as_str()));
        let mut endpoints = Labels::new();
        for endpoint in Endpoint::ALL {
            endpoints.push(*endpoint, &[("route", endpoint.as_str())]);
        }
        endpoints.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let mut overflows = Labels::new();
        let mut set_kinds = Labels::new();
        // The kinds of overflow are the kinds of sets, in their order.
        for (at, (kind, name)) in Overflow::ALL.into_iter().enumerate() {
            overflows.push(kind, &[("family", name)]);
            set_kinds.push(at, &[("family", name)]);
        }
        let text = |kind: Overflow| Overflow::ALL[kind as usize].1;
        overflows.sort_by(|a, b| text(a).cmp(text(b)));
        set_kinds.sort_by(|a, b| Overflow::ALL[a].1.cmp(Overflow::ALL[b].1));
        let mut recorded = Labels::new();
        recorded.push((), &[("stage", "recorded")]);
        endpoints.encode();
        overflows.encode();
        set_kinds.encode();
        recorded.encode();
        Self {
            namespace,
            started,
            native_histograms: true,
            known: Known::new(),
            token_kinds: closed(&kinds, "type", |at| Tokens::KINDS[at]),
            errors: closed(ErrorType::ALL, "type", ErrorType::as_str),
            outcomes: closed(Outcome::ALL, "outcome", Outcome::as_str),
            sources: closed(UsageSource::ALL, "source", UsageSource::as_str),
            limits: closed(Limit::ALL, "limit", Limit::as_str),
            limits_by_origin,
            endpoints,
            overflows,
            set_kinds,
            recorded,
            latency: Edges::of(&LATENCY),
            first_token: Edges::of(&TIME_TO_FIRST_TOKEN),
            per_token: Edges::of(&TIME_PER_OUTPUT_TOKEN),
            overhead: Edges::of(&OVERHEAD),
        }
    }

    /// Whether pages of protobuf have native histograms; they do unless this is called.
    #[must_use]
    pub const fn native_histograms(mut self, wanted: bool) -> Self {
        self.native_histograms = wanted;
        self
    }

    /// Renders a page into `out`, in place of what is there; give it the same buffer
    /// again and it does not allocate.
    ///
    /// `catalog` is that of the snapshot's meter, the same one at every call. An extra
    /// must not have the name of a family of the meter.
    ///
    /// # Cost
    /// About 20 ns a series in each format: `examples/scrape_speed.rs`. Holds no lock of the catalogue.
    pub fn render(
        &mut self,
        format: Format,
        snapshot: &Snapshot,
        catalog: &Catalog,
        extras: &[Extra],
        out: &mut Vec<u8>,
    ) {
        self.known.catch_up(catalog);
        if format == Format::Protobuf {
            self.known.encode();
        }
        out.clear();
        let terms = Terms {
            namespace: &self.namespace,
            format,
            started: self.started,
            native_histograms: self.native_histograms,
        };
        self.write(Page::new(out, terms), snapshot, catalog, extras);
    }

    /// Writes all families to a page; the catalogue was caught up with.
    fn write(&self, mut page: Page<'_>, snapshot: &Snapshot, catalog: &Catalog, extras: &[Extra]) {
        self.routes(&mut page, snapshot);
        self.models(&mut page, snapshot);
        self.providers(&mut page, snapshot, catalog);
        self.clients(&mut page, snapshot);
        self.events(&mut page, snapshot);
        self.meter(&mut page, snapshot, catalog, extras);
        render_extras(&mut page, extras);
        page.close();
    }

    fn routes(&self, page: &mut Page<'_>, snapshot: &Snapshot) {
        let known = &self.known;
        page.counter("requests", "Finished requests, failed ones included.");
        for (route, set) in known.routes.sorted() {
            page.count(set, snapshot.route(route.id).requests);
        }
        page.counter("tokens", "Tokens used, by disjoint type.");
        for (route, set) in known.routes.sorted() {
            let counts = snapshot.route(route.id).tokens.by_kind();
            for (kind, more) in &self.token_kinds {
                if counts[*kind] > 0 || is_always_there(*kind) {
                    page.count_of(set, more, counts[*kind]);
                }
            }
        }
        page.counter("cost", "Known cost in USD; see unpriced_requests_total.");
        for (route, set) in known.routes.sorted() {
            page.sample(set, Value::Usd(snapshot.route(route.id).cost));
        }
        page.counter(
            "upstream_attempts",
            "Tries at providers: a request has none, one or several.",
        );
        for (route, set) in known.routes.sorted() {
            let reachable = self.is_provider(route.provider);
            for (outcome, more) in &self.outcomes {
                let count = snapshot.attempts(route.id, *outcome);
                if count > 0 || (reachable && *outcome == Outcome::Success) {
                    page.count_of(set, more, count);
                }
            }
        }
    }

    fn models(&self, page: &mut Page<'_>, snapshot: &Snapshot) {
        let known = &self.known;
        page.histograms(
            "latency_seconds",
            "From a request's arrival to the last byte of its answer.",
        );
        for ((model, _), set) in known.models.sorted() {
            let exemplars = if page.shows_exemplars() {
                snapshot.exemplars(model)
            } else {
                Vec::new()
            };
            page.histogram_with(set, &self.latency, snapshot.latency(model), &exemplars);
        }
        page.histograms(
            "time_to_first_token_seconds",
            "From a request's arrival to the first non-empty delta of its stream.",
        );
        for ((model, provider), set) in known.models.sorted() {
            let view = snapshot.time_to_first_token(model);
            if self.is_provider(provider) || view.count() > 0 {
                page.histogram(set, &self.first_token, view);
            }
        }
        page.histograms(
            "time_per_output_token_seconds",
            "Mean time between the output tokens of a stream.",
        );
        for ((model, provider), set) in known.models.sorted() {
            let view = snapshot.time_per_output_token(model);
            if self.is_provider(provider) || view.count() > 0 {
                page.histogram(set, &self.per_token, view);
            }
        }
        page.histograms(
            "upstream_latency_seconds",
            "From the start of an attempt at a provider to its end.",
        );
        for ((model, provider), set) in known.models.sorted() {
            let view = snapshot.upstream_latency(model);
            if self.is_provider(provider) || view.count() > 0 {
                page.histogram(set, &self.latency, view);
            }
        }
        page.histograms(
            "overhead_seconds",
            "Time of a request in which no provider was waited for.",
        );
        for (endpoint, set) in self.endpoints.sorted() {
            let view = snapshot.overhead(endpoint);
            if ENDPOINTS_SERVED.contains(&endpoint) || view.count() > 0 {
                page.histogram(set, &self.overhead, view);
            }
        }
        page.counter(
            "unpriced_requests",
            "Requests whose price is not known; cost_total leaves them out.",
        );
        let mut unpriced = vec![0u64; known.models.len()];
        for (route, _) in known.routes.sorted() {
            let sum = &mut unpriced[route.model.index()];
            *sum = sum.saturating_add(snapshot.route(route.id).unpriced);
        }
        for ((model, _), set) in known.models.sorted() {
            page.count(set, unpriced[model.index()]);
        }
    }

    fn providers(&self, page: &mut Page<'_>, snapshot: &Snapshot, catalog: &Catalog) {
        let known = &self.known;
        page.counter("errors", "Failed requests by type.");
        for (provider, set) in known.providers.sorted() {
            for (error, more) in &self.errors {
                page.count_of(set, more, snapshot.errors(provider, *error));
            }
        }
        page.gauge("active_requests", "Requests that wait for a provider now.");
        for (provider, set) in known.providers.sorted() {
            page.sample(set, Value::Signed(snapshot.active(provider)));
        }
        page.counter(
            "usage_source",
            "Requests by where their token counts come from.",
        );
        let mut by_source = vec![[0u64; UsageSource::ALL.len()]; known.providers.len()];
        for (route, _) in known.routes.sorted() {
            let sums = &mut by_source[route.provider.index()];
            for source in UsageSource::ALL {
                let sum = &mut sums[*source as usize];
                *sum = sum.saturating_add(snapshot.usage_source(route.id, *source));
            }
        }
        for (provider, set) in known.providers.sorted() {
            for (source, more) in &self.sources {
                page.count_of(set, more, by_source[provider.index()][*source as usize]);
            }
        }
        page.counter(
            "rate_limits",
            "Hits of a limit, ours or the provider's, by key.",
        );
        // A key's id is unique over all providers, but `none` may stand under several.
        let mut keys = known.keys.sorted().peekable();
        while let Some((key, set)) = keys.next() {
            let mut same = vec![key];
            while let Some((key, _)) = keys.next_if(|(_, next)| next.closed() == set.closed()) {
                same.push(key);
            }
            let is_key = catalog.key_name(key) != NONE;
            for ((limit, origin), more) in &self.limits_by_origin {
                let hits = same.iter().fold(0u64, |sum, key| {
                    sum.saturating_add(snapshot.key_limited(*key, *origin, *limit))
                });
                if is_key || hits > 0 {
                    page.count_of(set, more, hits);
                }
            }
        }
    }

    fn clients(&self, page: &mut Page<'_>, snapshot: &Snapshot) {
        let clients = &self.known.clients;
        page.counter("client_requests", "Finished requests by client.");
        for (client, set) in clients.sorted() {
            page.count(set, snapshot.client(client).requests);
        }
        page.counter("client_errors", "Failed requests by client.");
        for (client, set) in clients.sorted() {
            page.count(set, snapshot.client(client).errors);
        }
        page.counter("client_tokens", "Tokens used by client, by disjoint type.");
        for (client, set) in clients.sorted() {
            let counts = snapshot.client(client).tokens.by_kind();
            for (kind, more) in &self.token_kinds {
                if counts[*kind] > 0 || is_always_there(*kind) {
                    page.count_of(set, more, counts[*kind]);
                }
            }
        }
        page.counter("client_cost", "Known cost in USD by client.");
        for (client, set) in clients.sorted() {
            page.sample(set, Value::Usd(snapshot.client(client).cost));
        }
        page.counter(
            "client_rate_limits",
            "Requests that a limit of the gateway refused, by client.",
        );
        for (client, set) in clients.sorted() {
            for (limit, more) in &self.limits {
                page.count_of(set, more, snapshot.client_limited(client, *limit));
            }
        }
    }

    fn events(&self, page: &mut Page<'_>, snapshot: &Snapshot) {
        for (family, labels) in Family::ALL.iter().zip(&self.known.events) {
            let (name, help) = match family {
                Family::AdminRequests => ("admin_requests", "Requests to the admin API."),
                Family::AdminRateLimits => (
                    "admin_rate_limits",
                    "Requests to the admin API that its rate limit refused.",
                ),
                Family::AuthAttempts => ("auth_attempts", "Keys, tokens and passwords checked."),
                Family::Retries => ("retries", "Attempts that were repeated."),
                Family::Fallbacks => ("fallbacks", "Requests that went to another provider."),
            };
            page.counter(name, help);
            for (event, set) in labels.sorted() {
                page.count(set, snapshot.event(event));
            }
        }
    }

    fn meter(&self, page: &mut Page<'_>, snapshot: &Snapshot, catalog: &Catalog, extras: &[Extra]) {
        page.counter(RECORDS, "Records by stage of their way to the stores.");
        // The stages that stores know stand before `recorded`, by their names.
        let stages = extras.iter().filter(|extra| is_of_records(extra));
        render_samples(page, stages.flat_map(|extra| &extra.samples));
        for ((), set) in self.recorded.sorted() {
            page.count(set, snapshot.total().requests);
        }
        page.gauge("series", "Label sets that are counted.");
        let sets = catalog.sets();
        for (kind, set) in self.set_kinds.sorted() {
            page.count(set, u64::from(sets[kind]));
        }
        page.counter(
            "series_overflow",
            "Label sets that were folded into other, because max_series was reached.",
        );
        for (kind, set) in self.overflows.sorted() {
            page.count(set, catalog.overflow_count(kind));
        }
    }

    fn is_provider(&self, id: ProviderId) -> bool {
        self.known.no_provider != Some(id)
    }
}

/// Whether a type of tokens is shown before it was seen.
fn is_always_there(kind: usize) -> bool {
    matches!(Tokens::KINDS[kind], "input" | "output")
}

/// The family that stores add their stages to.
const RECORDS: &str = "records";

fn is_of_records(extra: &Extra) -> bool {
    extra.namespaced && extra.name == RECORDS
}

fn render_extras(page: &mut Page<'_>, extras: &[Extra]) {
    let extras = extras.iter().filter(|extra| !is_of_records(extra));
    let mut extras: Vec<_> = extras.collect();
    extras.sort_by_key(|extra| (!extra.namespaced, &*extra.name));
    for same in extras.chunk_by(|a, b| (a.namespaced, &a.name) == (b.namespaced, &b.name)) {
        let first = same[0];
        let of = Type::Simple(first.kind);
        page.family(first.namespaced, &first.name, &first.help, of);
        render_samples(page, same.iter().flat_map(|extra| &extra.samples));
    }
}

/// Samples of one family, by their labels.
fn render_samples<'a>(page: &mut Page<'_>, samples: impl Iterator<Item = &'a (LabelSet, Value)>) {
    let mut samples: Vec<_> = samples.collect();
    samples.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (labels, value) in samples {
        if labels.is_empty() {
            page.plain(*value);
            continue;
        }
        let mut set = Labels::new();
        let pairs: Vec<_> = labels
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        set.push((), &pairs);
        set.encode();
        for ((), set) in set.sorted() {
            page.sample(set, *value);
        }
    }
}
