//! Two buffers that change places, so that a reader gets whole records and a
//! writer never waits.
//!
//! ```text
//! writer:  sees a new epoch at the start of a record -> acknowledges -> other buffer
//! reader:  asks for a new epoch -> the buffer that was left is its own
//!          or, where the writer is idle, reads in place and checks that it stayed idle
//! ```
//!
//! The epoch's parity names the buffer. A record is written into one buffer
//! between two changes of `state`, so what a reader takes is always whole
//! records. A writer does plain loads and stores only.

use crate::sync::{Arc, AtomicU64, Ordering, fence, wait_a_little};
use crossbeam_utils::CachePadded;

/// The first epoch; 0 is left to mean "never".
const EPOCH_FIRST: u64 = 1;

#[derive(Debug)]
pub(crate) struct Flip<B> {
    /// The epoch that the reader asks for; written by the reader.
    wanted: CachePadded<AtomicU64>,
    /// Written by the writer.
    writer: CachePadded<WriterWords>,
    buffers: [B; 2],
}

#[derive(Debug)]
struct WriterWords {
    /// Twice the number of writes begun, less one while a write is under way.
    state: AtomicU64,
    /// The epoch that the writer is in.
    acknowledged: AtomicU64,
}

impl<B> Flip<B> {
    /// The two halves. Each is to be used by one thread at a time, which `&mut self` holds.
    pub(crate) fn pair(make: impl Fn() -> B) -> (FlipWriter<B>, FlipReader<B>) {
        let flip = Arc::new(Self {
            wanted: CachePadded::new(AtomicU64::new(EPOCH_FIRST)),
            writer: CachePadded::new(WriterWords {
                state: AtomicU64::new(0),
                acknowledged: AtomicU64::new(EPOCH_FIRST),
            }),
            buffers: [make(), make()],
        });
        let writer = FlipWriter {
            flip: Arc::clone(&flip),
            epoch: EPOCH_FIRST,
            state: 0,
            turned_at: 0,
        };
        (
            writer,
            FlipReader {
                flip,
                wanted: EPOCH_FIRST,
            },
        )
    }

    fn buffer(&self, epoch: u64) -> &B {
        &self.buffers[(epoch & 1) as usize]
    }
}

#[derive(Debug)]
pub(crate) struct FlipWriter<B> {
    flip: Arc<Flip<B>>,
    epoch: u64,
    state: u64,
    /// `state` when this epoch began.
    turned_at: u64,
}

impl<B> FlipWriter<B> {
    /// Writes since the writer last moved to an empty buffer, or was told to forget them.
    #[inline]
    pub(crate) fn writes_in_turn(&self) -> u64 {
        (self.state - self.turned_at) / 2
    }

    /// Counts writes anew.
    pub(crate) fn forget_writes(&mut self) {
        self.turned_at = self.state;
    }

    /// Writes one whole record into the current buffer; `write` gets the epoch too.
    /// Where the writer moves to the other buffer first, `turned` is told.
    ///
    /// # Cost
    /// One load and compare, two stores, and what `write` does. No fence instruction
    /// on x86-64.
    #[inline]
    pub(crate) fn write<S, R>(
        &mut self,
        shared: &mut S,
        turned: impl FnOnce(&mut S),
        write: impl FnOnce(&B, u64, &mut S) -> R,
    ) -> R {
        // Acquire: partner is the Release in `FlipReader::ask`; the buffer is empty by then.
        let wanted = self.flip.wanted.load(Ordering::Acquire);
        if wanted != self.epoch {
            self.turn(wanted);
            turned(shared);
        }
        let words = &self.flip.writer;
        words.state.store(self.state + 1, Ordering::Relaxed);
        // Release: partner is the Acquire fence in `FlipReader::peek`; who sees a cell of
        // this write sees that it had begun.
        fence(Ordering::Release);
        let result = write(self.flip.buffer(self.epoch), self.epoch, shared);
        self.state += 2;
        // Release: partner is the Acquire load in `FlipReader::peek`.
        words.state.store(self.state, Ordering::Release);
        result
    }

    #[cold]
    fn turn(&mut self, wanted: u64) {
        self.epoch = wanted;
        self.turned_at = self.state;
        // Release: partner is the Acquire in `FlipReader::is_left`; the old buffer is written
        // for the last time.
        self.flip
            .writer
            .acknowledged
            .store(wanted, Ordering::Release);
    }
}

#[derive(Debug)]
pub(crate) struct FlipReader<B> {
    flip: Arc<Flip<B>>,
    /// The epoch asked for last.
    wanted: u64,
}

impl<B> FlipReader<B> {
    /// Reads all that was written before the call.
    ///
    /// `take` gets each buffer that the writer has left, and must empty it. Where the
    /// writer is idle in a buffer, the result is what `peek` made of it; it stays there.
    ///
    /// Waits only for a write that is under way.
    pub(crate) fn collect<T>(
        &mut self,
        mut take: impl FnMut(&B),
        peek: impl Fn(&B) -> T,
    ) -> Option<T> {
        let mut asked = false;
        let mut spins = 0;
        loop {
            if self.is_left() {
                // Empty where it was taken before, and in the first epoch.
                take(self.flip.buffer(self.wanted - 1));
                if asked {
                    return None;
                }
                self.ask();
                asked = true;
            }
            if let Some(seen) = self.peek(&peek) {
                return Some(seen);
            }
            wait_a_little(spins);
            spins += 1;
        }
    }

    /// Asks the writer to move to the other, empty buffer.
    fn ask(&mut self) {
        self.wanted += 1;
        // Release: partner is the Acquire in `FlipWriter::write`; it orders the emptying.
        self.flip.wanted.store(self.wanted, Ordering::Release);
    }

