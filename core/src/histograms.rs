//! Totals of histograms: blocks of cells, kept only where something fell.

use crate::histogram::{BLOCK_CELLS, Layout};
use crate::shard::BLOCK_WIDTH;
use crate::units::Micros;

/// One block: its number in the layout, and its cells (the sum of values, then counts).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    number: u32,
    cells: [u64; BLOCK_WIDTH],
}

/// The histograms of one family, dense by series.
#[derive(Clone, Debug)]
pub struct Histograms {
    layout: &'static Layout,
    /// The blocks of each series, in the order of their numbers.
    series: Vec<Vec<Block>>,
}

impl Histograms {
    pub(crate) const fn new(layout: &'static Layout) -> Self {
        Self {
            layout,
            series: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, series: u32, number: u32, cells: &[u64; BLOCK_WIDTH]) {
        let at = series as usize;
        if self.series.len() <= at {
            self.series.resize_with(at + 1, Vec::new);
        }
        let blocks = &mut self.series[at];
        match blocks.binary_search_by_key(&number, |block| block.number) {
            Ok(at) => {
                for (have, more) in blocks[at].cells.iter_mut().zip(cells) {
                    *have = have.saturating_add(*more);
                }
            }
            Err(at) => blocks.insert(
                at,
                Block {
                    number,
                    cells: *cells,
                },
            ),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (series, blocks) in (0..).zip(&other.series) {
            for block in blocks {
                self.add(series, block.number, &block.cells);
            }
        }
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut delta = Self::new(self.layout);
        for (series, blocks) in (0..).zip(&self.series) {
            for block in blocks {
                let then = earlier.block(series, block.number);
                let cells = std::array::from_fn(|at| {
                    block.cells[at].saturating_sub(then.map_or(0, |then| then.cells[at]))
                });
                if cells != [0; BLOCK_WIDTH] {
                    delta.add(series, block.number, &cells);
                }
            }
        }
        delta
    }

    fn block(&self, series: u32, number: u32) -> Option<&Block> {
        let blocks = self.series.get(series as usize)?;
        let at = blocks
            .binary_search_by_key(&number, |block| block.number)
            .ok()?;
        Some(&blocks[at])
    }

    /// All series as one, at number 0.
    pub(crate) fn folded(&self) -> Self {
        let mut all = Self::new(self.layout);
        for block in self.series.iter().flatten() {
            all.add(0, block.number, &block.cells);
        }
        all
    }

    pub(crate) fn view(&self, series: u32) -> HistogramView<'_> {
        let blocks = self
            .series
            .get(series as usize)
            .map_or(&[][..], |blocks| blocks);
        HistogramView {
            layout: self.layout,
            blocks,
        }
    }

    /// The only series of a folded histogram.
    #[must_use]
    pub fn whole(&self) -> HistogramView<'_> {
        self.view(0)
    }
}

/// One histogram of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct HistogramView<'a> {
    layout: &'static Layout,
    blocks: &'a [Block],
}

impl HistogramView<'_> {
    /// The layout that its cells follow.
    #[must_use]
    pub const fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// How many values were observed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cells().fold(0, |sum, (_, n)| sum.saturating_add(n))
    }

    /// The sum of the values, in microseconds; exact until it saturates.
    #[must_use]
    pub fn sum(&self) -> Micros {
        Micros(
            self.blocks
                .iter()
                .fold(0, |sum, block| sum.saturating_add(block.cells[0])),
        )
    }

    /// The cells in which something fell, ascending, with their counts.
    pub fn cells(&self) -> impl Iterator<Item = (usize, u64)> {
        self.blocks.iter().flat_map(|block| {
            let first = block.number as usize * BLOCK_CELLS;
            (first..)
                .zip(block.cells[1..].iter().copied())
                .filter(|(_, n)| *n > 0)
        })
    }

    /// How many values were at most each classic bound, then how many there were.
    pub fn classic(&self) -> impl Iterator<Item = (Option<Micros>, u64)> {
        let mut cells = self.cells().peekable();
        let mut below = 0u64;
        let bounds = self
            .layout
            .bounds()
            .iter()
            .map(|bound| Some(Micros(*bound)));
        bounds.chain([None]).map(move |bound| {
            let last = bound.map_or(u64::MAX, |bound| bound.0);
            while let Some((_, n)) = cells.next_if(|(cell, _)| self.layout.upper(*cell) <= last) {
                below = below.saturating_add(n);
            }
            (bound, below)
        })
    }

    /// The value below which the fraction `q` of all values lies; `None` where there is none.
    ///
    /// Interpolated inside its cell, so it is off by less than one cell: 1/32 of the value.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * count as f64;
        let mut below = 0.0;
        let mut last = 0.0;
        for (cell, n) in self.cells() {
            let (low, high) = (
                self.layout.lower(cell) as f64,
                self.layout.upper(cell) as f64,
            );
            let n = n as f64;
            last = high;
            if below + n >= rank {
                return Some(low + (high - low) * ((rank - below) / n).max(0.0));
            }
            below += n;
        }
        Some(last)
    }

    /// The mean in microseconds; `None` where there is no value.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum().0 as f64 / count as f64)
    }
}
