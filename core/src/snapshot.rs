//! What the shards hold together at one moment: the source of every output.

use crate::catalog::{ClientId, EventId, KeyId, ModelId, ProviderId, RouteId};
use crate::columns::{Columns, Combine, OfProvider, Sums, Usage, limits, provider, rare, usage};
use crate::exemplar::{Exemplar, Exemplars};
use crate::flip::Bank;
use crate::histogram::{LATENCY, OCTAVES, OVERHEAD, TIME_PER_OUTPUT_TOKEN, TIME_TO_FIRST_TOKEN};
use crate::histograms::{HistogramView, Histograms};
use crate::record::{Endpoint, ErrorType, Limit, Origin, Outcome, Tokens, UsageSource};
use crate::shard::Tables;
use crate::units::{NanoUsd, UnixMillis};
use std::marker::PhantomData;

/// A table of totals, dense by id; `C` says how its columns combine.
#[derive(Clone, Debug)]
struct Sheet<C, const WIDTH: usize> {
    rows: Vec<[u64; WIDTH]>,
    columns: PhantomData<C>,
}

impl<C: Columns<WIDTH>, const WIDTH: usize> Sheet<C, WIDTH> {
    const fn new() -> Self {
        Self {
            rows: Vec::new(),
            columns: PhantomData,
        }
    }

    /// The row of an id; zeros where nothing was counted yet.
    fn row(&self, id: u32) -> [u64; WIDTH] {
        self.rows.get(id as usize).copied().unwrap_or([0; WIDTH])
    }

    fn add(&mut self, id: u32, row: &[u64; WIDTH]) {
        let at = id as usize;
        if self.rows.len() <= at {
            self.grow(at + 1);
        }
        C::add(&mut self.rows[at], row);
    }

    /// By an eighth at a time: a table of a long life should not be half empty.
    #[cold]
    fn grow(&mut self, len: usize) {
        if self.rows.capacity() < len {
            let more = len + len / 8 - self.rows.len();
            self.rows.reserve_exact(more);
        }
        self.rows.resize(len, [0; WIDTH]);
    }

    fn merge(&mut self, other: &Self) {
        for (id, row) in (0..).zip(&other.rows) {
            self.add(id, row);
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let rows = (0..).zip(&self.rows).map(|(id, now)| {
            let then = earlier.row(id);
            std::array::from_fn(|at| match C::COMBINE[at] {
                Combine::Sum => now[at].saturating_sub(then[at]),
                Combine::Latest => now[at],
                Combine::Gauge => now[at].wrapping_sub(then[at]),
            })
        });
        Self {
            rows: rows.collect(),
            columns: PhantomData,
        }
    }
}

/// Totals of a (provider, model, key) or of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Finished requests.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Tokens by kind.
    pub tokens: Tokens,
    /// Known cost; [`Totals::unpriced`] says how many requests it leaves out.
    pub cost: NanoUsd,
    /// Requests whose price is not known.
    pub unpriced: u64,
    /// When the last one ended; `None` before the first, and for a (provider, model, key).
    pub last_request: Option<UnixMillis>,
}

impl Totals {
    /// The sum of two, for totals over several series.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        let sum = |a: &mut u64, b: u64| *a = a.saturating_add(b);
        sum(&mut self.requests, other.requests);
        sum(&mut self.errors, other.errors);
        sum(&mut self.unpriced, other.unpriced);
        sum(&mut self.tokens.input, other.tokens.input);
        sum(&mut self.tokens.output, other.tokens.output);
        sum(&mut self.tokens.cached_input, other.tokens.cached_input);
        sum(&mut self.tokens.cache_write, other.tokens.cache_write);
        sum(&mut self.tokens.reasoning, other.tokens.reasoning);
        sum(&mut self.tokens.audio_input, other.tokens.audio_input);
        sum(&mut self.tokens.audio_output, other.tokens.audio_output);
        self.cost += other.cost;
        self.last_request = self.last_request.max(other.last_request);
        self
    }

    /// Totals of rows that say when the last request ended.
    pub(crate) fn of_rows(usage: &[u64; 8], rare: &[u64; 8]) -> Self {
        let last = UnixMillis(usage[usage::LAST_MS]);
        Self {
            last_request: (usage[usage::REQUESTS] > 0).then_some(last),
            ..Self::new(usage, rare)
        }
    }

    fn new(usage: &[u64; 8], rare: &[u64; 8]) -> Self {
        Self {
            requests: usage[usage::REQUESTS],
            errors: usage[usage::ERRORS],
            tokens: Tokens {
                input: usage[usage::INPUT],
                output: usage[usage::OUTPUT],
                cached_input: usage[usage::CACHED_INPUT],
                cache_write: rare[rare::CACHE_WRITE],
                reasoning: usage[usage::REASONING],
                audio_input: rare[rare::AUDIO_INPUT],
                audio_output: rare[rare::AUDIO_OUTPUT],
            },
            cost: NanoUsd(usage[usage::COST]),
            unpriced: rare[rare::UNPRICED],
            last_request: None,
        }
    }
}

