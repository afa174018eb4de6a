//! Tables of counters that a writer fills in one bank while a reader has the other.
//!
//! Rows stand in chunks of a few neighbours, made when one of them is first touched in
//! this shard: a series that a shard never sees costs it a share of a pointer. A reader
//! walks the chunks and takes the rows that have something in them.

use crate::chunks::Append;
use crate::flip::Bank;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering};

/// Rows in a chunk: 1 KiB of the usual row with both banks, so that making one stalls
/// nobody, and few cold rows come along with a hot one.
const CHUNK_ROWS: usize = if cfg!(loom) { 2 } else { 8 };

/// A counter that reaches this stays there, or above it: see [`Table::hold`].
pub(crate) const HIGH: u64 = 1 << 63;

/// Adds to a counter that this thread alone writes, which must not wrap; returns what
/// it was.
#[inline]
pub(crate) fn add(cell: &AtomicU64, n: u64) -> u64 {
    let before = cell.load(Ordering::Relaxed);
    cell.store(before.wrapping_add(n), Ordering::Relaxed);
    before
}

/// The cells of one id in one bank; a cache line of its own where `WIDTH` is 8.
pub(crate) type Row<const WIDTH: usize> = [AtomicU64; WIDTH];

/// Neighbouring rows, both banks.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Chunk<const WIDTH: usize> {
    rows: [[Row<WIDTH>; CHUNK_ROWS]; 2],
    /// In each bank, a bit a row that may hold something.
    touched: [AtomicU32; 2],
    /// The id of the first row.
    first: u32,
}

impl<const WIDTH: usize> Chunk<WIDTH> {
    fn new(first: u32) -> Self {
        let row = || std::array::from_fn(|_| AtomicU64::new(0));
        let rows = || std::array::from_fn(|_| row());
        Self {
            rows: [rows(), rows()],
            touched: [AtomicU32::new(0), AtomicU32::new(0)],
            first,
        }
    }

    /// The row of an id of this chunk.
    #[inline]
    pub(crate) fn row(&self, bank: Bank, id: u32) -> &Row<WIDTH> {
        &bank.of_pair(&self.rows)[id as usize % CHUNK_ROWS]
    }

    /// Notes that the row has something in it. To be called whenever a cell that the
    /// reader counts on was zero before.
    #[cold]
    pub(crate) fn touch(&self, bank: Bank, id: u32) {
        let touched = bank.of_pair(&self.touched);
        let bit = 1 << (id as usize % CHUNK_ROWS);
        touched.store(touched.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
    }

    /// Adds to one cell and notes it.
    #[inline]
    pub(crate) fn add(&self, bank: Bank, id: u32, column: usize, n: u64) {
        if add(&self.row(bank, id)[column], n) == 0 {
            self.touch(bank, id);
        }
    }

    /// The rows of a bank that may hold something.
    fn each_touched(&self, bank: Bank, mut each: impl FnMut(u32, &Row<WIDTH>)) {
        let mut touched = bank.of_pair(&self.touched).load(Ordering::Relaxed);
        while touched != 0 {
            let id = self.first + touched.trailing_zeros();
            touched &= touched - 1;
            each(id, self.row(bank, id));
        }
    }
}

/// The writer's way to the chunks of a table, by id: its own knowledge.
#[derive(Debug)]
pub(crate) struct Places<const WIDTH: usize>(Vec<Option<Arc<Chunk<WIDTH>>>>);

impl<const WIDTH: usize> Default for Places<WIDTH> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A table of one shard, dense by id. Relaxed throughout: `Flip` orders all of a bank
/// between writer and reader.
#[derive(Debug)]
pub(crate) struct Table<const WIDTH: usize> {
    chunks: Append<Arc<Chunk<WIDTH>>>,
}

impl<const WIDTH: usize> Table<WIDTH> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: Append::new(),
        }
    }

    /// The writer's chunk with the row of `id`. `places` is that of this table.
    #[inline]
    pub(crate) fn chunk<'a>(
        &self,
        places: &'a mut Places<WIDTH>,
        id: u32,
    ) -> Option<&'a Chunk<WIDTH>> {
        let at = id as usize / CHUNK_ROWS;
        if !matches!(places.0.get(at), Some(Some(_))) {
            self.make(places, at);
        }
        places.0.get(at)?.as_deref()
    }

    #[cold]
    fn make(&self, places: &mut Places<WIDTH>, at: usize) {
        if places.0.len() <= at {
            places.0.resize(at + 1, None);
        }
        let chunk = Arc::new(Chunk::new((at * CHUNK_ROWS) as u32));
        // The catalogue's ids end long before the list of chunks does.
        if self.chunks.push(Arc::clone(&chunk)).is_ok() {
            places.0[at] = Some(chunk);
        }
    }

    /// Calls `each` with the rows of a bank that hold something, and empties them. The
    /// bank must be the reader's.
    pub(crate) fn take(&self, bank: Bank, mut each: impl FnMut(u32, [u64; WIDTH])) {
        for chunk in self.chunks.iter() {
            chunk.each_touched(bank, |id, row| {
                let cells = std::array::from_fn(|at| row[at].load(Ordering::Relaxed));
                row.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
                each(id, cells);
            });
            bank.of_pair(&chunk.touched).store(0, Ordering::Relaxed);
        }
    }

    /// Lowers counters above [`HIGH`] to it, so that additions of less than [`HIGH`] in
    /// all cannot wrap them. The writer calls it, in a write of its own.
    pub(crate) fn hold(&self, bank: Bank) {
        for chunk in self.chunks.iter() {
            chunk.each_touched(bank, |_, row| {
                for cell in row {
                    let now = cell.load(Ordering::Relaxed);
                    cell.store(now.min(HIGH), Ordering::Relaxed);
                }
            });
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::barrier::Barrier;
    use crate::flip::{self, FlipReader, FlipWriter};

    fn count(writer: &mut FlipWriter, table: &Table<1>, places: &mut Places<1>, id: u32) {
        writer.write(|bank| {
            let chunk = table.chunk(places, id).expect("room for a chunk");
            chunk.add(bank, id, 0, 1);
        });
    }

    fn take(reader: &mut FlipReader, table: &Table<1>, totals: &mut [u64; 4]) {
        if reader.ask() {
            Barrier::new().heavy();
            table.take(reader.take_over(), |id, [n]| totals[id as usize] += n);
        }
    }

    /// A table that grows under a reader, over turns that use both banks: no row is
    /// missed, none is taken twice.
    #[test]
    fn rows_appear_and_grow_under_a_reader() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let (mut writer, mut reader) = flip::pair(Barrier::new());
            let table = Arc::new(Table::<1>::new());
            let mut places = Places::default();
            let mut totals = [0; 4];
            for n in 1..=2 {
                count(&mut writer, &table, &mut places, 1);
                take(&mut reader, &table, &mut totals);
                assert_eq!(totals, [0, n, 0, 0]);
            }
            let written = Arc::clone(&table);
            let thread = loom::thread::spawn(move || {
                for id in [1, 2, 3] {
                    count(&mut writer, &written, &mut places, id);
                }
            });
            take(&mut reader, &table, &mut totals);
            assert!(
                matches!(
                    totals,
                    [0, 2, 0, 0] | [0, 3, 0, 0] | [0, 3, 1, 0] | [0, 3, 1, 1]
                ),
                "{totals:?}"
            );
            thread.join().unwrap();
            take(&mut reader, &table, &mut totals);
            assert_eq!(totals, [0, 3, 1, 1]);
        });
    }
}
