//! Latencies of many requests, small and mergeable: a sparse log-linear histogram.
//!
//! A cell is 1/128 of its octave, so its middle is at most 0.4 % from any value in it;
//! below 128 us each microsecond has a cell. Stored as pairs of varints (LEB128): how many
//! cells further, and how many values.

use coo_llm_core::Micros;
use std::convert::Infallible;

/// Cells an octave. With 32, as the meter's own histograms have, the middle of a cell is
/// up to 1.6 % from its ends, which misses the 1 % that a history owes.
const CELLS_PER_OCTAVE: u32 = 128;
const CELL_BITS: u32 = CELLS_PER_OCTAVE.ilog2();
/// Cells up to 2^32 - 1 us (71 minutes), which is where latencies of the meter end.
const CELLS_MAX: u32 = CELLS_PER_OCTAVE * (1 + 32 - CELL_BITS);

const fn cell(us: u32) -> u16 {
    if us < CELLS_PER_OCTAVE {
        return us as u16;
    }
    let shift = us.ilog2() - CELL_BITS;
    ((shift * CELLS_PER_OCTAVE) + (us >> shift)) as u16
}

/// The middle of a cell, in microseconds.
fn middle(cell: u16) -> f64 {
    let cell = u32::from(cell);
    if cell < 2 * CELLS_PER_OCTAVE {
        return f64::from(cell);
    }
    let shift = cell / CELLS_PER_OCTAVE - 1;
    let low = u64::from(CELLS_PER_OCTAVE + cell % CELLS_PER_OCTAVE) << shift;
    low as f64 + ((1u64 << shift) - 1) as f64 / 2.0
}

/// New cells that are put into their places one by one, as those of a row of a client; the
/// rest of many is sorted in at once.
const INSERTED_MAX: u32 = 8;

/// The latencies of some requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Cells that hold something, ascending.
    cells: Vec<(u16, u64)>,
    sum_us: u64,
}

/// A stored histogram that none of ours wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a stored histogram is malformed")
    }
}

impl std::error::Error for Malformed {}

impl Latencies {
    /// Counts a latency; above 71 minutes it counts as that.
    pub fn record(&mut self, latency: Micros) {
        let us = u32::try_from(latency.0).unwrap_or(u32::MAX);
        self.sum_us = self.sum_us.saturating_add(us.into());
        let cell = cell(us);
        match self.cells.binary_search_by_key(&cell, |(cell, _)| *cell) {
            Ok(at) => self.cells[at].1 += 1,
            Err(at) => self.cells.insert(at, (cell, 1)),
        }
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        let cells = other.cells.iter().map(|pair| Ok::<_, Infallible>(*pair));
        let Ok(()) = self.add(cells);
    }

    /// Adds stored ones.
    pub(crate) fn merge_stored(&mut self, sum_us: u64, blob: &[u8]) -> Result<(), Malformed> {
        self.sum_us = self.sum_us.saturating_add(sum_us);
        self.add(Stored {
            rest: Varints(blob),
            cell: 0,
            is_first: true,
        })
    }

    /// Adds cells that ascend.
    fn add<E>(&mut self, cells: impl Iterator<Item = Result<(u16, u64), E>>) -> Result<(), E> {
        let mut have = self.cells.len();
        let mut inserted = 0;
        let mut at = 0;
        for next in cells {
            let (cell, n) = next?;
            while at < have && self.cells[at].0 < cell {
                at += 1;
            }
            if at < have && self.cells[at].0 == cell {
                self.cells[at].1 = self.cells[at].1.saturating_add(n);
            } else if inserted < INSERTED_MAX {
                self.cells.insert(at, (cell, n));
                (have, inserted) = (have + 1, inserted + 1);
            } else {
                self.cells.push((cell, n));
            }
        }
        if self.cells.len() > have {
            // Two runs that ascend, which the stable sort merges in one pass.
            self.cells.sort_by_key(|(cell, _)| *cell);
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counts = self.cells.iter().map(|(_, n)| *n);
        counts.fold(0, u64::saturating_add)
    }

    /// Their sum, exact until it saturates.
    #[must_use]
    pub const fn sum(&self) -> Micros {
        Micros(self.sum_us)
    }

    /// Their mean in microseconds; `None` where there is none.
    #[must_use]
    pub fn mean_us(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_us as f64 / count as f64)
    }

