//! Histograms: log-linear cells from which classic buckets, quantiles and native
//! histograms all come.
//!
//! A value (whole microseconds) falls into one of 32 cells an octave, as in
//! HdrHistogram. Where a classic `le` bound lies inside such a cell, the cell is
//! split at the bound, so that classic buckets are exact and still cost one
//! counter. [`Layout`] holds the table that finds the cell: one shift, one
//! look-up, one compare.

/// Cells an octave; a quantile is off by at most one cell, 1/32 of the value.
pub const CELLS_PER_OCTAVE: usize = 32;
/// Values from here on (71 minutes) count in the last cell; the sum keeps them whole.
pub const VALUE_MAX: u64 = (1 << 32) - 1;
/// Log-linear cells before any split: 64 of one microsecond, then 26 octaves of 32.
const PLAIN_CELLS: usize = 64 + 26 * CELLS_PER_OCTAVE;
/// The most classic bounds that a layout may have.
const BOUNDS_MAX: usize = 24;
/// Cells that a shard stores together: an octave, but for the splits before it. It is
/// made when one of its cells is first hit.
pub const OCTAVE_CELLS: usize = 32;
/// Octaves of a histogram.
pub const OCTAVES: usize = (PLAIN_CELLS + BOUNDS_MAX).div_ceil(OCTAVE_CELLS);
/// Cells of a histogram, splits included.
pub const CELLS_MAX: usize = OCTAVES * OCTAVE_CELLS;
/// Entries of the table of log-linear cells: a power of two, so that its index needs no
/// check. Those above [`PLAIN_CELLS`] are never used.
const ENTRIES: usize = PLAIN_CELLS.next_power_of_two();

/// The log-linear cell of a value up to [`VALUE_MAX`].
///
/// From 64 on it is read off the value as an `f64`, which is exact: its exponent is the
/// octave and the first five bits of its mantissa are the cell in it. That takes fewer
/// cycles than counting leading zeros where the processor's `lzcnt` cannot be assumed.
const fn plain_cell(value: u64) -> usize {
    if value < 64 {
        return value as usize;
    }
    const MANTISSA_BITS: u32 = 52;
    const CELL_BITS: u32 = CELLS_PER_OCTAVE.ilog2();
    /// What the exponent and cell bits of 32.0 read as, less its cell.
    const OFFSET: usize = (1023 + 5) * CELLS_PER_OCTAVE - 32;
    // Through i64, which converts in one instruction; values here are far below 2^63.
    let bits = (value as i64 as f64).to_bits();
    (bits >> (MANTISSA_BITS - CELL_BITS)) as usize - OFFSET
}

/// The largest value in a log-linear cell.
const fn plain_upper(cell: usize) -> u64 {
    if cell < 64 {
        return cell as u64;
    }
    let shift = cell / CELLS_PER_OCTAVE - 1;
    let base = (cell % CELLS_PER_OCTAVE + CELLS_PER_OCTAVE) as u64;
    ((base + 1) << shift) - 1
}

#[derive(Clone, Copy)]
struct Entry {
    /// Values above this are one cell further.
    split: u32,
    /// The cell of the values up to `split`.
    cell: u16,
}

/// The cells of a histogram family with given classic bounds.
pub struct Layout {
    bounds: &'static [u64],
    entries: [Entry; ENTRIES],
    /// How many cells hold the values up to each bound.
    cells_up_to: [u16; BOUNDS_MAX],
    /// The largest value of each cell; the last is [`VALUE_MAX`] and stands for all above.
    upper: [u32; CELLS_MAX],
    cells: usize,
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layout")
            .field("bounds", &self.bounds)
            .field("cells", &self.cells)
            .finish()
    }
}

impl Layout {
    /// A layout with these classic bounds (microseconds, ascending, below [`VALUE_MAX`]).
    ///
    /// # Panics
    /// At compile time, where bounds do not ascend or two fall into one cell.
    #[must_use]
    pub const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= BOUNDS_MAX, "too many classic bounds");
        let mut entries = [Entry {
            split: u32::MAX,
            cell: 0,
        }; ENTRIES];
        let mut cells_up_to = [0; BOUNDS_MAX];
        let mut upper = [VALUE_MAX as u32; CELLS_MAX];
        let mut next_bound = 0;
        let mut cells = 0;
        let mut plain = 0;
        while plain < PLAIN_CELLS {
            let high = plain_upper(plain);
            entries[plain].cell = cells as u16;
            if next_bound < bounds.len() && bounds[next_bound] < high {
                let split = bounds[next_bound];
                assert!(split < VALUE_MAX, "a bound above the largest value");
                entries[plain].split = split as u32;
                upper[cells] = split as u32;
                cells += 1;
                cells_up_to[next_bound] = cells as u16;
                next_bound += 1;
                assert!(
                    next_bound == bounds.len() || bounds[next_bound] >= high,
                    "two bounds in one cell, or bounds that do not ascend"
                );
            }
            upper[cells] = high as u32;
            cells += 1;
            if next_bound < bounds.len() && bounds[next_bound] == high {
                cells_up_to[next_bound] = cells as u16;
                next_bound += 1;
            }
            plain += 1;
        }
        assert!(next_bound == bounds.len(), "a bound was not placed");
        Self {
            bounds,
            entries,
            cells_up_to,
            upper,
            cells,
        }
    }

    /// The classic bounds, in microseconds, without `+Inf`.
    #[must_use]
    pub const fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// How many cells hold the values up to each classic bound.
    pub(crate) fn cells_up_to_bounds(&self) -> impl Iterator<Item = usize> {
        self.cells_up_to[..self.bounds.len()]
            .iter()
            .map(|cells| usize::from(*cells))
    }

    /// The number of cells.
    #[must_use]
    pub const fn cells(&self) -> usize {
        self.cells
    }

    /// The cell of a value in microseconds.
    ///
    /// # Cost
    /// A conversion, a load and a compare: about 1 ns.
    #[must_use]
    #[inline]
    pub fn cell(&self, value: u64) -> usize {
        let value = value.min(VALUE_MAX);
        let entry = self.entries[plain_cell(value) % ENTRIES];
        usize::from(entry.cell) + usize::from(value > u64::from(entry.split))
    }

    /// The largest value of a cell, in microseconds; the last cell also holds all above.
    #[must_use]
    pub fn upper(&self, cell: usize) -> u64 {
        u64::from(self.upper[cell])
    }

    /// The smallest value of a cell, in microseconds.
    #[must_use]
    pub fn lower(&self, cell: usize) -> u64 {
        if cell == 0 {
            0
        } else {
            self.upper(cell - 1) + 1
        }
    }
}

