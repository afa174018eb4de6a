//! A shard: the counters that one thread writes.
//!
//! # Limits
//! A counter stays at [`u64::MAX`] rather than wrap: 18.4 billion USD in nano-USD.

use crate::catalog::{ClientId, EventId, ProviderId};
use crate::columns::{limits, provider, rare, usage};
use crate::flip::FlipWriter;
use crate::histogram::{
    BLOCK_CELLS, BLOCKS, LATENCY, Layout, OVERHEAD, TIME_PER_OUTPUT_TOKEN, TIME_TO_FIRST_TOKEN,
};
use crate::meter::Inner;
use crate::record::{Attempt, Origin, Record, Tokens, UsageSource};
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::touched::{Slots, Touched, add};

/// Cells of a stored block: the sum of the values in it, then its counts.
pub(crate) const BLOCK_WIDTH: usize = BLOCK_CELLS + 1;

/// The tables of one buffer.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) routes: Touched<8>,
    pub(crate) routes_rare: Touched<8>,
    pub(crate) clients: Touched<8>,
    pub(crate) clients_rare: Touched<8>,
    pub(crate) clients_limits: Touched<8>,
    pub(crate) providers: Touched<16>,
    pub(crate) attempts: Touched<8>,
    pub(crate) keys_limits: Touched<8>,
    pub(crate) events: Touched<1>,
    pub(crate) latency: Touched<BLOCK_WIDTH>,
    pub(crate) first_token: Touched<BLOCK_WIDTH>,
    pub(crate) per_token: Touched<BLOCK_WIDTH>,
    pub(crate) upstream: Touched<BLOCK_WIDTH>,
    pub(crate) overhead: Touched<BLOCK_WIDTH>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            routes: Touched::new(),
            routes_rare: Touched::new(),
            clients: Touched::new(),
            clients_rare: Touched::new(),
            clients_limits: Touched::new(),
            providers: Touched::new(),
            attempts: Touched::new(),
            keys_limits: Touched::new(),
            events: Touched::new(),
            latency: Touched::new(),
            first_token: Touched::new(),
            per_token: Touched::new(),
            upstream: Touched::new(),
            overhead: Touched::new(),
        }
    }

    pub(crate) fn clear(&self) {
        self.routes.clear();
        self.routes_rare.clear();
        self.clients.clear();
        self.clients_rare.clear();
        self.clients_limits.clear();
        self.providers.clear();
        self.attempts.clear();
        self.keys_limits.clear();
        self.events.clear();
        self.latency.clear();
        self.first_token.clear();
        self.per_token.clear();
        self.upstream.clear();
        self.overhead.clear();
    }
}

/// The writer's knowledge of where its rows are, a table each.
#[derive(Debug, Default)]
struct Places {
    routes: Slots,
    routes_rare: Slots,
    clients: Slots,
    clients_rare: Slots,
    clients_limits: Slots,
    providers: Slots,
    attempts: Slots,
    keys_limits: Slots,
    events: Slots,
    latency: Slots,
    first_token: Slots,
    per_token: Slots,
    upstream: Slots,
    overhead: Slots,
}

/// What a writer leaves behind for the next one when it ends.
#[derive(Debug)]
pub(crate) struct Lease {
    flip: FlipWriter<Buffer>,
    places: Places,
}

impl Lease {
    pub(crate) fn new(flip: FlipWriter<Buffer>) -> Self {
        Self {
            flip,
            places: Places::default(),
        }
    }
}

/// The one writer of a shard.
///
/// Not `Clone`, and every write takes `&mut self`: one thread at a time writes.
/// When it is dropped its shard keeps its totals, and the next
/// [`Meter::writer`](crate::Meter::writer) continues it.
#[derive(Debug)]
pub struct ShardWriter {
    /// Always there until `drop`.
    lease: Option<Lease>,
    meter: Arc<Inner>,
}

impl ShardWriter {
    pub(crate) fn new(lease: Lease, meter: Arc<Inner>) -> Self {
        Self {
            lease: Some(lease),
            meter,
        }
    }

    #[inline]
    fn write(&mut self, write: impl FnOnce(&Buffer, u64, &mut Places)) {
        if let Some(Lease { flip, places }) = &mut self.lease {
            flip.write(|buffer, epoch| write(buffer, epoch, places));
        }
    }

    /// Records one finished request, whole: a snapshot has all of it or nothing.
    ///
    /// # Cost
    /// Plain loads and stores: no lock, no read-modify-write, no clock. It allocates
    /// only when a series is new to this shard. See `benches/RESULTS.md`.
    #[inline]
    pub fn record(&mut self, record: &Record<'_>) {
        self.write(|buffer, epoch, places| {
            let route = record.route.id.0;
            let client = record.client.0;
            let cells = buffer.routes.row(&mut places.routes, epoch, route);
            add_usage(cells, record);
            let cells = buffer.clients.row(&mut places.clients, epoch, client);
            add_usage(cells, record);
            if is_rare(record) {
                let cells = buffer
                    .routes_rare
                    .row(&mut places.routes_rare, epoch, route);
                add_rare(cells, record);
                let cells = buffer
                    .clients_rare
                    .row(&mut places.clients_rare, epoch, client);
                add_rare(cells, record);
            }
            if let Some(error) = record.error {
                let of = record.route.provider.0;
                let cells = buffer.providers.row(&mut places.providers, epoch, of);
                add(&cells[error as usize], 1);
            }
            if let Some(limit) = record.limited {
                let cells = buffer
                    .clients_limits
                    .row(&mut places.clients_limits, epoch, client);
                add(&cells[limits::column(Origin::Gateway, limit)], 1);
            }
            let model = record.route.model.0;
            let latency = record.latency.0;
            observe(
                &buffer.latency,
                &mut places.latency,
                epoch,
                &LATENCY,
                model,
                latency,
            );
            let endpoint = record.endpoint as u32;
            let overhead = record.overhead.0;
            observe(
                &buffer.overhead,
                &mut places.overhead,
                epoch,
                &OVERHEAD,
                endpoint,
                overhead,
            );
            if let Some(time) = record.time_to_first_token {
                let (table, slots) = (&buffer.first_token, &mut places.first_token);
                observe(table, slots, epoch, &TIME_TO_FIRST_TOKEN, model, time.0);
            }
            if let Some(time) = record.time_per_output_token {
                let (table, slots) = (&buffer.per_token, &mut places.per_token);
                observe(table, slots, epoch, &TIME_PER_OUTPUT_TOKEN, model, time.0);
            }
            for attempt in record.attempts {
                add_attempt(buffer, places, epoch, attempt);
            }
        });
    }

