//! Native histograms: our cells in exponential buckets.

use coo_llm_core::histogram::Layout;

/// Eight buckets an octave: each is 9.06 % wide.
///
/// Our cells are at most 1/32 of their values wide, so a cell lies in one bucket or across
/// one border, and counts where its middle lies. A value is therefore in its own bucket, or
/// outside of it by at most half a cell, 1/64 of the value. Below 64 us a cell is a single
/// value and nothing is off; from 71 minutes on all values count in the last bucket.
pub(super) const SCHEMA: i32 = 3;
/// Below it lies only the value 0: the smallest other one is a microsecond.
pub(super) const ZERO_THRESHOLD: f64 = 1e-9;
/// Stands for the zero bucket.
const ZERO: i32 = i32::MIN;

/// The bucket of each cell of a layout.
pub(super) fn buckets_of(layout: &Layout) -> Box<[i32]> {
    let bucket = |cell| {
        let middle_us = (layout.lower(cell) + layout.upper(cell)) as f64 / 2.0;
        if middle_us == 0.0 {
            ZERO
        } else {
            index(middle_us / 1e6)
        }
    };
    (0..layout.cells()).map(bucket).collect()
}

/// A histogram's buckets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Buckets {
    /// The count of the zero bucket.
    pub(super) zero: u64,
    /// Runs of buckets: how many are left out before it, and how long it is.
    pub(super) spans: Vec<(i32, u32)>,
    /// Each bucket's count, less that of the one before.
    pub(super) deltas: Vec<i64>,
}

impl Buckets {
    /// Takes a histogram's cells in place of what is there; `bucket_of` is [`buckets_of`]
    /// its layout.
    pub(super) fn fill(&mut self, cells: &[(usize, u64)], bucket_of: &[i32]) {
        self.zero = 0;
        self.spans.clear();
        self.deltas.clear();
        // The bucket that is being counted, its count, and that of the one before.
        let (mut open, mut count, mut before) = (None, 0i64, 0i64);
        for &(cell, n) in cells {
            let index = bucket_of[cell];
            if index == ZERO {
                self.zero += n;
                continue;
            }
            if open != Some(index) {
                if let Some(last) = open {
                    self.deltas.push(count.wrapping_sub(before));
                    before = count;
                    self.begin(index, last + 1);
                } else {
                    self.begin(index, 0);
                }
                (open, count) = (Some(index), 0);
            }
            count = count.wrapping_add(n.cast_signed());
        }
        if open.is_some() {
            self.deltas.push(count.wrapping_sub(before));
        }
    }

    /// Begins a bucket, where the last one is followed by `next`.
    fn begin(&mut self, index: i32, next: i32) {
        match self.spans.last_mut() {
            Some((_, length)) if next == index => *length += 1,
            _ => self.spans.push((index - next, 1)),
        }
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
