//! An append-only list that grows without moving what readers look at.
//!
//! Chunk `k` holds `FIRST << k` items, so few items take little memory and the
//! address of an item never changes.

use crate::sync::{AtomicU32, Once, Ordering};

/// Items in the first chunk.
const FIRST: u32 = if cfg!(loom) { 1 } else { 16 };
/// Chunks; with 16 items in the first, room for 16.7 million.
const CHUNKS: usize = if cfg!(loom) { 2 } else { 20 };
/// Items that fit.
const ITEMS_MAX: u32 = FIRST * ((1 << CHUNKS) - 1);

/// The chunk and the place in it of item `at`.
const fn place(at: u32) -> (usize, u32) {
    let shifted = at + FIRST;
    let chunk = (shifted / FIRST).ilog2();
    (chunk as usize, shifted - (FIRST << chunk))
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

    /// The items that are there, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        // Where a chunk or an item is not there yet, none behind it is.
        self.chunks
            .iter()
            .map_while(Once::get)
            .flat_map(|items| items.iter().map(Once::get))
            .map_while(|item| item)
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