    /// Whether the writer is in the epoch asked for, so that the other buffer is ours.
    fn is_left(&self) -> bool {
        // Acquire: partner is the Release in `FlipWriter::turn`.
        self.flip.writer.acknowledged.load(Ordering::Acquire) == self.wanted
    }

    /// Reads the buffer of the epoch before the one asked for, if no write happened meanwhile.
    fn peek<T>(&self, peek: impl Fn(&B) -> T) -> Option<T> {
        let state = &self.flip.writer.state;
        // Acquire: partner is the Release at the end of `FlipWriter::write`.
        let before = state.load(Ordering::Acquire);
        if before % 2 == 1 {
            return None;
        }
        let seen = peek(self.flip.buffer(self.wanted - 1));
        // Acquire: partner is the Release fence in `FlipWriter::write`.
        fence(Ordering::Acquire);
        (state.load(Ordering::Relaxed) == before).then_some(seen)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn add(cell: &AtomicU64) {
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    #[test]
    fn an_idle_writer_is_read_in_place_and_a_busy_one_hands_over() {
        let (mut writer, mut reader) = Flip::pair(|| AtomicU64::new(0));
        let peek = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let mut taken = 0;
        let mut take = |cell: &AtomicU64| {
            taken += cell.load(Ordering::Relaxed);
            cell.store(0, Ordering::Relaxed);
        };
        writer.write(&mut (), |()| (), |cell, _, ()| add(cell));
        assert_eq!(reader.collect(&mut take, peek), Some(1));
        assert_eq!(reader.collect(&mut take, peek), Some(1));
        writer.write(&mut (), |()| (), |cell, _, ()| add(cell));
        assert_eq!(reader.collect(&mut take, peek), Some(1));
        writer.write(&mut (), |()| (), |cell, _, ()| add(cell));
        assert_eq!(reader.collect(&mut take, peek), Some(1));
        assert_eq!(taken, 2);
    }

    #[test]
    fn under_load_a_reader_sees_whole_records_and_loses_none() {
        const RECORDS: u64 = 300_000;
        let (mut writer, mut reader) = Flip::pair(|| [AtomicU64::new(0), AtomicU64::new(0)]);
        let read = |cells: &[AtomicU64; 2]| {
            let (a, b) = (
                cells[0].load(Ordering::Relaxed),
                cells[1].load(Ordering::Relaxed),
            );
            (a, b)
        };
        let thread = std::thread::spawn(move || {
            for _ in 0..RECORDS {
                writer.write(&mut (), |()| (), |cells, _, ()| cells.iter().for_each(add));
            }
        });
        let mut base = 0;
        let mut last = 0;
        while last < RECORDS {
            let seen = reader.collect(
                |cells| {
                    let (a, b) = read(cells);
                    assert_eq!(a, b, "half a record");
                    base += a;
                    cells
                        .iter()
                        .for_each(|cell| cell.store(0, Ordering::Relaxed));
                },
                read,
            );
            let (a, b) = seen.unwrap_or_default();
            assert_eq!(a, b, "half a record");
            assert!(base + a >= last, "a snapshot went back");
            last = base + a;
        }
        assert_eq!(last, RECORDS);
        thread.join().unwrap();
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;

    fn add(cell: &AtomicU64) {
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn pair(cells: &[AtomicU64; 2]) -> u64 {
        // The second cell first: a record seen by halves would show.
        let second = cells[1].load(Ordering::Relaxed);
        let first = cells[0].load(Ordering::Relaxed);
        first * 100 + second
    }

    fn whole(seen: u64) -> u64 {
        assert_eq!(seen / 100, seen % 100, "half a record");
        seen / 100
    }

    /// All records so far: those taken for good, and those seen besides. A half-read copy
    /// is thrown away inside; only what is returned must be whole.
    fn collect(reader: &mut FlipReader<[AtomicU64; 2]>, base: &mut u64) -> u64 {
        let seen = reader.collect(
            |cells| {
                *base += whole(pair(cells));
                cells
                    .iter()
                    .for_each(|cell| cell.store(0, Ordering::Relaxed));
            },
            pair,
        );
        *base + seen.map_or(0, whole)
    }

    fn recording(records: u64) -> (loom::thread::JoinHandle<()>, FlipReader<[AtomicU64; 2]>) {
        let (mut writer, reader) = Flip::pair(|| [AtomicU64::new(0), AtomicU64::new(0)]);
        let thread = loom::thread::spawn(move || {
            for _ in 0..records {
                writer.write(&mut (), |()| (), |cells, _, ()| cells.iter().for_each(add));
            }
        });
        (thread, reader)
    }

    /// Recording while a reader merges: every snapshot is whole records, none goes back,
    /// and in the end nothing is missing or double.
    #[test]
    fn a_reader_sees_whole_records() {
        loom::model(|| {
            let (thread, mut reader) = recording(2);
            let mut base = 0;
            let first = collect(&mut reader, &mut base);
            assert!(first <= 2);
            thread.join().unwrap();
            let last = collect(&mut reader, &mut base);
            assert_eq!(last, 2);
            assert!(first <= last);
        });
    }

    /// Two snapshots while records go on: monotone, and the buffer that comes back is empty.
    #[test]
    fn snapshots_are_monotone_over_two_turns() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let (thread, mut reader) = recording(3);
            let (mut base, mut last) = (0, 0);
            for _ in 0..2 {
                let now = collect(&mut reader, &mut base);
                assert!(now >= last && now <= 3);
                last = now;
            }
            thread.join().unwrap();
            assert_eq!(collect(&mut reader, &mut base), 3);
        });
    }
}
