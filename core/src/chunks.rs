//! Append-only storage that grows without moving what readers look at.
//!
//! Chunk `k` holds `FIRST << k` items, so few items take little memory and the
//! address of an item never changes.

use crate::sync::{AtomicU32, AtomicU64, Once, Ordering};

/// Items in the first chunk.
const FIRST: u32 = if cfg!(loom) { 1 } else { 16 };
/// Chunks; with 16 items in the first, room for 16.7 million.
const CHUNKS: usize = if cfg!(loom) { 2 } else { 20 };
/// Items that fit.
pub(crate) const ITEMS_MAX: u32 = FIRST * ((1 << CHUNKS) - 1);

/// The chunk and the place in it of item `at`.
const fn place(at: u32) -> (usize, u32) {
    let shifted = at + FIRST;
    let chunk = (shifted / FIRST).ilog2();
    (chunk as usize, shifted - (FIRST << chunk))
}

/// Rows of `WIDTH` counters: plain memory with fixed offsets, aligned to cache lines
/// where `WIDTH` is a multiple of 8.
#[derive(Debug)]
pub(crate) struct Rows<const WIDTH: usize> {
    chunks: [Once<RowChunk>; CHUNKS],
}

#[derive(Debug)]
struct RowChunk {
    cells: Box<[AtomicU64]>,
    /// Cells before the first row, up to a cache line.
    skip: usize,
}

impl RowChunk {
    #[cfg(not(loom))]
    fn new(cells: usize) -> Self {
        const LINE: usize = 64 / size_of::<AtomicU64>();
        let cells = bytemuck::allocation::zeroed_slice_box::<AtomicU64>(cells + LINE - 1);
        let misaligned = cells.as_ptr().addr() / size_of::<AtomicU64>() % LINE;
        Self {
            cells,
            skip: (LINE - misaligned) % LINE,
        }
    }

    #[cfg(loom)]
    fn new(cells: usize) -> Self {
        Self {
            cells: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            skip: 0,
        }
    }
}

impl<const WIDTH: usize> Rows<WIDTH> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: std::array::from_fn(|_| Once::new()),
        }
    }

    /// The row at `at`, if its chunk exists.
    #[inline]
    pub(crate) fn row(&self, at: u32) -> Option<&[AtomicU64; WIDTH]> {
        let (chunk, offset) = place(at);
        let chunk = self.chunks.get(chunk)?.get()?;
        let start = chunk.skip + offset as usize * WIDTH;
        chunk.cells.get(start..start + WIDTH)?.try_into().ok()
    }

    /// The row at `at`, making its chunk where needed. One thread at a time calls this.
    #[cold]
    pub(crate) fn grow(&self, at: u32) -> &[AtomicU64; WIDTH] {
        let (chunk, _) = place(at);
        if self.chunks[chunk].get().is_none() {
            let made = RowChunk::new((FIRST << chunk) as usize * WIDTH);
            assert!(self.chunks[chunk].set(made).is_ok(), "one thread grows");
        }
        self.row(at).expect("its chunk was made")
    }
}

/// A list that one thread at a time appends to and anyone reads.
#[derive(Debug)]
pub(crate) struct Append<T> {
    chunks: [Once<Box<[Once<T>]>>; CHUNKS],
    len: AtomicU32,
}

impl<T> Append<T> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: std::array::from_fn(|_| Once::new()),
            len: AtomicU32::new(0),
        }
    }

    pub(crate) fn len(&self) -> u32 {
        // Acquire: partner is the Release in `push`.
        self.len.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        let (chunk, offset) = place(at);
        self.chunks.get(chunk)?.get()?.get(offset as usize)?.get()
    }

    /// Appends and returns the item's place, or gives the item back when full.
    /// One thread at a time calls this.
    pub(crate) fn push(&self, item: T) -> Result<u32, T> {
        let at = self.len.load(Ordering::Relaxed);
        if at >= ITEMS_MAX {
            return Err(item);
        }
        let (chunk, offset) = place(at);
        if self.chunks[chunk].get().is_none() {
            let made = (0..FIRST << chunk).map(|_| Once::new()).collect();
            assert!(self.chunks[chunk].set(made).is_ok(), "one thread appends");
        }
        let items = self.chunks[chunk].get().expect("just made");
        assert!(
            items[offset as usize].set(item).is_ok(),
            "one thread appends"
        );
        // Release: partner is the Acquire in `len`.
        self.len.store(at + 1, Ordering::Release);
        Ok(at)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn places_follow_each_other() {
        let mut expected = (0, 0);
        for at in 0..100_000 {
            assert_eq!(place(at), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        let (chunk, offset) = place(ITEMS_MAX - 1);
        assert_eq!((chunk, offset), (CHUNKS - 1, (FIRST << (CHUNKS - 1)) - 1));
    }

    #[test]
    fn rows_of_eight_lie_on_cache_lines() {
        let rows = Rows::<8>::new();
        for at in 0..1000 {
            let row = rows.grow(at);
            assert_eq!(row.as_ptr().addr() % 64, 0);
            row[7].store(u64::from(at), Ordering::Relaxed);
        }
        for at in 0..1000 {
            let row = rows.row(at).expect("made above");
            assert_eq!(row[7].load(Ordering::Relaxed), u64::from(at));
        }
        assert!(rows.row(100_000).is_none());
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::Arc;

    /// A list that grows under a reader: what `len` promises can be read.
    #[test]
    fn an_append_list_grows_under_a_reader() {
        loom::model(|| {
            let list = Arc::new(Append::<u32>::new());
            let reader = {
                let list = Arc::clone(&list);
                loom::thread::spawn(move || {
                    for at in 0..list.len() {
                        assert_eq!(list.get(at).copied(), Some(at + 10));
                    }
                })
            };
            for at in 0..3 {
                assert_eq!(list.push(at + 10), Ok(at));
            }
            assert_eq!(list.push(99), Err(99));
            reader.join().unwrap();
        });
    }
}
