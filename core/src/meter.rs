//! The meter: shards, the catalogue of their series, and the reader that merges them.

use crate::barrier::Barrier;
use crate::catalog::Catalog;
use crate::crossing::Crossing;
use crate::flip::{self, FlipReader};
use crate::shard::{Lease, ShardWriter, Tables};
use crate::snapshot::Snapshot;
use crate::sync::{Arc, Mutex};

/// A meter. Clones share it.
#[derive(Clone, Debug)]
pub struct Meter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    catalog: Catalog,
    has_pairs: bool,
    barrier: Barrier,
    /// Writers that ended and can be continued.
    idle: Mutex<Vec<Lease>>,
    /// Shards that no reader has seen yet. Held for as long as a list takes to grow, so a
    /// thread that begins to record never waits for a scrape.
    newborn: Mutex<Vec<Shard>>,
    /// What readers share. Writers never take this lock.
    reader: Mutex<Reader>,
}

#[derive(Debug, Default)]
struct Reader {
    shards: Vec<Shard>,
    /// All that the writers have handed over.
    totals: Snapshot,
    /// The same by (route, client), since it was last taken.
    crossing: Crossing,
}

/// The reader's end of a shard.
#[derive(Debug)]
struct Shard {
    flip: FlipReader,
    tables: Arc<Tables>,
    /// Places of the crossing, by the shard's numbers of pairs.
    pair_places: Vec<u32>,
}

impl Inner {
    pub(crate) fn give_back(&self, lease: Lease) {
        lock(&self.idle).push(lease);
    }
}

