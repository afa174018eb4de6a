//! A shard: the counters that one thread writes.
//!
//! # Limits
//! Totals stay at [`u64::MAX`] rather than wrap: 18.4 billion USD in nano-USD. To save
//! the check on each addition, a number of a record counts as at most [`NUMBER_MAX`],
//! and a writer that nobody reads lowers counters above 2^63 to that every 131,072
//! writes. So a counter that was never read is exact up to 2^63, and a cell of a
//! histogram up to 2^31.

use crate::catalog::{EventId, ProviderId};
use crate::columns::{limits, provider, rare, usage};
use crate::exemplar;
use crate::flip::{Bank, FlipWriter, STATE_PER_WRITE};
use crate::histogram::{LATENCY, OVERHEAD, TIME_PER_OUTPUT_TOKEN, TIME_TO_FIRST_TOKEN};
use crate::meter::Inner;
use crate::octaves::{OctavePlaces, Octaves};
use crate::pairs::{self, PairPlaces, PairTables};
use crate::record::{Attempt, Origin, Record, Tokens, UsageSource};
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::table::{Chunk, HIGH, Places, Table, add};
use crate::units::{Micros, UnixMillis};

/// A number of a record (tokens of a kind, nano-USD, microseconds) counts as at most
/// this: 1.1 trillion tokens, 1,099 USD or 12 days in one request.
pub const NUMBER_MAX: u64 = 1 << 40;
/// Additions to one counter in one write: of a record and of its attempts, of which a
/// gateway makes ten at most.
const ADDITIONS_MAX: u64 = 16;
/// Writes after which counters are looked after. A bank may be one such stretch old when
/// the first one ends, so none gets from [`HIGH`] past [`u64::MAX`] in two.
const WRITES_MAX: u64 = HIGH / NUMBER_MAX / ADDITIONS_MAX / 4;
const STATE_MAX: u64 = WRITES_MAX * STATE_PER_WRITE;

/// All counters of a shard. A reader has one bank of them, the writer the other.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) routes: Table<8>,
    pub(crate) routes_rare: Table<8>,
    pub(crate) clients: Table<8>,
    pub(crate) clients_rare: Table<8>,
    pub(crate) clients_limits: Table<8>,
    pub(crate) providers: Table<16>,
    pub(crate) attempts: Table<8>,
    pub(crate) keys_limits: Table<8>,
    pub(crate) events: Table<1>,
    pub(crate) latency: Octaves,
    pub(crate) first_token: Octaves,
    pub(crate) per_token: Octaves,
    pub(crate) upstream: Octaves,
    pub(crate) overhead: Octaves,
    /// By octave of `latency`.
    pub(crate) exemplars: Table<{ exemplar::WIDTH }>,
    /// Only of a meter that crosses routes with clients.
    pub(crate) pairs: Option<PairTables>,
}

impl Tables {
    pub(crate) fn new(has_pairs: bool) -> Self {
        Self {
            routes: Table::new(),
            routes_rare: Table::new(),
            clients: Table::new(),
            clients_rare: Table::new(),
            clients_limits: Table::new(),
            providers: Table::new(),
            attempts: Table::new(),
            keys_limits: Table::new(),
            events: Table::new(),
            latency: Octaves::new(&LATENCY),
            first_token: Octaves::new(&TIME_TO_FIRST_TOKEN),
            per_token: Octaves::new(&TIME_PER_OUTPUT_TOKEN),
            upstream: Octaves::new(&LATENCY),
            overhead: Octaves::new(&OVERHEAD),
            exemplars: Table::new(),
            pairs: has_pairs.then(PairTables::new),
        }
    }

    /// Keeps counters from wrapping; see the module.
    fn hold(&self, bank: Bank) {
        self.routes.hold(bank);
        self.routes_rare.hold(bank);
        self.clients.hold(bank);
        self.clients_rare.hold(bank);
        self.latency.hold(bank);
        self.first_token.hold(bank);
        self.per_token.hold(bank);
        self.upstream.hold(bank);
        self.overhead.hold(bank);
        if let Some(pairs) = &self.pairs {
            pairs.hold(bank);
        }
    }
}

/// The writer's knowledge of where its rows are.
#[derive(Debug, Default)]
struct AllPlaces {
    routes: Places<8>,
    routes_rare: Places<8>,
    clients: Places<8>,
    clients_rare: Places<8>,
    clients_limits: Places<8>,
    providers: Places<16>,
    attempts: Places<8>,
    keys_limits: Places<8>,
    events: Places<1>,
    latency: OctavePlaces,
    first_token: OctavePlaces,
    per_token: OctavePlaces,
    upstream: OctavePlaces,
    overhead: OctavePlaces,
    exemplars: Places<{ exemplar::WIDTH }>,
    pairs: PairPlaces,
}