/// All counters of a meter, made of whole records. Ids are those of its catalogue.
#[derive(Clone, Debug)]
pub struct Snapshot {
    routes: Sheet<Usage, 8>,
    routes_rare: Sheet<Sums, 8>,
    clients: Sheet<Usage, 8>,
    clients_rare: Sheet<Sums, 8>,
    clients_limits: Sheet<Sums, 8>,
    providers: Sheet<OfProvider, 16>,
    attempts: Sheet<Sums, 8>,
    keys_limits: Sheet<Sums, 8>,
    events: Sheet<Sums, 1>,
    latency: Histograms,
    first_token: Histograms,
    per_token: Histograms,
    upstream: Histograms,
    overhead: Histograms,
    exemplars: Exemplars,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            routes: Sheet::new(),
            routes_rare: Sheet::new(),
            clients: Sheet::new(),
            clients_rare: Sheet::new(),
            clients_limits: Sheet::new(),
            providers: Sheet::new(),
            attempts: Sheet::new(),
            keys_limits: Sheet::new(),
            events: Sheet::new(),
            latency: Histograms::new(&LATENCY),
            first_token: Histograms::new(&TIME_TO_FIRST_TOKEN),
            per_token: Histograms::new(&TIME_PER_OUTPUT_TOKEN),
            upstream: Histograms::new(&LATENCY),
            overhead: Histograms::new(&OVERHEAD),
            exemplars: Exemplars::default(),
        }
    }
}

impl Snapshot {
    /// Takes over what a bank of a shard holds.
    pub(crate) fn take(&mut self, tables: &Tables, bank: Bank) {
        tables
            .routes
            .take(bank, |id, row| self.routes.add(id, &row));
        tables
            .routes_rare
            .take(bank, |id, row| self.routes_rare.add(id, &row));
        tables
            .clients
            .take(bank, |id, row| self.clients.add(id, &row));
        tables
            .clients_rare
            .take(bank, |id, row| self.clients_rare.add(id, &row));
        tables
            .clients_limits
            .take(bank, |id, row| self.clients_limits.add(id, &row));
        tables
            .providers
            .take(bank, |id, row| self.providers.add(id, &row));
        tables
            .attempts
            .take(bank, |id, row| self.attempts.add(id, &row));
        tables
            .keys_limits
            .take(bank, |id, row| self.keys_limits.add(id, &row));
        tables
            .events
            .take(bank, |id, row| self.events.add(id, &row));
        let histograms = [
            (&tables.latency, &mut self.latency),
            (&tables.first_token, &mut self.first_token),
            (&tables.per_token, &mut self.per_token),
            (&tables.upstream, &mut self.upstream),
            (&tables.overhead, &mut self.overhead),
        ];
        for (octaves, totals) in histograms {
            octaves.take(bank, |series, first, counts, sum| {
                totals.add(series, first, counts, sum);
            });
        }
        tables
            .exemplars
            .take(bank, |octave, cells| self.exemplars.add(octave, &cells));
    }

    /// Adds another snapshot of the same catalogue; the order of merges does not matter.
    pub fn merge(&mut self, other: &Self) {
        self.routes.merge(&other.routes);
        self.routes_rare.merge(&other.routes_rare);
        self.clients.merge(&other.clients);
        self.clients_rare.merge(&other.clients_rare);
        self.clients_limits.merge(&other.clients_limits);
        self.providers.merge(&other.providers);
        self.attempts.merge(&other.attempts);
        self.keys_limits.merge(&other.keys_limits);
        self.events.merge(&other.events);
        self.latency.merge(&other.latency);
        self.first_token.merge(&other.first_token);
        self.per_token.merge(&other.per_token);
        self.upstream.merge(&other.upstream);
        self.overhead.merge(&other.overhead);
        self.exemplars.merge(&other.exemplars);
    }

