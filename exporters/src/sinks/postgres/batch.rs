//! Rows as the columns that PostgreSQL takes.

use crate::history::{NUMBERS, SealedRow};
use std::borrow::Cow;
use std::collections::HashMap;

/// The columns of names, in the order of [`Batch::names`].
pub(super) const NAMES: [&str; 4] = ["client", "provider", "model", "key"];
/// Bits of a histogram's cell that count.
const COUNT_BITS: u32 = 48;

/// Rows by column; each client and route once.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pub(super) names: [Vec<Cow<'a, str>>; NAMES.len()],
    /// In the order of [`NUMBERS`].
    pub(super) numbers: [Vec<i64>; NUMBERS.len()],
    /// When the last request ended, in Unix milliseconds.
    pub(super) last_ms: Vec<Option<i64>>,
    pub(super) latency: Vec<Vec<u8>>,
}

/// PostgreSQL's text has everything but NUL.
pub(super) fn text(name: &str) -> Cow<'_, str> {
    if name.contains('\0') {
        name.replace('\0', "\u{fffd}").into()
    } else {
        name.into()
    }
}

/// PostgreSQL's integers end at 2^63 - 1.
pub(super) fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl<'a> Batch<'a> {
    pub(super) fn new(rows: &'a [SealedRow]) -> Self {
        let mut batch = Self::default();
        let mut places: HashMap<[Cow<'_, str>; NAMES.len()], usize> =
            HashMap::with_capacity(rows.len());
        for row in rows {
            let names = [&row.client, &row.provider, &row.model, &row.key].map(|name| text(name));
            let next = batch.latency.len();
            let at = *places.entry(names.clone()).or_insert(next);
            if at == next {
                batch.push(names);
            }
            batch.add(at, row);
        }
        batch
    }

    fn push(&mut self, names: [Cow<'a, str>; NAMES.len()]) {
        for (column, name) in self.names.iter_mut().zip(names) {
            column.push(name);
        }
        for column in &mut self.numbers {
            column.push(0);
        }
        self.last_ms.push(None);
        self.latency.push(Vec::new());
    }

    fn add(&mut self, at: usize, row: &SealedRow) {
        for (column, n) in self.numbers.iter_mut().zip(row.usage.numbers()) {
            column[at] = column[at].saturating_add(integer(n));
        }
        let last_ms = row.usage.totals.last_request.map(|last| integer(last.0));
        self.last_ms[at] = self.last_ms[at].max(last_ms);
        // Two histograms one after the other are the histogram of both.
        for (cell, n) in row.usage.latency.cells() {
            let n = (*n).min((1 << COUNT_BITS) - 1);
            let pair = (u64::from(*cell) << COUNT_BITS) | n;
            self.latency[at].extend_from_slice(&pair.to_be_bytes());
        }
    }
}

/// The cells of a stored histogram, in which each is once; `None` where it is none.
pub(super) fn cells(bytes: &[u8]) -> Option<impl Iterator<Item = (u16, u64)>> {
    let (pairs, rest) = bytes.as_chunks::<8>();
    rest.is_empty().then(|| {
        pairs.iter().map(|pair| {
            let pair = u64::from_be_bytes(*pair);
            ((pair >> COUNT_BITS) as u16, pair & ((1 << COUNT_BITS) - 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Latencies, Usage};
    use coo_llm_core::Micros;

    fn row(client: &str, latencies: &[u64]) -> SealedRow {
        let mut usage = Usage::default();
        usage.totals.requests = latencies.len() as u64;
        for us in latencies {
            usage.latency.record(Micros(*us));
        }
        let name = || "x".into();
        SealedRow {
            provider: name(),
            model: name(),
            key: name(),
            client: client.into(),
            usage,
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_one_row() {
        let rows = [
            row("a\0", &[5, 5, 900]),
            row("b", &[7]),
            row("a\u{fffd}", &[1]),
        ];
        let batch = Batch::new(&rows);
        assert_eq!(batch.names[0], ["a\u{fffd}", "b"]);
        assert_eq!(batch.numbers[0], [4, 1]);
        assert_eq!(batch.numbers[12], [911, 7]);
        assert_eq!(batch.latency[0].len(), 3 * 8);
    }

    #[test]
    fn a_histogram_is_read_back() {
        let rows = [row("a", &[0, 5, 5, 900, 1 << 31])];
        let batch = Batch::new(&rows);
        let mut read = Latencies::default();
        let stored = cells(&batch.latency[0]).expect("whole cells");
        read.add_cells(rows[0].usage.latency.sum().0, stored)
            .expect("ascending");
        assert_eq!(read, rows[0].usage.latency);
        assert!(cells(&[0; 7]).is_none());
        let twice = [batch.latency[0].clone(), batch.latency[0].clone()].concat();
        let stored = cells(&twice).expect("whole cells");
        assert!(read.add_cells(0, stored).is_err());
    }
}
