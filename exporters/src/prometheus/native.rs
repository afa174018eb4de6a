//! Native histograms: our cells in exponential buckets.

use coo_llm_core::histograms::HistogramView;

/// Eight buckets an octave: each is 9 % wide. Our cells are 1.6 to 3.1 % wide, so a
/// cell lies in one bucket or across one border; it counts where its middle lies, and
/// no value is off by more than its cell.
pub(super) const SCHEMA: i32 = 3;
/// Below it lies only the value 0: the smallest other one is a microsecond.
pub(super) const ZERO_THRESHOLD: f64 = 1e-9;

/// A histogram's buckets, without the zero bucket.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Buckets {
    pub(super) zero: u64,
    /// Runs of buckets: how many are left out before it, and how long it is.
    pub(super) spans: Vec<(i32, u32)>,
    /// Each bucket's count, less that of the one before.
    pub(super) deltas: Vec<i64>,
}

impl Buckets {
    pub(super) fn of(view: HistogramView<'_>) -> Self {
        let layout = view.layout();
        let mut buckets = Self::default();
        let mut counts: Vec<(i32, u64)> = Vec::new();
        for (cell, n) in view.cells() {
            let middle_us = (layout.lower(cell) + layout.upper(cell)) as f64 / 2.0;
            if middle_us == 0.0 {
                buckets.zero += n;
                continue;
            }
            let index = index(middle_us / 1e6);
            match counts.last_mut().filter(|(last, _)| *last == index) {
                Some((_, count)) => *count += n,
                None => counts.push((index, n)),
            }
        }
        let mut next = None;
        let mut before = 0i64;
        for (index, count) in counts {
            match (next, buckets.spans.last_mut()) {
                (Some(next), Some((_, length))) if next == index => *length += 1,
                _ => buckets.spans.push((index - next.unwrap_or(0), 1)),
            }
            next = Some(index + 1);
            let count = count.cast_signed();
            buckets.deltas.push(count.wrapping_sub(before));
            before = count;
        }
        buckets
    }
}

/// The bucket of a value: its upper bound is 2^(index / 2^schema).
fn index(seconds: f64) -> i32 {
    (seconds.log2() * f64::from(1 << SCHEMA)).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_the_bucket_below() {
        assert_eq!(index(1.0), 0);
        assert_eq!(index(1.000_001), 1);
        assert_eq!(index(2.0), 8);
        assert_eq!(index(0.5), -8);
    }
}
