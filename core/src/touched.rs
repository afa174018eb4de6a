//! A table of counters that holds only the rows touched since the last turn.
//!
//! A row costs memory in a shard only while there is something in it, so a
//! series that a shard never sees takes one word there, and a reader walks what
//! happened, not what could have.

use crate::chunks::{ITEMS_MAX, Rows};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Bits of an entry of [`Slots`] that hold the slot; the rest is the epoch.
const SLOT_BITS: u32 = 24;
const _: () = assert!(ITEMS_MAX <= 1 << SLOT_BITS, "every slot fits its bits");

/// Adds to a counter that this thread alone writes; stays at [`u64::MAX`].
#[inline]
pub(crate) fn add(cell: &AtomicU64, n: u64) {
    cell.store(
        cell.load(Ordering::Relaxed).saturating_add(n),
        Ordering::Relaxed,
    );
}

/// Where the rows are, by id: the writer's own knowledge, which no one shares.
///
/// An entry is the epoch in which the row was touched and its slot. Epochs have
/// 40 bits: at one turn a microsecond they last 12 days of nothing but turns.
#[derive(Debug, Default)]
pub(crate) struct Slots(Vec<u64>);

impl Slots {
    #[inline]
    fn find(&self, epoch: u64, id: u32) -> Option<u32> {
        let entry = *self.0.get(id as usize)?;
        (entry >> SLOT_BITS == epoch).then_some((entry & ((1 << SLOT_BITS) - 1)) as u32)
    }

    fn put(&mut self, epoch: u64, id: u32, slot: u32) {
        let at = id as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] = epoch << SLOT_BITS | u64::from(slot);
    }
}

/// The rows that were touched, in the order in which they were.
#[derive(Debug)]
pub(crate) struct Touched<const WIDTH: usize> {
    rows: Rows<WIDTH>,
    ids: Rows<1>,
    len: AtomicU32,
}

impl<const WIDTH: usize> Touched<WIDTH> {
    pub(crate) fn new() -> Self {
        Self {
            rows: Rows::new(),
            ids: Rows::new(),
            len: AtomicU32::new(0),
        }
    }

    /// The writer's row of `id`.
    #[inline]
    pub(crate) fn row(&self, slots: &mut Slots, epoch: u64, id: u32) -> &[AtomicU64; WIDTH] {
        if let Some(slot) = slots.find(epoch, id)
            && let Some(row) = self.rows.row(slot)
        {
            return row;
        }
        self.touch(slots, epoch, id)
    }

    #[cold]
    fn touch(&self, slots: &mut Slots, epoch: u64, id: u32) -> &[AtomicU64; WIDTH] {
        // Relaxed throughout: `Flip` orders all of a buffer between writer and reader.
        let slot = self.len.load(Ordering::Relaxed);
        let row = self.rows.grow(slot);
        self.ids.grow(slot)[0].store(u64::from(id), Ordering::Relaxed);
        self.len.store(slot + 1, Ordering::Relaxed);
        slots.put(epoch, id, slot);
        row
    }

    /// Calls `each` with the id and the cells of each row. Safe beside a writer, but
    /// then only good for what `Flip` proves unchanged.
    pub(crate) fn read(&self, mut each: impl FnMut(u32, [u64; WIDTH])) {
        for slot in 0..self.len.load(Ordering::Relaxed) {
            let (Some(id), Some(row)) = (self.ids.row(slot), self.rows.row(slot)) else {
                continue; // beside a writer; the copy will be thrown away
            };
            let id = id[0].load(Ordering::Relaxed) as u32;
            each(
                id,
                std::array::from_fn(|at| row[at].load(Ordering::Relaxed)),
            );
        }
    }

    /// Empties the table, which must be the caller's own by then.
    pub(crate) fn clear(&self) {
        for slot in 0..self.len.load(Ordering::Relaxed) {
            if let Some(row) = self.rows.row(slot) {
                row.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
            }
        }
        self.len.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::flip::Flip;

    /// Rows that appear lazily, and a table that grows a chunk, under a reader.
    #[test]
    fn rows_appear_and_grow_under_a_reader() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let (mut writer, mut reader) = Flip::pair(Touched::<1>::new);
            let thread = loom::thread::spawn(move || {
                let mut slots = Slots::default();
                for id in [7, 8, 7] {
                    writer.write(|table, epoch| add(&table.row(&mut slots, epoch, id)[0], 1));
                }
            });
            let mut base = [0; 9];
            let mut collect = |reader: &mut crate::flip::FlipReader<Touched<1>>| {
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
            };
            let (seven, eight) = collect(&mut reader);
            assert!(matches!((seven, eight), (0, 0) | (1, 0) | (1, 1) | (2, 1)));
            thread.join().unwrap();
            assert_eq!(collect(&mut reader), (2, 1));
        });
    }
}
