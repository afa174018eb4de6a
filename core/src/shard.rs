//! A shard: the counters that one thread writes.
//!
//! # Limits
//! Totals stay at [`u64::MAX`] rather than wrap: 18.4 billion USD in nano-USD. To save
//! the check on each addition, a number of a record counts as at most [`NUMBER_MAX`],
//! and a writer that nobody has read for half a million writes lowers counters above
//! 2^63 to that. So a counter that was never read is exact up to 2^63.

use crate::catalog::{EventId, ProviderId};
use crate::columns::{limits, provider, rare, usage};
use crate::exemplar;
use crate::flip::FlipWriter;
use crate::histogram::{
    BLOCK_CELLS, BLOCKS, LATENCY, Layout, OVERHEAD, TIME_PER_OUTPUT_TOKEN, TIME_TO_FIRST_TOKEN,
};
use crate::meter::Inner;
use crate::record::{Attempt, Origin, Record, Tokens, UsageSource};
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::touched::{HIGH, Slots, Touched, add};
use crate::units::Micros;

/// A number of a record (tokens of a kind, nano-USD, microseconds) counts as at most
/// this: 1.1 trillion tokens, 1,099 USD or 12 days in one request.
pub const NUMBER_MAX: u64 = 1 << 40;
/// Additions to one counter in one write: of a record and of its attempts, of which a
/// gateway makes ten at most.
const ADDITIONS_MAX: u64 = 16;
/// Writes after which counters are looked after: until then none can get from [`HIGH`]
/// past [`u64::MAX`].
const WRITES_MAX: u64 = HIGH / NUMBER_MAX / ADDITIONS_MAX;

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
    /// By block of `latency`.
    pub(crate) exemplars: Touched<{ exemplar::WIDTH }>,
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
            exemplars: Touched::new(),
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
        self.exemplars.clear();
    }
}

/// The writer's knowledge of where its rows are, a table each.
#[derive(Debug, Default)]
struct Places {
    routes: Slots<8>,
    routes_rare: Slots<8>,
    clients: Slots<8>,
    clients_rare: Slots<8>,
    clients_limits: Slots<8>,
    providers: Slots<16>,
    attempts: Slots<8>,
    keys_limits: Slots<8>,
    events: Slots<1>,
    latency: Slots<BLOCK_WIDTH>,
    first_token: Slots<BLOCK_WIDTH>,
    per_token: Slots<BLOCK_WIDTH>,
    upstream: Slots<BLOCK_WIDTH>,
    overhead: Slots<BLOCK_WIDTH>,
    exemplars: Slots<{ exemplar::WIDTH }>,
}

/// What a writer leaves behind for the next one when it ends.
#[derive(Debug)]
pub(crate) struct Lease {
    flip: FlipWriter<Buffer>,
    places: Places,
}

impl Places {
    fn turn(&mut self) {
        self.routes.turn();
        self.routes_rare.turn();
        self.clients.turn();
        self.clients_rare.turn();
        self.clients_limits.turn();
        self.providers.turn();
        self.attempts.turn();
        self.keys_limits.turn();
        self.events.turn();
        self.latency.turn();
        self.first_token.turn();
        self.per_token.turn();
        self.upstream.turn();
        self.overhead.turn();
        self.exemplars.turn();
    }
}

impl Lease {
    /// Keeps counters from wrapping; see the module.
    #[cold]
    fn hold(&mut self) {
        let hold = |buffer: &Buffer, _, _: &mut Places| {
            buffer.routes.hold();
            buffer.routes_rare.hold();
            buffer.clients.hold();
            buffer.clients_rare.hold();
            buffer.latency.hold();
            buffer.first_token.hold();
            buffer.per_token.hold();
            buffer.upstream.hold();
            buffer.overhead.hold();
        };
        self.flip.write(&mut self.places, Places::turn, hold);
        self.flip.forget_writes();
    }

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
        if cfg!(feature = "without-recording") {
            return;
        }
        let Some(lease) = &mut self.lease else { return };
        if lease.flip.writes_in_turn() >= WRITES_MAX {
            lease.hold();
        }
        lease.flip.write(&mut lease.places, Places::turn, write);
    }

    /// Records one finished request, whole: a snapshot has all of it or nothing.
    ///
    /// # Cost
    /// Plain loads and stores: no lock, no read-modify-write, no clock. It allocates
    /// only when a series is new to this shard. See `benches/RESULTS.md`.
    #[inline]
    pub fn record(&mut self, record: &Record<'_>) {
        self.write(|buffer, epoch, places| add_record(buffer, epoch, places, record));
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
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.meter.give_back(lease);
        }
    }
}