    /// The smallest latency that a fraction `q` of all does not exceed, in microseconds and
    /// within 0.4 %; `None` where there is none.
    #[must_use]
    pub fn quantile_us(&self, q: f64) -> Option<f64> {
        let count = self.count();
        let rank = (q.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut below = 0u64;
        for (cell, n) in &self.cells {
            below = below.saturating_add(*n);
            if below >= rank {
                return Some(middle(*cell));
            }
        }
        None
    }

    /// Cells that hold something, ascending, and how many values each has.
    pub(crate) fn cells(&self) -> &[(u16, u64)] {
        &self.cells
    }

    /// Adds cells that ascend, and what their values come to.
    pub(crate) fn add_cells(
        &mut self,
        sum_us: u64,
        cells: impl Iterator<Item = (u16, u64)>,
    ) -> Result<(), Malformed> {
        self.sum_us = self.sum_us.saturating_add(sum_us);
        let mut last = None;
        self.add(cells.map(|(cell, n)| {
            let is_next = last.is_none_or(|last| last < cell) && u32::from(cell) < CELLS_MAX;
            last = Some(cell);
            is_next.then_some((cell, n)).ok_or(Malformed)
        }))
    }

    /// As it is stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 * self.cells.len());
        let mut last = None;
        for (cell, n) in &self.cells {
            let step = last.map_or(u64::from(*cell), |last| u64::from(cell - last));
            push_varint(&mut out, step);
            push_varint(&mut out, *n);
            last = Some(*cell);
        }
        out
    }
}

/// Appends a number as a varint (LEB128).
pub(super) fn push_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads varints (LEB128) one after the other.
pub(super) struct Varints<'a>(pub(super) &'a [u8]);

impl Varints<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn next(&mut self) -> Result<u64, Malformed> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Malformed)
    }
}

/// Reads a stored histogram.
struct Stored<'a> {
    rest: Varints<'a>,
    cell: u64,
    is_first: bool,
}

impl Stored<'_> {
    fn pair(&mut self) -> Result<(u16, u64), Malformed> {
        let step = self.rest.next()?;
        let cell = self.cell.checked_add(step).ok_or(Malformed)?;
        if cell >= CELLS_MAX.into() || step == 0 && !self.is_first {
            return Err(Malformed);
        }
        (self.cell, self.is_first) = (cell, false);
        Ok((cell as u16, self.rest.next()?))
    }
}

impl Iterator for Stored<'_> {
    type Item = Result<(u16, u64), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.pair())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_ascend_without_gaps_to_the_last() {
        assert_eq!(u32::from(cell(u32::MAX)), CELLS_MAX - 1);
        let mut last = 0;
        for shift in 0..32 {
            for us in (0..300u32).map(|n| (n << shift).max(n)) {
                let (low, high) = (cell(us), cell(us.saturating_add(1)));
                assert!(high == low || high == low + 1, "{us}");
                last = last.max(low);
            }
        }
        assert!(last > 3000);
    }

    fn of(values: &[u32]) -> Latencies {
        let mut all = Latencies::default();
        values
            .iter()
            .for_each(|us| all.record(Micros((*us).into())));
        all
    }

    proptest! {
        #[test]
        fn the_middle_of_a_cell_is_within_four_thousandths(us in any::<u32>()) {
            let middle = middle(cell(us));
            prop_assert!((middle - f64::from(us)).abs() <= f64::from(us) / 256.0);
        }

        #[test]
        fn stored_and_merged_is_recorded_at_once(
            one in proptest::collection::vec(any::<u32>(), 0..200),
            two in proptest::collection::vec(0u32..5_000_000, 0..200),
        ) {
            let mut merged = Latencies::default();
            for part in [of(&one), of(&two)] {
                merged.merge_stored(part.sum().0, &part.encode()).expect("our own");
            }
            let mut all = one.clone();
            all.extend(&two);
            prop_assert_eq!(&merged, &of(&all));
            let mut in_memory = of(&one);
            in_memory.merge(&of(&two));
            prop_assert_eq!(&merged, &in_memory);
        }

        #[test]
        fn quantiles_are_within_a_hundredth_of_a_heavy_tail(
            seeds in proptest::collection::vec(1e-6f64..1.0, 1..2000),
            q in 0.0f64..=1.0,
        ) {
            // Pareto with an exponent of 1: no finite mean.
            let mut values: Vec<u32> = seeds.iter().map(|u| (1_000.0 / u) as u32).collect();
            let have = of(&values).quantile_us(q).expect("there are values");
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let exact = f64::from(values[rank - 1]);
            prop_assert!((have - exact).abs() <= 0.004 * exact, "{have} for {exact}");
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut read = Latencies::default();
            if read.merge_stored(0, &bytes).is_ok() {
                let mut again = Latencies::default();
                again.merge_stored(0, &read.encode()).expect("what was read can be written");
                prop_assert_eq!(again, read);
            }
        }
    }
}
