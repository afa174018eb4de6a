//! A table of counters that holds only the rows touched since the last turn.
//!
//! A row costs memory in a shard only while there is something in it, so a
//! series that a shard never sees takes a word a row there (a histogram has 58 rows),
//! and a reader walks what happened, not what could have.

use crate::chunks::Append;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering};

/// Bits of an entry of [`Slots`] that hold the slot; the rest is the epoch.
const SLOT_BITS: u32 = 24;
/// Rows in a chunk: 4 KiB of the usual row, so that making one stalls nobody.
const CHUNK_ROWS: usize = if cfg!(loom) { 1 } else { 64 };

/// A counter that reaches this stays there, or above it: see [`Touched::hold`].
pub(crate) const HIGH: u64 = 1 << 63;

/// Adds to a counter that this thread alone writes; it must not wrap.
#[inline]
pub(crate) fn add(cell: &AtomicU64, n: u64) {
    cell.store(
        cell.load(Ordering::Relaxed).wrapping_add(n),
        Ordering::Relaxed,
    );
}

/// Rows that stay where they are, on cache lines of their own where `WIDTH` is 8.
#[derive(Debug)]
#[repr(align(64))]
struct Chunk<const WIDTH: usize> {
    rows: [[AtomicU64; WIDTH]; CHUNK_ROWS],
    ids: [AtomicU32; CHUNK_ROWS],
}

impl<const WIDTH: usize> Chunk<WIDTH> {
    fn new() -> Self {
        Self {
            rows: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            ids: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

/// Where the rows are, by id: the writer's own knowledge, which no one shares.
#[derive(Debug)]
pub(crate) struct Slots<const WIDTH: usize> {
    /// The epoch in which the row was touched, and its slot. Epochs have 40 bits: at one
    /// turn a microsecond they last 12 days of nothing but turns.
    entries: Vec<u64>,
    /// The chunks of the buffer that is written, so that a record walks no shared list.
    chunks: Vec<Arc<Chunk<WIDTH>>>,
    /// Those of the other one.
    resting: Vec<Arc<Chunk<WIDTH>>>,
}

impl<const WIDTH: usize> Default for Slots<WIDTH> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            chunks: Vec::new(),
            resting: Vec::new(),
        }
    }
}

impl<const WIDTH: usize> Slots<WIDTH> {
    #[inline]
    fn find(&self, epoch: u64, id: u32) -> Option<usize> {
        let entry = *self.entries.get(id as usize)?;
        (entry >> SLOT_BITS == epoch).then_some((entry & ((1 << SLOT_BITS) - 1)) as usize)
    }

    fn put(&mut self, epoch: u64, id: u32, slot: usize) {
        let at = id as usize;
        if self.entries.len() <= at {
            self.entries.resize(at + 1, 0);
        }
        self.entries[at] = epoch << SLOT_BITS | slot as u64;
    }

    /// The buffers change places.
    pub(crate) fn turn(&mut self) {
        std::mem::swap(&mut self.chunks, &mut self.resting);
    }

    #[inline]
    fn row(&self, slot: usize) -> Option<&[AtomicU64; WIDTH]> {
        Some(&self.chunks.get(slot / CHUNK_ROWS)?.rows[slot % CHUNK_ROWS])
    }
}

/// The rows that were touched, in the order in which they were.
#[derive(Debug)]
pub(crate) struct Touched<const WIDTH: usize> {
    chunks: Append<Arc<Chunk<WIDTH>>>,
    len: AtomicU32,
}

