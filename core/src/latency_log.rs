//! Latencies as they came, until the reader takes them.
//!
//! A histogram a pair would be finer than any reader needs or larger than any machine
//! has; eight bytes a record, for as long as a reading takes to come, are neither.

use crate::chunks::Append;
use crate::flip::Bank;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering};
use crate::table::add;
use crate::units::Micros;

/// Entries in a block: 16 KiB with both banks.
const BLOCK: usize = if cfg!(loom) { 1 } else { 1024 };
/// Entries of a bank that wait for the reader: 8 MB, which a worker at 30,000 requests a
/// second fills in 35 s. Those over it are counted and lost; their record is not.
const ENTRIES_MAX: u32 = if cfg!(loom) { 2 } else { 1 << 20 };

/// Entries of both banks.
#[derive(Debug)]
pub(crate) struct Block([[AtomicU64; BLOCK]; 2]);

impl Block {
    fn new() -> Self {
        let bank = || std::array::from_fn(|_| AtomicU64::new(0));
        Self([bank(), bank()])
    }
}

/// The writer's way to the blocks.
#[derive(Debug, Default)]
pub(crate) struct LogPlaces(Vec<Arc<Block>>);

/// The latencies of one shard. Relaxed throughout: `Flip` orders all of a bank between
/// writer and reader.
#[derive(Debug)]
pub(crate) struct Log {
    blocks: Append<Arc<Block>>,
    lens: [AtomicU32; 2],
    missed: [AtomicU64; 2],
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            blocks: Append::new(),
            lens: [AtomicU32::new(0), AtomicU32::new(0)],
            missed: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    /// Keeps a latency with its pair's number.
    #[inline]
    pub(crate) fn push(&self, places: &mut LogPlaces, bank: Bank, pair: u32, latency: Micros) {
        let len = bank.of_pair(&self.lens);
        let at = len.load(Ordering::Relaxed);
        let Some(block) = places.0.get(at as usize / BLOCK) else {
            return self.push_first(places, bank, pair, latency);
        };
        let us = latency.0.min(u32::MAX.into());
        let entry = u64::from(pair) << 32 | us;
        bank.of_pair(&block.0)[at as usize % BLOCK].store(entry, Ordering::Relaxed);
        len.store(at + 1, Ordering::Relaxed);
    }

    /// The same, where there is no block for it.
    #[cold]
    fn push_first(&self, places: &mut LogPlaces, bank: Bank, pair: u32, latency: Micros) {
        if places.0.len() < ENTRIES_MAX as usize / BLOCK {
            let block = Arc::new(Block::new());
            if self.blocks.push(Arc::clone(&block)).is_ok() {
                places.0.push(block);
                return self.push(places, bank, pair, latency);
            }
        }
        add(bank.of_pair(&self.missed), 1);
    }

    /// Calls `each` with the pair's number and the latency in microseconds of every entry
    /// of a bank, and empties it; how many were lost. The bank must be the reader's.
    pub(crate) fn take(&self, bank: Bank, mut each: impl FnMut(u32, u32)) -> u64 {
        let len = bank.of_pair(&self.lens);
        let mut left = len.load(Ordering::Relaxed) as usize;
        for block in self.blocks.iter() {
            for entry in &bank.of_pair(&block.0)[..left.min(BLOCK)] {
                let entry = entry.load(Ordering::Relaxed);
                each((entry >> 32) as u32, entry as u32);
            }
            left = left.saturating_sub(BLOCK);
            if left == 0 {
                break;
            }
        }
        len.store(0, Ordering::Relaxed);
        let missed = bank.of_pair(&self.missed);
        let lost = missed.load(Ordering::Relaxed);
        missed.store(0, Ordering::Relaxed);
        lost
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::barrier::Barrier;
    use crate::flip;

    /// A log that grows, wraps to its other bank and fills up under a reader: every value
    /// is taken once or counted as lost, and none is torn or taken twice.
    #[test]
    fn entries_appear_under_a_reader() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let (mut writer, mut reader) = flip::pair(Barrier::new());
            let log = Arc::new(Log::new());
            let written = Arc::clone(&log);
            let thread = loom::thread::spawn(move || {
                let mut places = LogPlaces::default();
                for n in 1..=3 {
                    writer.write(|bank| written.push(&mut places, bank, n, Micros(n.into())));
                }
            });
            let mut seen = Vec::new();
            let mut lost = 0;
            let mut take = |reader: &mut flip::FlipReader| {
                if reader.ask() {
                    Barrier::new().heavy();
                    lost += log.take(reader.take_over(), |pair, us| {
                        assert_eq!(pair, us);
                        seen.push(us);
                    });
                }
            };
            take(&mut reader);
            thread.join().unwrap();
            take(&mut reader);
            assert!(
                seen.is_sorted() && seen.len() as u64 + lost == 3,
                "{seen:?}"
            );
            assert!(lost <= 1 && seen.starts_with(&[1, 2]), "{seen:?}");
        });
    }
}