    /// What came since an earlier snapshot of the same meter: the delta.
    ///
    /// Merging it into `earlier` gives `self`. A point in time, such as that of the last
    /// request, has no difference: the delta carries it as of now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            routes: self.routes.since(&earlier.routes),
            routes_rare: self.routes_rare.since(&earlier.routes_rare),
            clients: self.clients.since(&earlier.clients),
            clients_rare: self.clients_rare.since(&earlier.clients_rare),
            clients_limits: self.clients_limits.since(&earlier.clients_limits),
            providers: self.providers.since(&earlier.providers),
            attempts: self.attempts.since(&earlier.attempts),
            keys_limits: self.keys_limits.since(&earlier.keys_limits),
            events: self.events.since(&earlier.events),
            latency: self.latency.since(&earlier.latency),
            first_token: self.first_token.since(&earlier.first_token),
            per_token: self.per_token.since(&earlier.per_token),
            upstream: self.upstream.since(&earlier.upstream),
            overhead: self.overhead.since(&earlier.overhead),
            exemplars: self.exemplars.since(&earlier.exemplars),
        }
    }

    /// Totals of a (provider, model, key).
    #[must_use]
    pub fn route(&self, id: RouteId) -> Totals {
        Totals::new(&self.routes.row(id.0), &self.routes_rare.row(id.0))
    }

    /// Totals of a client.
    #[must_use]
    pub fn client(&self, id: ClientId) -> Totals {
        self.client_row(id.0)
    }

    fn client_row(&self, id: u32) -> Totals {
        Totals::of_rows(&self.clients.row(id), &self.clients_rare.row(id))
    }

    /// Totals of everything: the sum over clients, which is that over routes.
    #[must_use]
    pub fn total(&self) -> Totals {
        (0..self.clients.rows.len() as u32)
            .map(|id| self.client_row(id))
            .fold(Totals::default(), |sum, row| sum.plus(&row))
    }

    /// Failed requests of a provider by type.
    #[must_use]
    pub fn errors(&self, id: ProviderId, error: ErrorType) -> u64 {
        self.providers.row(id.0)[error as usize]
    }

    /// Requests that wait for a provider now.
    #[must_use]
    pub fn active(&self, id: ProviderId) -> i64 {
        self.providers.row(id.0)[provider::ACTIVE].cast_signed()
    }

    /// Requests of a (provider, model, key) by the source of their usage.
    #[must_use]
    pub fn usage_source(&self, id: RouteId, source: UsageSource) -> u64 {
        let row = self.routes_rare.row(id.0);
        match source {
            UsageSource::Estimated => row[rare::ESTIMATED],
            UsageSource::Missing => row[rare::MISSING],
            UsageSource::Provider => {
                let others = row[rare::ESTIMATED] + row[rare::MISSING] + row[rare::UNUSED];
                self.routes.row(id.0)[usage::REQUESTS].saturating_sub(others)
            }
        }
    }

    /// Attempts at a (provider, model, key) by outcome.
    #[must_use]
    pub fn attempts(&self, id: RouteId, outcome: Outcome) -> u64 {
        self.attempts.row(id.0)[outcome as usize]
    }

    /// Rate-limit hits of a key.
    #[must_use]
    pub fn key_limited(&self, id: KeyId, origin: Origin, limit: Limit) -> u64 {
        self.keys_limits.row(id.0)[limits::column(origin, limit)]
    }

    /// Requests of a client that a limit of the gateway refused.
    #[must_use]
    pub fn client_limited(&self, id: ClientId, limit: Limit) -> u64 {
        self.clients_limits.row(id.0)[limits::column(Origin::Gateway, limit)]
    }

    /// The count of an event series.
    #[must_use]
    pub fn event(&self, id: EventId) -> u64 {
        self.events.row(id.0)[0]
    }

    /// Request latency of a (provider, model).
    #[must_use]
    pub fn latency(&self, id: ModelId) -> HistogramView<'_> {
        self.latency.view(id.0)
    }

    /// Requests that stand for the latency of a (provider, model): the latest of each
    /// classic bucket, ascending.
    #[must_use]
    pub fn exemplars(&self, id: ModelId) -> Vec<Exemplar> {
        let first = id.0 * OCTAVES as u32;
        self.exemplars.of(&LATENCY, first..first + OCTAVES as u32)
    }

    /// Time to first token of a (provider, model).
    #[must_use]
    pub fn time_to_first_token(&self, id: ModelId) -> HistogramView<'_> {
        self.first_token.view(id.0)
    }

    /// Time per output token of a (provider, model).
    #[must_use]
    pub fn time_per_output_token(&self, id: ModelId) -> HistogramView<'_> {
        self.per_token.view(id.0)
    }

    /// Latency of the attempts at a (provider, model).
    #[must_use]
    pub fn upstream_latency(&self, id: ModelId) -> HistogramView<'_> {
        self.upstream.view(id.0)
    }

    /// The gateway's own part of the latency, by endpoint.
    #[must_use]
    pub fn overhead(&self, endpoint: Endpoint) -> HistogramView<'_> {
        self.overhead.view(endpoint as u32)
    }

    /// Request latency of everything.
    #[must_use]
    pub fn total_latency(&self) -> Histograms {
        self.latency.folded()
    }
}