impl<const WIDTH: usize> Touched<WIDTH> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: Append::new(),
            len: AtomicU32::new(0),
        }
    }

    /// The writer's row of `id`. `slots` is that of this table, in both buffers.
    #[inline]
    pub(crate) fn row<'a>(
        &self,
        slots: &'a mut Slots<WIDTH>,
        epoch: u64,
        id: u32,
    ) -> &'a [AtomicU64; WIDTH] {
        self.row_or_new(slots, epoch, id).0
    }

    /// The same, and whether it is the first touch since the turn.
    #[inline]
    pub(crate) fn row_or_new<'a>(
        &self,
        slots: &'a mut Slots<WIDTH>,
        epoch: u64,
        id: u32,
    ) -> (&'a [AtomicU64; WIDTH], bool) {
        let (slot, is_new) = match slots.find(epoch, id) {
            Some(slot) => (slot, false),
            None => (self.touch(slots, epoch, id), true),
        };
        let row = slots.row(slot).expect("a slot that is named has its chunk");
        (row, is_new)
    }

    /// Takes the next slot for `id`.
    #[cold]
    fn touch(&self, slots: &mut Slots<WIDTH>, epoch: u64, id: u32) -> usize {
        // Relaxed throughout: `Flip` orders all of a buffer between writer and reader.
        let slot = self.len.load(Ordering::Relaxed) as usize;
        assert!(
            slot < 1 << SLOT_BITS,
            "16.7 million rows touched in one turn"
        );
        let known = &mut slots.chunks;
        if known.len() == slot / CHUNK_ROWS {
            let chunk = Arc::new(Chunk::new());
            assert!(
                self.chunks.push(Arc::clone(&chunk)).is_ok(),
                "slots end before chunks do"
            );
            known.push(chunk);
        }
        known[slot / CHUNK_ROWS].ids[slot % CHUNK_ROWS].store(id, Ordering::Relaxed);
        self.len.store(slot as u32 + 1, Ordering::Relaxed);
        slots.put(epoch, id, slot);
        slot
    }

    /// Calls `each` with the id and the cells of each row. Safe beside a writer, but
    /// then only good for what `Flip` proves unchanged.
    pub(crate) fn read(&self, mut each: impl FnMut(u32, [u64; WIDTH])) {
        self.rows(|id, row| {
            each(
                id,
                std::array::from_fn(|at| row[at].load(Ordering::Relaxed)),
            );
        });
    }

    /// Lowers counters above [`HIGH`] to it, so that additions of less than [`HIGH`] in
    /// all cannot wrap them. The writer calls it, in a write of its own.
    pub(crate) fn hold(&self) {
        self.rows(|_, row| {
            for cell in row {
                let now = cell.load(Ordering::Relaxed);
                cell.store(now.min(HIGH), Ordering::Relaxed);
            }
        });
    }

    /// Empties the table, which must be the caller's own by then.
    pub(crate) fn clear(&self) {
        self.rows(|_, row| row.iter().for_each(|cell| cell.store(0, Ordering::Relaxed)));
        self.len.store(0, Ordering::Relaxed);
    }

    fn rows(&self, mut each: impl FnMut(u32, &[AtomicU64; WIDTH])) {
        let mut left = self.len.load(Ordering::Relaxed) as usize;
        for at in 0.. {
            // Beside a writer the chunk may not be there yet; the copy is thrown away then.
            let (Some(chunk), true) = (self.chunks.get(at), left > 0) else {
                return;
            };
            for (row, id) in chunk.rows.iter().zip(&chunk.ids).take(left) {
                each(id.load(Ordering::Relaxed), row);
            }
            left = left.saturating_sub(CHUNK_ROWS);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::flip::Flip;

    /// What was read is used again: a table takes the memory of one turn, not of all.
    #[test]
    fn rows_are_reused_after_a_reading() {
        let (mut writer, mut reader) = Flip::pair(Touched::<8>::new);
        let mut slots = Slots::default();
        for turn in 0..50u32 {
            for id in turn * 100..turn * 100 + 100 {
                writer.write(&mut slots, Slots::turn, |table, epoch, slots| {
                    add(&table.row(slots, epoch, id)[0], 1);
                });
            }
            let take = |table: &Touched<8>| {
                table.read(|_, row| assert_eq!(row, [1, 0, 0, 0, 0, 0, 0, 0]));
                table.clear();
            };
            let _still_there = reader.collect(take, |_| ());
        }
        // Two turns' rows may stand in one buffer, as the writer moves with its next write.
        assert!(
            slots.chunks.len() <= 4 && slots.resting.len() <= 4,
            "{}",
            slots.chunks.len()
        );
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::flip::{Flip, FlipReader, FlipWriter};

    fn count(writer: &mut FlipWriter<Touched<1>>, slots: &mut Slots<1>, id: u32) {
        writer.write(slots, Slots::turn, |table, epoch, slots| {
            add(&table.row(slots, epoch, id)[0], 1);
        });
    }

    /// The totals of 7 and 8: what was taken for good, and what was seen besides.
    fn collect(reader: &mut FlipReader<Touched<1>>, base: &mut [u64; 9]) -> (u64, u64) {
        let seen = reader.collect(
            |table| {
                table.read(|id, [n]| base[id as usize] += n);
                table.clear();
            },
            |table| {
                let mut seen = [0; 9];
                table.read(|id, [n]| seen[id as usize] += n);
                seen
            },
        );
        let seen = seen.unwrap_or_default();
        (base[7] + seen[7], base[8] + seen[8])
    }

    /// Rows that appear lazily, and a table that grows a chunk, under a reader; in a
    /// buffer that was used, read and emptied before.
    #[test]
    fn rows_appear_and_grow_under_a_reader() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let (mut writer, mut reader) = Flip::pair(Touched::<1>::new);
            let (mut slots, mut base) = (Slots::default(), [0; 9]);
            for n in 1..=2 {
                count(&mut writer, &mut slots, 7);
                assert_eq!(collect(&mut reader, &mut base), (n, 0));
            }
            let thread = loom::thread::spawn(move || {
                for id in [7, 8, 7] {
                    count(&mut writer, &mut slots, id);
                }
            });
            let seen = collect(&mut reader, &mut base);
            assert!(
                matches!(seen, (2, 0) | (3, 0) | (3, 1) | (4, 1)),
                "{seen:?}"
            );
            thread.join().unwrap();
            assert_eq!(collect(&mut reader, &mut base), (4, 1));
        });
    }
}
