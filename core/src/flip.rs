//! Two banks of counters that change places, so that a reader gets whole records and
//! a writer never waits.
//!
//! ```text
//! writer:  says that it writes  | looks which bank is asked for -> writes there -> says that it is done
//! reader:  asks for the other   | looks whether a write is under way, and lets it end -> the old bank is its own
//!                        Barrier
//! ```
//!
//! The epoch's parity names the bank. Because of the barrier, either the writer sees
//! the new epoch or the reader sees the write; so no write goes into a bank that the
//! reader has, and what it takes is always whole records. A writer does plain loads and
//! stores only, and a writer that is idle gives up its bank without knowing.

use crate::barrier::Barrier;
use crate::sync::{Arc, AtomicU64, Ordering, wait_a_little};
use crossbeam_utils::CachePadded;

/// How much a write adds to a writer's state: one when it begins, one when it ends.
pub(crate) const STATE_PER_WRITE: u64 = 2;

/// One of the two halves of every table of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bank(usize);

impl Bank {
    #[inline]
    fn of(epoch: u64) -> Self {
        Self((epoch & 1) as usize)
    }

    /// Its half of a pair.
    #[inline]
    pub(crate) fn of_pair<T>(self, pair: &[T; 2]) -> &T {
        &pair[self.0 & 1]
    }
}

#[derive(Debug)]
struct Words {
    /// The epoch that the reader asks for; written by the reader.
    wanted: CachePadded<AtomicU64>,
    /// Twice the number of writes begun, less one while a write is under way; written
    /// by the writer.
    state: CachePadded<AtomicU64>,
}

/// The two ends of a new pair of banks. Each is used by one thread at a time, which
/// `&mut self` holds.
pub(crate) fn pair(barrier: Barrier) -> (FlipWriter, FlipReader) {
    let words = Arc::new(Words {
        wanted: CachePadded::new(AtomicU64::new(0)),
        state: CachePadded::new(AtomicU64::new(0)),
    });
    let writer = FlipWriter {
        words: Arc::clone(&words),
        barrier,
        state: 0,
    };
    let reader = FlipReader {
        words,
        epoch: 0,
        seen: 0,
    };
    (writer, reader)
}

#[derive(Debug)]
pub(crate) struct FlipWriter {
    words: Arc<Words>,
    barrier: Barrier,
    /// The same as in `words`: a writer that read its own word back would hide from loom,
    /// which remembers one access, that the reader had read it before.
    state: u64,
}

impl FlipWriter {
    /// A number that grows by [`STATE_PER_WRITE`] with each write.
    #[inline]
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    /// What the reader asked for last; it only ever grows.
    pub(crate) fn epoch(&self) -> u64 {
        self.words.wanted.load(Ordering::Relaxed)
    }

    /// Writes one whole record into the bank that `write` gets. `write` must not panic.
    ///
    /// # Cost
    /// A load and two stores of shared words, and what `write` does.
    #[inline]
    pub(crate) fn write(&mut self, write: impl FnOnce(Bank)) {
        let Words { wanted, state } = &*self.words;
        // Release: partner is the Acquire in `FlipReader::take_over`, should it see this
        // instead of the end of the write before.
        state.store(self.state + 1, Ordering::Release);
        // Partner is `heavy` in `FlipReader::take_over`'s caller.
        self.barrier.light();
        // Acquire: partner is the Release in `FlipReader::ask`; the bank is empty by then.
        write(Bank::of(wanted.load(Ordering::Acquire)));
        self.state += STATE_PER_WRITE;
        // Release: partner is the Acquire in `FlipReader::take_over`; the write is whole.
        state.store(self.state, Ordering::Release);
    }
}

#[derive(Debug)]
pub(crate) struct FlipReader {
    words: Arc<Words>,
    /// The epoch asked for last.
    epoch: u64,
    /// The state before it was asked for.
    seen: u64,
}

impl FlipReader {
    /// Asks the writer to move to the other bank, which must be empty, unless nothing
    /// was written since the last time. Then comes [`Barrier::heavy`], and then
    /// [`FlipReader::take_over`].
    pub(crate) fn ask(&mut self) -> bool {
        // Relaxed: a write that ended before this call is seen by coherence, and what it
        // wrote is read only after `take_over`.
        let state = self.words.state.load(Ordering::Relaxed);
        if state == self.seen {
            return false;
        }
        self.seen = state;
        self.epoch += 1;
        // Release: partner is the Acquire in `FlipWriter::write`; it orders the emptying.
        self.words.wanted.store(self.epoch, Ordering::Release);
        true
    }