    /// Says that a request to `provider` began (+1) or ended (-1), for the gauge.
    #[inline]
    pub fn active(&mut self, provider: ProviderId, change: i64) {
        self.write(|buffer, epoch, places| {
            let cells = buffer
                .providers
                .row(&mut places.providers, epoch, provider.0);
            let cell = &cells[provider::ACTIVE];
            let now = cell.load(Ordering::Relaxed).wrapping_add_signed(change);
            cell.store(now, Ordering::Relaxed);
        });
    }

    /// Counts an event that is no request.
    #[inline]
    pub fn count(&mut self, event: EventId) {
        self.write(|buffer, epoch, places| {
            add(&buffer.events.row(&mut places.events, epoch, event.0)[0], 1);
        });
    }

    /// Records many requests that differ from `record` in nothing but `client`.
    ///
    /// For tests and tools that replay; the same as calling [`Self::record`] for each.
    pub fn record_for(&mut self, record: &Record<'_>, clients: impl IntoIterator<Item = ClientId>) {
        for client in clients {
            self.record(&Record { client, ..*record });
        }
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.meter.give_back(lease);
        }
    }
}

#[inline]
fn add_usage(cells: &[AtomicU64; 8], record: &Record<'_>) {
    let Tokens {
        input,
        output,
        cached_input,
        reasoning,
        ..
    } = record.tokens;
    add(&cells[usage::REQUESTS], 1);
    add(&cells[usage::INPUT], input);
    add(&cells[usage::OUTPUT], output);
    add(&cells[usage::COST], record.cost.map_or(0, |cost| cost.0));
    if record.error.is_some() {
        add(&cells[usage::ERRORS], 1);
    }
    if cached_input | reasoning != 0 {
        add(&cells[usage::CACHED_INPUT], cached_input);
        add(&cells[usage::REASONING], reasoning);
    }
    let last = &cells[usage::LAST_MS];
    last.store(
        last.load(Ordering::Relaxed).max(record.finished.0),
        Ordering::Relaxed,
    );
}

#[inline]
fn is_rare(record: &Record<'_>) -> bool {
    let Tokens {
        cache_write,
        audio_input,
        audio_output,
        ..
    } = record.tokens;
    cache_write | audio_input | audio_output != 0
        || record.cost.is_none()
        || record.usage != Some(UsageSource::Provider)
}

fn add_rare(cells: &[AtomicU64; 8], record: &Record<'_>) {
    add(&cells[rare::CACHE_WRITE], record.tokens.cache_write);
    add(&cells[rare::AUDIO_INPUT], record.tokens.audio_input);
    add(&cells[rare::AUDIO_OUTPUT], record.tokens.audio_output);
    add(&cells[rare::UNPRICED], u64::from(record.cost.is_none()));
    match record.usage {
        Some(UsageSource::Provider) => {}
        Some(UsageSource::Estimated) => add(&cells[rare::ESTIMATED], 1),
        Some(UsageSource::Missing) => add(&cells[rare::MISSING], 1),
        None => add(&cells[rare::UNUSED], 1),
    }
}

#[inline]
fn add_attempt(buffer: &Buffer, places: &mut Places, epoch: u64, attempt: &Attempt) {
    let cells = buffer
        .attempts
        .row(&mut places.attempts, epoch, attempt.route.id.0);
    add(&cells[attempt.outcome as usize], 1);
    let (table, slots) = (&buffer.upstream, &mut places.upstream);
    observe(
        table,
        slots,
        epoch,
        &LATENCY,
        attempt.route.model.0,
        attempt.latency.0,
    );
    if let Some(limit) = attempt.limited {
        let key = attempt.route.key.0;
        let cells = buffer.keys_limits.row(&mut places.keys_limits, epoch, key);
        add(&cells[limits::column(Origin::Provider, limit)], 1);
    }
}

#[inline]
fn observe(
    table: &Touched<BLOCK_WIDTH>,
    slots: &mut Slots,
    epoch: u64,
    layout: &Layout,
    series: u32,
    value: u64,
) {
    let cell = layout.cell(value);
    let block = series * BLOCKS as u32 + (cell / BLOCK_CELLS) as u32;
    let cells = table.row(slots, epoch, block);
    add(&cells[0], value);
    add(&cells[1 + cell % BLOCK_CELLS], 1);
}