/// What a writer leaves behind for the next one when it ends.
#[derive(Debug)]
pub(crate) struct Lease {
    flip: FlipWriter,
    tables: Arc<Tables>,
    places: AllPlaces,
    /// The writer's state at which counters are looked after next.
    next_look: u64,
    /// The epoch when they last were.
    epoch: u64,
}

impl Lease {
    pub(crate) fn new(flip: FlipWriter, tables: Arc<Tables>) -> Self {
        Self {
            epoch: flip.epoch(),
            flip,
            tables,
            places: AllPlaces::default(),
            next_look: STATE_MAX,
        }
    }

    /// Keeps counters from wrapping, where nobody has read them for a whole stretch.
    #[cold]
    fn look_after(&mut self) {
        self.next_look = self.flip.state() + STATE_MAX;
        let epoch = self.flip.epoch();
        if self.epoch == epoch {
            self.flip.write(|bank| self.tables.hold(bank));
        }
        self.epoch = epoch;
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
    fn write(&mut self, write: impl FnOnce(&mut Hand<'_>)) {
        if cfg!(feature = "without-recording") {
            return;
        }
        let Some(lease) = &mut self.lease else { return };
        if lease.flip.state() >= lease.next_look {
            lease.look_after();
        }
        let (tables, places) = (&*lease.tables, &mut lease.places);
        lease.flip.write(|bank| {
            write(&mut Hand {
                tables,
                places,
                bank,
            });
        });
    }

    /// Records one finished request, whole: a snapshot has all of it or nothing.
    ///
    /// # Cost
    /// Plain loads and stores: no lock, no read-modify-write, no clock. It allocates
    /// only when a series is new to this shard. See `benches/RESULTS.md`.
    #[inline]
    pub fn record(&mut self, record: &Record<'_>) {
        self.write(|hand| hand.record(record));
    }

    /// Says that a request to `provider` began (+1) or ended (-1), for the gauge.
    #[inline]
    pub fn active(&mut self, provider: ProviderId, change: i64) {
        self.write(|hand| hand.active(provider, change));
    }

    /// Counts an event that is no request.
    #[inline]
    pub fn count(&mut self, event: EventId) {
        self.write(|hand| {
            let (tables, places) = (hand.tables, &mut hand.places.events);
            if let Some(chunk) = tables.events.chunk(places, event.0) {
                chunk.add(hand.bank, event.0, 0, 1);
            }
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

/// One write under way.
struct Hand<'a> {
    tables: &'a Tables,
    places: &'a mut AllPlaces,
    bank: Bank,
}

impl Hand<'_> {
    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        let Self {
            tables,
            places,
            bank,
        } = self;
        let bank = *bank;
        let used = Used::of(record);
        let (route, client) = (record.route.id.0, record.client.0);
        if let Some(chunk) = tables.routes.chunk(&mut places.routes, route)
            && used.add(chunk.row(bank, route))
        {
            chunk.touch(bank, route);
        }
        if let Some(chunk) = tables.clients.chunk(&mut places.clients, client) {
            let row = chunk.row(bank, client);
            if used.add(row) {
                chunk.touch(bank, client);
            }
            let last = &row[usage::LAST_MS];
            if last.load(Ordering::Relaxed) < record.finished.0 {
                last.store(record.finished.0, Ordering::Relaxed);
            }
        }
        if let Some(pairs) = &tables.pairs {
            let key = pairs::key(route, client);
            let places = &mut places.pairs;
            let row = pairs.row(places, bank, key, record.finished, record.latency);
            if let Some((chunk, pair)) = row
                && used.add(chunk.row(bank, pair))
            {
                chunk.touch(bank, pair);
            }
        }
        let model = record.route.model.0;
        let latency = &tables.latency;
        let first = latency.observe(&mut places.latency, bank, model, record.latency);
        if let (Some(octave), Some(id)) = (first, record.request_id) {
            self.exemplar(octave, record.latency, record.finished, id);
        }
        if let Some(overhead) = record.overhead {
            let (table, places) = (&self.tables.overhead, &mut self.places.overhead);
            let _first = table.observe(places, bank, record.endpoint as u32, overhead);
        }
        for attempt in record.attempts {
            self.attempt(attempt);
        }
        if is_uncommon(record) {
            self.uncommon(record);
        }
    }

    /// What most requests do not have. Inlined, so that what a caller never has costs it
    /// nothing, and its record need not stand in memory.
    #[inline]
    fn uncommon(&mut self, record: &Record<'_>) {
        let Self {
            tables,
            places,
            bank,
        } = self;
        let bank = *bank;
        let (route, client) = (record.route.id.0, record.client.0);
        if is_rare(record) {
            let rare = Rare::of(record);
            if let Some(chunk) = tables.routes_rare.chunk(&mut places.routes_rare, route) {
                rare.add(chunk, bank, route);
            }
            if let Some(chunk) = tables.clients_rare.chunk(&mut places.clients_rare, client) {
                rare.add(chunk, bank, client);
            }
            if let Some(pairs) = &tables.pairs {
                let key = pairs::key(route, client);
                if let Some((chunk, pair)) = pairs.rare_row(&mut places.pairs, key) {
                    rare.add(chunk, bank, pair);
                }
            }
        }
        if let Some(error) = record.error {
            let of = record.route.provider.0;
            if let Some(chunk) = tables.providers.chunk(&mut places.providers, of) {
                chunk.add(bank, of, error as usize, 1);
            }
        }
        if let Some(limit) = record.limited {
            let column = limits::column(Origin::Gateway, limit);
            let of_clients = &mut places.clients_limits;
            if let Some(chunk) = tables.clients_limits.chunk(of_clients, client) {
                chunk.add(bank, client, column, 1);
            }
            let key = record.route.key.0;
            let of_keys = &mut places.keys_limits;
            if let Some(chunk) = tables.keys_limits.chunk(of_keys, key) {
                chunk.add(bank, key, column, 1);
            }
        }
        let model = record.route.model.0;
        if let Some(time) = record.time_to_first_token {
            let places = &mut places.first_token;
            let _first = tables.first_token.observe(places, bank, model, time);
        }
        if let Some(time) = record.time_per_output_token {
            let places = &mut places.per_token;
            let _first = tables.per_token.observe(places, bank, model, time);
        }
    }

    #[inline]
    fn attempt(&mut self, attempt: &Attempt) {
        let Self {
            tables,
            places,
            bank,
        } = self;
        let Attempt {
            route,
            outcome,
            latency,
            limited,
        } = *attempt;
        if let Some(chunk) = tables.attempts.chunk(&mut places.attempts, route.id.0) {
            chunk.add(*bank, route.id.0, outcome as usize, 1);
        }
        let model = route.model.0;
        let upstream = &tables.upstream;
        let _first = upstream.observe(&mut places.upstream, *bank, model, latency);
        if let Some(limit) = limited
            && let Some(chunk) = tables
                .keys_limits
                .chunk(&mut places.keys_limits, route.key.0)
        {
            let column = limits::column(Origin::Provider, limit);
            chunk.add(*bank, route.key.0, column, 1);
        }
    }

    /// Keeps the request that is the first in its octave.
    #[cold]
    fn exemplar(&mut self, octave: u32, latency: Micros, at: UnixMillis, request_id: &str) {
        let (tables, places) = (self.tables, &mut self.places.exemplars);
        if let Some(cells) = exemplar::pack(latency, at, request_id)
            && let Some(chunk) = tables.exemplars.chunk(places, octave)
        {
            for (cell, value) in chunk.row(self.bank, octave).iter().zip(cells) {
                cell.store(value, Ordering::Relaxed);
            }
            chunk.touch(self.bank, octave);
        }
    }

    #[inline]
    fn active(&mut self, provider: ProviderId, change: i64) {
        let (tables, places) = (self.tables, &mut self.places.providers);
        if let Some(chunk) = tables.providers.chunk(places, provider.0) {
            let cell = &chunk.row(self.bank, provider.0)[provider::ACTIVE];
            let before = cell.load(Ordering::Relaxed);
            cell.store(before.wrapping_add_signed(change), Ordering::Relaxed);
            if before == 0 {
                chunk.touch(self.bank, provider.0);
            }
        }
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
        let mut used = Self {
            failed: record.error.is_some(),
            input: tokens.input,
            output: tokens.output,
            cached_input: tokens.cached_input,
            reasoning: tokens.reasoning,
            cost: record.cost.map_or(0, |cost| cost.0),
        };
        let all = used.input | used.output | used.cached_input | used.reasoning | used.cost;
        if all >= NUMBER_MAX {
            used.cut();
        }
        used
    }

    #[cold]
    fn cut(&mut self) {
        let Self {
            failed: _,
            input,
            output,
            cached_input,
            reasoning,
            cost,
        } = self;
        for number in [input, output, cached_input, reasoning, cost] {
            *number = (*number).min(NUMBER_MAX);
        }
    }

    /// Adds to a row; whether it had no request before.
    #[inline]
    fn add(&self, cells: &[AtomicU64; 8]) -> bool {
        let before = add(&cells[usage::REQUESTS], 1);
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
        before == 0
    }
}

/// Whether there is more to a record than [`Used`], its latency and its attempts.
#[inline]
fn is_uncommon(record: &Record<'_>) -> bool {
    is_rare(record)
        || record.error.is_some()
        || record.limited.is_some()
        || record.time_to_first_token.is_some()
        || record.time_per_output_token.is_some()
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
    #[inline]
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

    #[cold]
    fn add(&self, chunk: &Chunk<8>, bank: Bank, id: u32) {
        for (column, n) in self.cells {
            chunk.add(bank, id, column, n);
        }
    }
}