    /// The bank that the writer has left. Waits only for a write that is under way.
    pub(crate) fn take_over(&self) -> Bank {
        let state = || {
            // Acquire: partners are the Releases in `FlipWriter::write`.
            self.words.state.load(Ordering::Acquire)
        };
        let found = state();
        let mut spins = 0;
        while found % 2 == 1 && state() == found {
            wait_a_little(spins);
            spins += 1;
        }
        Bank::of(self.epoch - 1)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    type Cells = [[AtomicU64; 2]; 2];

    fn cells() -> Arc<Cells> {
        Arc::new(std::array::from_fn(|_| {
            std::array::from_fn(|_| AtomicU64::new(0))
        }))
    }

    fn add(cell: &AtomicU64) {
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn take(cells: &Cells, bank: Bank) -> u64 {
        let [a, b] = bank.of_pair(cells);
        let (a, b) = (a.swap(0, Ordering::Relaxed), b.swap(0, Ordering::Relaxed));
        assert_eq!(a, b, "half a record");
        a
    }

    #[test]
    fn an_idle_writer_gives_up_its_bank() {
        let barrier = Barrier::new();
        let (mut writer, mut reader) = pair(barrier);
        let cells = cells();
        assert!(!reader.ask(), "nothing was written");
        for _ in 0..3 {
            writer.write(|bank| bank.of_pair(&cells).iter().for_each(add));
            assert!(reader.ask());
            barrier.heavy();
            assert_eq!(take(&cells, reader.take_over()), 1);
            assert!(!reader.ask());
        }
    }

    /// With the barriers that this system has, and with those of any.
    #[test]
    fn under_load_a_reader_sees_whole_records_and_loses_none() {
        const RECORDS: u64 = 300_000;
        for barrier in [Barrier::new(), Barrier::Symmetric] {
            let (mut writer, mut reader) = pair(barrier);
            let cells = cells();
            let written = Arc::clone(&cells);
            let thread = std::thread::spawn(move || {
                for _ in 0..RECORDS {
                    writer.write(|bank| bank.of_pair(&written).iter().for_each(add));
                }
            });
            let mut taken = 0;
            while taken < RECORDS {
                if reader.ask() {
                    barrier.heavy();
                    taken += take(&cells, reader.take_over());
                }
            }
            thread.join().unwrap();
            assert_eq!(taken, RECORDS);
            reader.ask();
            barrier.heavy();
            assert_eq!(take(&cells, reader.take_over()), 0);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;

    type Cells = [[AtomicU64; 2]; 2];

    fn add(cell: &AtomicU64) {
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn recording(records: u64) -> (loom::thread::JoinHandle<()>, FlipReader, Arc<Cells>) {
        let (mut writer, reader) = pair(Barrier::new());
        let cells: Arc<Cells> = Arc::new(std::array::from_fn(|_| {
            std::array::from_fn(|_| AtomicU64::new(0))
        }));
        let written = Arc::clone(&cells);
        let thread = loom::thread::spawn(move || {
            for _ in 0..records {
                writer.write(|bank| bank.of_pair(&written).iter().for_each(add));
            }
        });
        (thread, reader, cells)
    }

    /// The records of the bank that is handed over, which must be whole; it is emptied.
    fn take(reader: &mut FlipReader, cells: &Cells) -> u64 {
        if !reader.ask() {
            return 0;
        }
        Barrier::new().heavy();
        let [first, second] = reader.take_over().of_pair(cells);
        // The second cell first: a record seen by halves would show.
        let n = second.load(Ordering::Relaxed);
        assert_eq!(first.load(Ordering::Relaxed), n, "half a record");
        first.store(0, Ordering::Relaxed);
        second.store(0, Ordering::Relaxed);
        n
    }

    /// Recording while a reader merges: what is taken is whole records, and in the end
    /// nothing is missing or double.
    #[test]
    fn a_reader_takes_whole_records() {
        loom::model(|| {
            let (thread, mut reader, cells) = recording(2);
            let first = take(&mut reader, &cells);
            assert!(first <= 2);
            thread.join().unwrap();
            assert_eq!(first + take(&mut reader, &cells), 2);
        });
    }

    /// Two turns while records go on: the bank that comes back is empty, and a turn that
    /// finds nothing new leaves nothing behind.
    #[test]
    fn nothing_is_lost_or_double_over_three_turns() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let (thread, mut reader, cells) = recording(3);
            let mut taken = 0;
            for _ in 0..2 {
                taken += take(&mut reader, &cells);
                assert!(taken <= 3);
            }
            thread.join().unwrap();
            assert_eq!(taken + take(&mut reader, &cells), 3);
        });
    }
}
