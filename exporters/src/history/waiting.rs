//! Rows that the file does not have yet.

use super::level::{Level, floor};
use super::usage::Usage;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows that wait for a disk that takes none: about 100 MB. Over it, what waits is folded
/// to hours; where that is not enough, what comes is dropped and counted.
pub(super) const ROWS_MAX: usize = 200_000;

/// What was used in ten seconds, by (client, route), and failures by (provider, type).
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    pub(super) usage: HashMap<(u32, u32), Usage>,
    pub(super) errors: HashMap<(Arc<str>, &'static str), u64>,
}

impl Bucket {
    fn rows(&self) -> usize {
        self.usage.len() + self.errors.len()
    }

    fn merge(&mut self, other: &Self) {
        for (key, usage) in &other.usage {
            self.usage.entry(*key).or_default().add(usage);
        }
        for (key, n) in &other.errors {
            *self.errors.entry(key.clone()).or_default() += n;
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.usage.values().map(|usage| usage.totals.requests).sum()
    }
}

/// Buckets by their first second.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    buckets: BTreeMap<u64, Arc<Bucket>>,
    /// The one that is being written, and what its write is called.
    writing: Option<(u64, Arc<Bucket>)>,
    write: u64,
    folds: u64,
}

impl Waiting {
    /// Adds to a bucket; the requests that there was no room for.
    pub(super) fn add(&mut self, start: u64, bucket: &Bucket) -> u64 {
        if self.rows() + bucket.rows() > ROWS_MAX {
            self.fold();
            if self.rows() + bucket.rows() > ROWS_MAX {
                return bucket.requests();
            }
        }
        self.merge(start, bucket);
        0
    }

    fn merge(&mut self, start: u64, bucket: &Bucket) {
        if bucket.rows() > 0 {
            Arc::make_mut(self.buckets.entry(start).or_default()).merge(bucket);
        }
    }

    /// Makes one bucket of those of each hour: at the first of them, for what was before
    /// it is sealed.
    fn fold(&mut self) {
        self.folds += 1;
        let mut first = 0;
        for (start, bucket) in std::mem::take(&mut self.buckets) {
            if floor(first, Level::Hour.width()) != floor(start, Level::Hour.width()) {
                first = start;
            }
            self.merge(first, &bucket);
        }
    }

    /// Takes the oldest one to write it; queries still see it.
    pub(super) fn begin_writing(&mut self, write: u64) -> Option<(u64, Arc<Bucket>)> {
        self.write = write;
        self.writing = self.buckets.pop_first();
        self.writing.clone()
    }

    /// The file has it.
    pub(super) fn was_written(&mut self) {
        self.writing = None;
    }

    /// The file does not have it: it waits again.
    pub(super) fn was_not_written(&mut self) {
        if let Some((start, bucket)) = self.writing.take() {
            self.merge(start, &bucket);
        }
    }

    /// Buckets that begin in `[start, end)`, and that a view of the file with `writes` of
    /// them does not have: one may be in the file before [`Waiting::was_written`] says so.
    pub(super) fn within(
        &self,
        start: u64,
        end: u64,
        writes: u64,
    ) -> impl Iterator<Item = (u64, &Bucket)> {
        let all = self.buckets.iter().map(|(at, bucket)| (*at, &**bucket));
        let writing = self.writing.iter().filter(move |_| self.write > writes);
        let writing = writing.map(|(at, bucket)| (*at, &**bucket));
        all.chain(writing)
            .filter(move |(at, _)| (start..end).contains(at))
    }

    fn all(&self) -> impl Iterator<Item = (u64, &Bucket)> {
        self.within(0, u64::MAX, 0)
    }

    pub(super) fn rows(&self) -> usize {
        self.all().map(|(_, bucket)| bucket.rows()).sum()
    }

    /// The first second that something waits of.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.all().map(|(at, _)| at).min()
    }

    /// How often what waited was folded to hours.
    pub(super) const fn folds(&self) -> u64 {
        self.folds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::snapshot::Totals;

    fn bucket(clients: std::ops::Range<u32>) -> Bucket {
        let totals = Totals {
            requests: 1,
            ..Totals::default()
        };
        let usage = Usage {
            totals,
            ..Usage::default()
        };
        Bucket {
            usage: clients.map(|client| ((client, 0), usage.clone())).collect(),
            errors: HashMap::new(),
        }
    }

    fn requests(waiting: &Waiting) -> u64 {
        waiting.all().map(|(_, it)| it.requests()).sum()
    }

    #[test]
    fn over_the_bound_hours_are_folded_and_then_what_comes_is_dropped() {
        let mut waiting = Waiting::default();
        let half = bucket(0..ROWS_MAX as u32 / 2);
        assert_eq!(waiting.add(3600, &half), 0);
        assert_eq!(waiting.add(3610, &half), 0);
        assert_eq!((waiting.rows(), waiting.folds()), (ROWS_MAX, 0));
        assert_eq!(
            waiting.add(3620, &half),
            0,
            "an hour's fold in one row each"
        );
        assert_eq!((waiting.oldest(), waiting.folds()), (Some(3600), 1));
        assert_eq!(requests(&waiting), 3 * ROWS_MAX as u64 / 2);
        let dropped = waiting.add(7200, &bucket(0..ROWS_MAX as u32));
        assert_eq!(dropped, ROWS_MAX as u64);
        assert_eq!(requests(&waiting), 3 * ROWS_MAX as u64 / 2);
    }

    #[test]
    fn what_was_not_written_waits_again_with_what_came_meanwhile() {
        let mut waiting = Waiting::default();
        waiting.add(10, &bucket(0..2));
        assert_eq!(waiting.begin_writing(1).map(|(at, _)| at), Some(10));
        waiting.add(10, &bucket(1..3));
        assert_eq!(requests(&waiting), 4);
        waiting.was_not_written();
        assert_eq!((requests(&waiting), waiting.rows()), (4, 3));
        waiting.begin_writing(2);
        let of_view = |writes| waiting.within(0, 20, writes).count();
        assert_eq!((of_view(1), of_view(2)), (1, 0), "the file has it already");
        waiting.was_written();
        assert_eq!((waiting.rows(), waiting.oldest()), (0, None));
    }
}