#[inline]
fn add_record(buffer: &Buffer, epoch: u64, places: &mut Places, record: &Record<'_>) {
    let used = Used::of(record);
    let (route, client) = (record.route.id.0, record.client.0);
    used.add(buffer.routes.row(&mut places.routes, epoch, route));
    let cells = buffer.clients.row(&mut places.clients, epoch, client);
    used.add(cells);
    let last = &cells[usage::LAST_MS];
    if last.load(Ordering::Relaxed) < record.finished.0 {
        last.store(record.finished.0, Ordering::Relaxed);
    }
    let model = record.route.model.0;
    let (table, slots) = (&buffer.latency, &mut places.latency);
    let first_in = observe(table, slots, epoch, &LATENCY, model, record.latency);
    if let Some(block) = first_in {
        add_exemplar(buffer, places, epoch, block, record);
    }
    if let Some(overhead) = record.overhead {
        let (table, slots) = (&buffer.overhead, &mut places.overhead);
        let endpoint = record.endpoint as u32;
        let _first = observe(table, slots, epoch, &OVERHEAD, endpoint, overhead);
    }
    if is_rare(record) {
        let rare = Rare::of(record);
        rare.add(
            buffer
                .routes_rare
                .row(&mut places.routes_rare, epoch, route),
        );
        rare.add(
            buffer
                .clients_rare
                .row(&mut places.clients_rare, epoch, client),
        );
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
    if let Some(time) = record.time_to_first_token {
        let (table, slots) = (&buffer.first_token, &mut places.first_token);
        let _first = observe(table, slots, epoch, &TIME_TO_FIRST_TOKEN, model, time);
    }
    if let Some(time) = record.time_per_output_token {
        let (table, slots) = (&buffer.per_token, &mut places.per_token);
        let _first = observe(table, slots, epoch, &TIME_PER_OUTPUT_TOKEN, model, time);
    }
    for attempt in record.attempts {
        add_attempt(buffer, places, epoch, attempt);
    }
}

/// The numbers that every request has, read once and added to two rows.
struct Used {
    failed: bool,
    input: u64,
    output: u64,
    cached_input: u64,
    reasoning: u64,
    cost: u64,
}

impl Used {
    #[inline]
    fn of(record: &Record<'_>) -> Self {
        let tokens = &record.tokens;
        Self {
            failed: record.error.is_some(),
            input: tokens.input.min(NUMBER_MAX),
            output: tokens.output.min(NUMBER_MAX),
            cached_input: tokens.cached_input.min(NUMBER_MAX),
            reasoning: tokens.reasoning.min(NUMBER_MAX),
            cost: record.cost.map_or(0, |cost| cost.0.min(NUMBER_MAX)),
        }
    }

    #[inline]
    fn add(&self, cells: &[AtomicU64; 8]) {
        add(&cells[usage::REQUESTS], 1);
        add(&cells[usage::INPUT], self.input);
        add(&cells[usage::OUTPUT], self.output);
        add(&cells[usage::COST], self.cost);
        if self.failed {
            add(&cells[usage::ERRORS], 1);
        }
        if self.cached_input | self.reasoning != 0 {
            add(&cells[usage::CACHED_INPUT], self.cached_input);
            add(&cells[usage::REASONING], self.reasoning);
        }
    }
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

/// The numbers that few requests have.
struct Rare {
    cells: [(usize, u64); 5],
}

impl Rare {
    #[cold]
    fn of(record: &Record<'_>) -> Self {
        let tokens = &record.tokens;
        let source = match record.usage {
            Some(UsageSource::Provider) => (rare::UNUSED, 0),
            Some(UsageSource::Estimated) => (rare::ESTIMATED, 1),
            Some(UsageSource::Missing) => (rare::MISSING, 1),
            None => (rare::UNUSED, 1),
        };
        Self {
            cells: [
                (rare::CACHE_WRITE, tokens.cache_write.min(NUMBER_MAX)),
                (rare::AUDIO_INPUT, tokens.audio_input.min(NUMBER_MAX)),
                (rare::AUDIO_OUTPUT, tokens.audio_output.min(NUMBER_MAX)),
                (rare::UNPRICED, u64::from(record.cost.is_none())),
                source,
            ],
        }
    }

    fn add(&self, cells: &[AtomicU64; 8]) {
        for (column, n) in self.cells {
            add(&cells[column], n);
        }
    }
}

#[inline]
fn add_attempt(buffer: &Buffer, places: &mut Places, epoch: u64, attempt: &Attempt) {
    let Attempt {
        route,
        outcome,
        latency,
        limited,
    } = *attempt;
    let cells = buffer.attempts.row(&mut places.attempts, epoch, route.id.0);
    add(&cells[outcome as usize], 1);
    let (table, slots) = (&buffer.upstream, &mut places.upstream);
    let _first = observe(table, slots, epoch, &LATENCY, route.model.0, latency);
    if let Some(limit) = limited {
        let cells = buffer
            .keys_limits
            .row(&mut places.keys_limits, epoch, route.key.0);
        add(&cells[limits::column(Origin::Provider, limit)], 1);
    }
}

/// Counts a value; the block it fell into, if it is the first there since the turn.
#[inline]
fn observe(
    table: &Touched<BLOCK_WIDTH>,
    slots: &mut Slots<BLOCK_WIDTH>,
    epoch: u64,
    layout: &Layout,
    series: u32,
    value: Micros,
) -> Option<u32> {
    let cell = layout.cell(value.0);
    let block = series * BLOCKS as u32 + (cell / BLOCK_CELLS) as u32;
    let (cells, is_first) = table.row_or_new(slots, epoch, block);
    add(&cells[0], value.0.min(NUMBER_MAX));
    add(&cells[1 + cell % BLOCK_CELLS], 1);
    is_first.then_some(block)
}

/// Keeps the request that is the first in its block.
#[cold]
fn add_exemplar(buffer: &Buffer, places: &mut Places, epoch: u64, block: u32, record: &Record<'_>) {
    let pack = |id| exemplar::pack(record.latency, record.finished, id);
    if let Some(cells) = record.request_id.and_then(pack) {
        let row = buffer.exemplars.row(&mut places.exemplars, epoch, block);
        for (cell, value) in row.iter().zip(cells) {
            cell.store(value, Ordering::Relaxed);
        }
    }
}