/// A panic under these locks leaves nothing half done that matters: a list of
/// leases and sums that are written by whole rows.
fn lock<T>(mutex: &Mutex<T>) -> impl std::ops::DerefMut<Target = T> + '_ {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Meter {
    /// A meter whose catalogue takes `sets_max` label sets of each kind;
    /// see [`Catalog::new`].
    #[must_use]
    pub fn new(sets_max: u32) -> Self {
        Self::make(sets_max, false)
    }

    /// A meter that also counts what each client used of each route, for
    /// [`Meter::take_pairs`], which someone must then call: every second or so.
    ///
    /// # Cost
    /// A record touches one cache line more and keeps eight bytes until it is taken; a
    /// pair that occurs takes 170 bytes in each shard that sees it.
    #[must_use]
    pub fn with_pairs(sets_max: u32) -> Self {
        Self::make(sets_max, true)
    }

    fn make(sets_max: u32, has_pairs: bool) -> Self {
        let inner = Inner {
            has_pairs,
            catalog: Catalog::new(sets_max),
            barrier: Barrier::new(),
            idle: Mutex::new(Vec::new()),
            newborn: Mutex::new(Vec::new()),
            reader: Mutex::new(Reader::default()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Where label values become ids.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// A writer for one thread: one that ended is continued, else a shard is made.
    /// A reading under way does not hold it up.
    #[must_use]
    pub fn writer(&self) -> ShardWriter {
        let idle = lock(&self.inner.idle).pop();
        let lease = idle.unwrap_or_else(|| {
            let (writer, flip) = flip::pair(self.inner.barrier);
            let tables = Arc::new(Tables::new(self.inner.has_pairs));
            let lease = Lease::new(writer, Arc::clone(&tables));
            lock(&self.inner.newborn).push(Shard {
                flip,
                tables,
                pair_places: Vec::new(),
            });
            lease
        });
        ShardWriter::new(lease, Arc::clone(&self.inner))
    }

    /// Shards made so far.
    #[must_use]
    pub fn shards(&self) -> usize {
        let mut reader = lock(&self.inner.reader);
        reader.shards.append(&mut lock(&self.inner.newborn));
        reader.shards.len()
    }

    /// Merges the shards and gives `look` the result: every record that was finished
    /// before the call, whole.
    ///
    /// Callers take turns; writers do not notice. A shard in which nothing happened since
    /// the last call costs a load.
    pub fn read<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        let mut reader = lock(&self.inner.reader);
        self.gather(&mut reader);
        look(&reader.totals)
    }

    /// As [`Meter::read`], and hands over what clients used of routes since the last such
    /// call: of the same records. Empty where the meter is not one [`Meter::with_pairs`].
    pub fn take_pairs<R>(&self, look: impl FnOnce(&Snapshot, Crossing) -> R) -> R {
        let mut reader = lock(&self.inner.reader);
        self.gather(&mut reader);
        let crossing = std::mem::take(&mut reader.crossing);
        look(&reader.totals, crossing)
    }

    /// Takes over what the writers have.
    fn gather(&self, reader: &mut Reader) {
        let Reader {
            shards,
            totals,
            crossing,
        } = reader;
        shards.append(&mut lock(&self.inner.newborn));
        let asked: Vec<_> = shards.iter_mut().map(|shard| shard.flip.ask()).collect();
        if asked.contains(&true) {
            self.inner.barrier.heavy();
        }
        for (shard, _) in shards.iter_mut().zip(asked).filter(|(_, asked)| *asked) {
            let bank = shard.flip.take_over();
            totals.take(&shard.tables, bank);
            if let Some(pairs) = &shard.tables.pairs {
                crossing.take(pairs, &mut shard.pair_places, bank);
            }
        }
    }

    /// The same, as a copy to keep.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.read(Snapshot::clone)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::record::{Endpoint, Record};
    use crate::units::{Micros, UnixMillis};

    #[test]
    fn a_thread_begins_to_record_while_a_reading_goes_on() {
        let meter = Meter::new(4);
        let route = meter.catalog().route("p", "m", "k");
        let client = meter.catalog().client("c");
        meter.read(|_| {
            let mut writer = meter.writer();
            writer.record(&Record::new(
                route,
                client,
                Endpoint::Embeddings,
                UnixMillis(1),
                Micros(2),
            ));
        });
        assert_eq!(meter.snapshot().total().requests, 1);
        assert_eq!(meter.shards(), 1);
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::record::{Endpoint, Record, Tokens, UsageSource};
    use crate::units::{Micros, NanoUsd, UnixMillis};

    /// What the models record: one token in, two out, three nano-USD.
    fn record(meter: &Meter, writer: &mut ShardWriter) {
        writer.record(&Record {
            route: meter.catalog().route("p", "m", "k"),
            client: meter.catalog().client("c"),
            endpoint: Endpoint::ChatCompletions,
            request_id: None,
            finished: UnixMillis(1),
            latency: Micros(5),
            overhead: None,
            time_to_first_token: None,
            time_per_output_token: None,
            tokens: Tokens {
                input: 1,
                output: 2,
                ..Tokens::default()
            },
            usage: Some(UsageSource::Provider),
            cost: Some(NanoUsd(3)),
            error: None,
            limited: None,
            attempts: &[],
        });
    }

    /// The number of records in a snapshot, which must all be whole.
    fn whole(meter: &Meter) -> u64 {
        let snapshot = meter.snapshot();
        let total = snapshot.total();
        let n = total.requests;
        assert_eq!(
            (total.tokens.input, total.tokens.output, total.cost.0),
            (n, 2 * n, 3 * n)
        );
        let route = snapshot.route(meter.catalog().route("p", "m", "k").id);
        assert_eq!(
            (route.requests, route.tokens.output, route.cost.0),
            (n, 2 * n, 3 * n)
        );
        assert_eq!(snapshot.total_latency().whole().count(), n);
        n
    }

    fn model(preemptions_max: usize, check: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions_max);
        // A whole meter touches many atomics between two switches.
        model.max_branches = 20_000;
        model.check(check);
    }

    /// A worker that ends and leaves its totals behind.
    #[test]
    fn totals_stay_when_a_worker_ends() {
        model(2, || {
            let meter = Meter::new(4);
            let worker = meter.clone();
            let thread = loom::thread::spawn(move || {
                let mut writer = worker.writer();
                record(&worker, &mut writer);
                record(&worker, &mut writer);
            });
            assert!(whole(&meter) <= 2);
            thread.join().unwrap();
            assert_eq!(whole(&meter), 2);
        });
    }

    /// Threads outside a runtime that take a lease of a shard and return it: the one
    /// that comes later may continue the same shard.
    #[test]
    fn a_lease_goes_from_thread_to_thread() {
        model(1, || {
            let meter = Meter::new(4);
            let other = meter.clone();
            let thread = loom::thread::spawn(move || record(&other, &mut other.writer()));
            record(&meter, &mut meter.writer());
            thread.join().unwrap();
            assert!(meter.shards() <= 2);
            assert_eq!(whole(&meter), 2);
        });
    }
}
