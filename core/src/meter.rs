//! The meter: shards, the catalogue of their series, and the reader that merges them.

use crate::catalog::Catalog;
use crate::flip::{Flip, FlipReader};
use crate::shard::{Buffer, Lease, ShardWriter};
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
    /// Writers that ended and can be continued.
    idle: Mutex<Vec<Lease>>,
    /// What readers share. Writers never take this lock but to be born.
    reader: Mutex<Reader>,
}

#[derive(Debug, Default)]
struct Reader {
    shards: Vec<FlipReader<Buffer>>,
    /// All that the writers have handed over.
    taken: Snapshot,
    /// `taken`, and what idle writers still hold.
    current: Snapshot,
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
        let inner = Inner {
            catalog: Catalog::new(sets_max),
            idle: Mutex::new(Vec::new()),
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
    #[must_use]
    pub fn writer(&self) -> ShardWriter {
        let idle = lock(&self.inner.idle).pop();
        let lease = idle.unwrap_or_else(|| {
            let (writer, reader) = Flip::pair(Buffer::new);
            lock(&self.inner.reader).shards.push(reader);
            Lease::new(writer)
        });
        ShardWriter::new(lease, Arc::clone(&self.inner))
    }

    /// Shards made so far.
    #[must_use]
    pub fn shards(&self) -> usize {
        lock(&self.inner.reader).shards.len()
    }

    /// Merges the shards and gives `look` the result: every record that was finished
    /// before the call, whole.
    ///
    /// Callers take turns; writers do not notice.
    pub fn read<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        let mut reader = lock(&self.inner.reader);
        let Reader {
            shards,
            taken,
            current,
        } = &mut *reader;
        let mut held = Vec::new();
        for shard in shards {
            let seen = shard.collect(
                |buffer| {
                    taken.add_buffer(buffer);
                    buffer.clear();
                },
                |buffer| {
                    let mut seen = Snapshot::default();
                    seen.add_buffer(buffer);
                    seen
                },
            );
            held.extend(seen);
        }
        current.clone_from(taken);
        for seen in &held {
            current.merge(seen);
        }
        look(current)
    }

    /// The same, as a copy to keep.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.read(Snapshot::clone)
    }
}
