//! Totals of histograms: from the first cell that something fell into to the last.

use crate::histogram::Layout;
use crate::units::Micros;

/// The counts of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// The cell that `cells` begins with.
    first: usize,
    cells: Vec<u64>,
    /// Of the values, in microseconds.
    sum: u64,
}

impl Counts {
    /// Makes room for the cells `first..last`.
    fn cover(&mut self, first: usize, last: usize) {
        if self.cells.is_empty() {
            self.first = first;
        }
        if first < self.first {
            let more = self.first - first;
            self.cells.splice(0..0, std::iter::repeat_n(0, more));
            self.first = first;
        }
        if self.first + self.cells.len() < last {
            self.cells.resize(last - self.first, 0);
        }
    }

    /// Adds counts that begin at the cell `first`.
    fn add(&mut self, first: usize, counts: &[u64], sum: u64) {
        // Only as far as something is there, so that totals hold no empty ends.
        let Some(from) = counts.iter().position(|n| *n > 0) else {
            return;
        };
        let to = counts
            .iter()
            .rposition(|n| *n > 0)
            .map_or(from, |at| at + 1);
        self.cover(first + from, first + to);
        let cells = &mut self.cells[first + from - self.first..];
        for (have, more) in cells.iter_mut().zip(&counts[from..to]) {
            *have = have.saturating_add(*more);
        }
        self.sum = self.sum.saturating_add(sum);
    }

    fn cell(&self, at: usize) -> u64 {
        let at = at.checked_sub(self.first);
        at.and_then(|at| self.cells.get(at)).copied().unwrap_or(0)
    }
}

/// The histograms of one family, dense by series.
#[derive(Clone, Debug)]
pub struct Histograms {
    layout: &'static Layout,
    series: Vec<Counts>,
}

impl Histograms {
    pub(crate) const fn new(layout: &'static Layout) -> Self {
        Self {
            layout,
            series: Vec::new(),
        }
    }

    /// Adds counts to a series, from the cell `first` on.
    pub(crate) fn add(&mut self, series: u32, first: usize, counts: &[u64], sum: u64) {
        let at = series as usize;
        if self.series.len() <= at {
            self.series.resize_with(at + 1, Counts::default);
        }
        self.series[at].add(first, counts, sum);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (series, counts) in (0..).zip(&other.series) {
            self.add(series, counts.first, &counts.cells, counts.sum);
        }
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut delta = Self::new(self.layout);
        let nothing = Counts::default();
        for (series, now) in (0..).zip(&self.series) {
            let then = earlier.series.get(series as usize).unwrap_or(&nothing);
            let cells: Vec<_> = (now.first..)
                .zip(&now.cells)
                .map(|(at, n)| n.saturating_sub(then.cell(at)))
                .collect();
            delta.add(series, now.first, &cells, now.sum.saturating_sub(then.sum));
        }
        delta
    }

    /// All series as one, at number 0.
    pub(crate) fn folded(&self) -> Self {
        let mut all = Self::new(self.layout);
        for counts in &self.series {
            all.add(0, counts.first, &counts.cells, counts.sum);
        }
        all
    }

    pub(crate) fn view(&self, series: u32) -> HistogramView<'_> {
        let counts = self.series.get(series as usize);
        HistogramView {
            layout: self.layout,
            first: counts.map_or(0, |counts| counts.first),
            cells: counts.map_or(&[], |counts| &counts.cells),
            sum: counts.map_or(0, |counts| counts.sum),
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
    /// The cell that `cells` begins with.
    first: usize,
    cells: &'a [u64],
    sum: u64,
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
        count(self.cells)
    }

    /// The sum of the values, in microseconds; exact until it saturates.
    #[must_use]
    pub const fn sum(&self) -> Micros {
        Micros(self.sum)
    }

    /// The cells in which something fell, ascending, with their counts.
    pub fn cells(&self) -> impl Iterator<Item = (usize, u64)> {
        (self.first..)
            .zip(self.cells.iter().copied())
            .filter(|(_, n)| *n > 0)
    }

    /// How many values were at most each classic bound, then how many there were.
    pub fn classic(&self) -> impl Iterator<Item = (Option<Micros>, u64)> {
        let mut left = self.cells;
        let mut next = self.first;
        let mut below = 0u64;
        let bounds = self.layout.bounds().iter();
        let bounds = bounds.map(|bound| Some(Micros(*bound))).chain([None]);
        let ends = self.layout.cells_up_to_bounds().chain([usize::MAX]);
        bounds.zip(ends).map(move |(bound, end)| {
            let here = end.saturating_sub(next).min(left.len());
            below = below.saturating_add(count(&left[..here]));
            (left, next) = (&left[here..], next + here);
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
        (count > 0).then(|| self.sum as f64 / count as f64)
    }
}

fn count(cells: &[u64]) -> u64 {
    cells.iter().fold(0, |sum, n| sum.saturating_add(*n))
}
