//! A histogram read once: all that a page says of it follows from the cells that have a count.

use coo_llm_core::Micros;
use coo_llm_core::histogram::Layout;
use coo_llm_core::histograms::HistogramView;

/// The cells of one histogram after the other. A view has hundreds of cells, most of them
/// empty: to walk them for each number costs more than to write the numbers.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// Those with a count, ascending.
    cells: Vec<(usize, u64)>,
    /// Of all cells.
    pub(super) count: u64,
    /// Of the values.
    pub(super) sum: Micros,
}

impl Spread {
    /// Takes a histogram in place of what is there.
    pub(super) fn fill(&mut self, view: HistogramView<'_>) {
        self.cells.clear();
        self.count = 0;
        view.cells().for_each(|(cell, n)| {
            self.cells.push((cell, n));
            self.count = self.count.saturating_add(n);
        });
        self.sum = view.sum();
    }

    /// The cells with a count, ascending.
    pub(super) fn cells(&self) -> &[(usize, u64)] {
        &self.cells
    }

    /// As [`HistogramView::classic`]; `layout` is that of the histogram.
    pub(super) fn classic(&self, layout: &Layout) -> impl Iterator<Item = (Option<Micros>, u64)> {
        let mut cells = self.cells.iter().peekable();
        let mut below = 0u64;
        let bounds = layout.bounds().iter().map(move |bound| {
            while let Some((_, n)) = cells.next_if(|(cell, _)| layout.upper(*cell) <= *bound) {
                below = below.saturating_add(*n);
            }
            (Some(Micros(*bound)), below)
        });
        bounds.chain([(None, self.count)])
    }
}
