//! The histograms of a shard: octaves of cells, made when something first falls there.

use crate::chunks::Append;
use crate::flip::Bank;
use crate::histogram::{Layout, OCTAVE_CELLS, OCTAVES};
use crate::shard::NUMBER_MAX;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering};
use crate::table::add;
use crate::units::Micros;

/// A cell that reaches this stays there, or above it: see [`Octaves::hold`].
const CELL_HIGH: u32 = 1 << 31;
const _: () = assert!(OCTAVE_CELLS == u32::BITS as usize, "a bit a cell");

/// Neighbouring cells of one series, both banks.
#[derive(Debug)]
struct Octave {
    cells: [[AtomicU32; OCTAVE_CELLS]; 2],
    /// The sums of the values in them, in microseconds.
    sums: [AtomicU64; 2],
    /// A bit a cell that holds something.
    touched: [AtomicU32; 2],
    /// The series, times [`OCTAVES`], plus the octave's number.
    id: u32,
}

impl Octave {
    fn new(id: u32) -> Self {
        let cells = || std::array::from_fn(|_| AtomicU32::new(0));
        Self {
            cells: [cells(), cells()],
            sums: [AtomicU64::new(0), AtomicU64::new(0)],
            touched: [AtomicU32::new(0), AtomicU32::new(0)],
            id,
        }
    }

    /// Counts a value that falls into a cell; the octave's id, if it is the first there.
    #[inline]
    fn count(&self, bank: Bank, cell: usize, value: Micros) -> Option<u32> {
        let cell = cell % OCTAVE_CELLS;
        add(bank.of_pair(&self.sums), value.0.min(NUMBER_MAX));
        let count = &bank.of_pair(&self.cells)[cell];
        let before = count.load(Ordering::Relaxed);
        count.store(before.wrapping_add(1), Ordering::Relaxed);
        (before == 0 && self.touch(bank, cell)).then_some(self.id)
    }

    /// Notes that a cell holds something; whether it is the first of the octave.
    #[cold]
    fn touch(&self, bank: Bank, cell: usize) -> bool {
        let touched = bank.of_pair(&self.touched);
        let before = touched.load(Ordering::Relaxed);
        touched.store(before | 1 << cell, Ordering::Relaxed);
        before == 0
    }

    /// The cells of a bank that hold something.
    fn each_touched(&self, bank: Bank, mut each: impl FnMut(usize, &AtomicU32)) {
        let mut touched = bank.of_pair(&self.touched).load(Ordering::Relaxed);
        while touched != 0 {
            let cell = touched.trailing_zeros() as usize;
            touched &= touched - 1;
            each(cell, &bank.of_pair(&self.cells)[cell]);
        }
    }
}

/// The octaves of one series, as far as they were touched.
type Series = Box<[Option<Arc<Octave>>; PLACES]>;

/// Places in a series: a power of two, so that an index needs no check.
const PLACES: usize = OCTAVES.next_power_of_two();

/// The writer's way to the octaves, by series: its own knowledge.
#[derive(Debug, Default)]
pub(crate) struct OctavePlaces(Vec<Option<Series>>);

impl OctavePlaces {
    #[inline]
    fn find(&self, series: u32, cell: usize) -> Option<&Octave> {
        let octaves = self.0.get(series as usize)?.as_ref()?;
        octaves[cell / OCTAVE_CELLS % PLACES].as_deref()
    }
}

/// The histograms of one family in one shard.
#[derive(Debug)]
pub(crate) struct Octaves {
    layout: &'static Layout,
    octaves: Append<Arc<Octave>>,
}

impl Octaves {
    pub(crate) fn new(layout: &'static Layout) -> Self {
        Self {
            layout,
            octaves: Append::new(),
        }
    }

    /// Counts a value; the id of its octave, if it is the first there in this bank.
    #[inline]
    pub(crate) fn observe(
        &self,
        places: &mut OctavePlaces,
        bank: Bank,
        series: u32,
        value: Micros,
    ) -> Option<u32> {
        let cell = self.layout.cell(value.0);
        match places.find(series, cell) {
            Some(octave) => octave.count(bank, cell, value),
            None => self.observe_first(places, bank, series, value),
        }
    }