const SECOND: u64 = 1_000_000;
const MILLI: u64 = 1_000;

/// `coo_llm_latency_seconds` and `coo_llm_upstream_latency_seconds`: the bounds that
/// OpenTelemetry's GenAI conventions advise for `gen_ai.client.operation.duration`,
/// with 0.5 s and 10 s (for 10.24 s) because alerts ask for them, and two further octaves.
pub static LATENCY: Layout = Layout::new(&[
    10 * MILLI,
    20 * MILLI,
    40 * MILLI,
    80 * MILLI,
    160 * MILLI,
    320 * MILLI,
    500 * MILLI,
    640 * MILLI,
    1_280 * MILLI,
    2_560 * MILLI,
    5_120 * MILLI,
    10 * SECOND,
    20_480 * MILLI,
    40_960 * MILLI,
    81_920 * MILLI,
    163_840 * MILLI,
    327_680 * MILLI,
]);

/// `coo_llm_time_to_first_token_seconds`: the bounds that OpenTelemetry's GenAI
/// conventions advise for `gen_ai.server.time_to_first_token`.
pub static TIME_TO_FIRST_TOKEN: Layout = Layout::new(&[
    MILLI,
    5 * MILLI,
    10 * MILLI,
    20 * MILLI,
    40 * MILLI,
    60 * MILLI,
    80 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    750 * MILLI,
    SECOND,
    2_500 * MILLI,
    5 * SECOND,
    7_500 * MILLI,
    10 * SECOND,
]);

/// `coo_llm_time_per_output_token_seconds`: the bounds that OpenTelemetry's GenAI
/// conventions advise for `gen_ai.server.time_per_output_token`.
pub static TIME_PER_OUTPUT_TOKEN: Layout = Layout::new(&[
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    75 * MILLI,
    100 * MILLI,
    150 * MILLI,
    200 * MILLI,
    300 * MILLI,
    400 * MILLI,
    500 * MILLI,
    750 * MILLI,
    SECOND,
    2_500 * MILLI,
]);

/// `coo_llm_overhead_seconds`: 10 us to 100 ms.
pub static OVERHEAD: Layout = Layout::new(&[
    10,
    20,
    50,
    100,
    200,
    500,
    MILLI,
    2 * MILLI,
    5 * MILLI,
    10 * MILLI,
    20 * MILLI,
    50 * MILLI,
    100 * MILLI,
]);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAYOUTS: [&Layout; 4] = [
        &LATENCY,
        &TIME_TO_FIRST_TOKEN,
        &TIME_PER_OUTPUT_TOKEN,
        &OVERHEAD,
    ];

    #[test]
    fn cells_tile_the_values() {
        for layout in LAYOUTS {
            for cell in 0..layout.cells() {
                assert!(layout.lower(cell) <= layout.upper(cell), "{cell}");
                assert_eq!(layout.cell(layout.lower(cell)), cell);
                assert_eq!(layout.cell(layout.upper(cell)), cell);
            }
            assert_eq!(layout.cell(VALUE_MAX), layout.cells() - 1);
            assert_eq!(layout.cell(u64::MAX), layout.cells() - 1);
        }
    }

    #[test]
    fn every_classic_bound_ends_a_cell() {
        for layout in LAYOUTS {
            for &bound in layout.bounds() {
                let at = layout.cell(bound);
                assert_eq!(layout.upper(at), bound);
                assert_eq!(layout.cell(bound - 1).max(at), at);
                assert_eq!(layout.cell(bound + 1), at + 1);
            }
        }
    }

    #[test]
    fn the_interface_promises_these_latency_bounds() {
        let bounds = LATENCY.bounds();
        assert!(bounds.contains(&(SECOND / 2)) && bounds.contains(&(10 * SECOND)));
        assert!(*bounds.last().expect("bounds") >= 327 * SECOND);
        assert_eq!(
            (OVERHEAD.bounds()[0], OVERHEAD.bounds()[12]),
            (10, 100 * MILLI)
        );
    }

    proptest! {
        #[test]
        fn a_cell_is_at_most_a_32nd_of_its_values(value in 64u64..=VALUE_MAX) {
            for layout in LAYOUTS {
                let cell = layout.cell(value);
                prop_assert!(layout.lower(cell) <= value && value <= layout.upper(cell));
                prop_assert!((layout.upper(cell) - layout.lower(cell)) * 32 <= value);
            }
        }
    }
}