    /// The same, where the octave may not be there yet.
    #[cold]
    fn observe_first(
        &self,
        places: &mut OctavePlaces,
        bank: Bank,
        series: u32,
        value: Micros,
    ) -> Option<u32> {
        let cell = self.layout.cell(value.0);
        self.make(places, series as usize, cell / OCTAVE_CELLS);
        places.find(series, cell)?.count(bank, cell, value)
    }

    fn make(&self, places: &mut OctavePlaces, at: usize, number: usize) {
        if places.0.len() <= at {
            places.0.resize_with(at + 1, || None);
        }
        let series = places.0[at].get_or_insert_with(|| Box::new([const { None }; PLACES]));
        let octave = Arc::new(Octave::new((at * OCTAVES + number) as u32));
        // The catalogue's ids end long before the list of octaves does.
        if self.octaves.push(Arc::clone(&octave)).is_ok() {
            series[number] = Some(octave);
        }
    }

    /// Calls `each` with the series, the first cell, the counts and the sum of every
    /// octave of a bank that holds something, and empties it. The bank must be the
    /// reader's.
    pub(crate) fn take(
        &self,
        bank: Bank,
        mut each: impl FnMut(u32, usize, &[u64; OCTAVE_CELLS], u64),
    ) {
        for octave in self.octaves.iter() {
            let mut counts = [0; OCTAVE_CELLS];
            octave.each_touched(bank, |cell, count| {
                counts[cell] = u64::from(count.load(Ordering::Relaxed));
                count.store(0, Ordering::Relaxed);
            });
            if counts == [0; OCTAVE_CELLS] {
                continue;
            }
            bank.of_pair(&octave.touched).store(0, Ordering::Relaxed);
            let sum = bank.of_pair(&octave.sums);
            let (series, number) = (octave.id / OCTAVES as u32, octave.id as usize % OCTAVES);
            let first = number * OCTAVE_CELLS;
            each(series, first, &counts, sum.load(Ordering::Relaxed));
            sum.store(0, Ordering::Relaxed);
        }
    }

    /// Lowers what could wrap before the next time; see [`Table::hold`](crate::table::Table::hold).
    pub(crate) fn hold(&self, bank: Bank) {
        for octave in self.octaves.iter() {
            octave.each_touched(bank, |_, count| {
                let now = count.load(Ordering::Relaxed);
                count.store(now.min(CELL_HIGH), Ordering::Relaxed);
            });
            let sum = bank.of_pair(&octave.sums);
            let now = sum.load(Ordering::Relaxed);
            sum.store(now.min(crate::table::HIGH), Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::barrier::Barrier;
    use crate::flip::{self, FlipReader};
    use crate::histogram::LATENCY;

    type Seen = (u64, u64);

    fn take(reader: &mut FlipReader, octaves: &Octaves, seen: &mut Seen) {
        if reader.ask() {
            Barrier::new().heavy();
            octaves.take(reader.take_over(), |_, _, counts, sum| {
                *seen = (seen.0 + counts.iter().sum::<u64>(), seen.1 + sum);
            });
        }
    }

    /// A histogram whose cells appear lazily, while a reader takes them, in banks that were
    /// used before: every value is counted once, with its sum.
    #[test]
    fn cells_appear_under_a_reader() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let (mut writer, mut reader) = flip::pair(Barrier::new());
            let octaves = Arc::new(Octaves::new(&LATENCY));
            let mut places = OctavePlaces::default();
            let mut seen = (0, 0);
            for n in 1..=2 {
                writer.write(|bank| {
                    octaves.observe(&mut places, bank, 0, Micros(5));
                });
                take(&mut reader, &octaves, &mut seen);
                assert_eq!(seen, (n, 5 * n));
            }
            let written = Arc::clone(&octaves);
            let thread = loom::thread::spawn(move || {
                for value in [5, 6, 1000] {
                    writer.write(|bank| {
                        written.observe(&mut places, bank, 0, Micros(value));
                    });
                }
            });
            take(&mut reader, &octaves, &mut seen);
            assert!(
                matches!(seen, (2, 10) | (3, 15) | (4, 21) | (5, 1021)),
                "{seen:?}"
            );
            thread.join().unwrap();
            take(&mut reader, &octaves, &mut seen);
            assert_eq!(seen, (5, 1021));
        });
    }
}
