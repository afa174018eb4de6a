//! Weeks of a client's hours, in a few bytes each.
//!
//! An entry is one provider's part of one hour: variable-length integers, each hour as its
//! distance from the one before, and what is mostly zero behind a flag.

use crate::health::{HISTORY_S, HOUR_S, Row};
use coo_llm_core::NanoUsd;

/// Bytes of one client. Four weeks of one provider take about 6 KiB; a client of many providers
/// is remembered for fewer weeks.
pub(super) const BYTES_MAX: usize = 16 * 1024;
/// The most that an entry takes: a flag, two numbers of 5 bytes and four of 10.
const ENTRY_BYTES_MAX: usize = 1 + 2 * 5 + 4 * 10;

const HAS_ERRORS: u8 = 1;
const HAS_UNPRICED: u8 = 2;
const HAS_PROVIDER: u8 = 4;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Hours {
    bytes: Vec<u8>,
    /// The hour before the first entry, and that of the last one; numbers from 1970.
    before_s: u64,
    last_s: u64,
}

impl Hours {
    /// Adds what one hour had; rows of one hour, no earlier than those that are there.
    pub(super) fn push(&mut self, row: &Row) {
        let hour = row.start_s / HOUR_S;
        if self.bytes.is_empty() {
            self.before_s = hour;
            self.last_s = hour;
        }
        let mut flags = 0;
        flags |= if row.errors > 0 { HAS_ERRORS } else { 0 };
        flags |= if row.unpriced > 0 { HAS_UNPRICED } else { 0 };
        flags |= if row.provider.is_some() {
            HAS_PROVIDER
        } else {
            0
        };
        self.bytes.push(flags);
        put(&mut self.bytes, hour.saturating_sub(self.last_s));
        if let Some(provider) = row.provider {
            put(&mut self.bytes, provider.into());
        }
        put(&mut self.bytes, row.requests);
        put(&mut self.bytes, row.cost.0);
        if row.errors > 0 {
            put(&mut self.bytes, row.errors);
        }
        if row.unpriced > 0 {
            put(&mut self.bytes, row.unpriced);
        }
        self.last_s = self.last_s.max(hour);
        if self.bytes.len() > BYTES_MAX {
            // A sixteenth at a time, so that what is left is not moved for each entry.
            self.forget(|_, gone| gone < BYTES_MAX / 16 + ENTRY_BYTES_MAX);
        }
    }

    /// Forgets what is too old to be read.
    pub(super) fn retire(&mut self, now_s: u64) {
        let from_s = now_s.saturating_sub(HISTORY_S + HOUR_S);
        self.forget(|row, _| row.start_s < from_s);
    }

    /// Forgets the first entries for which `goes`, of an entry and the bytes gone before it.
    fn forget(&mut self, goes: impl Fn(&Row, usize) -> bool) {
        let mut gone = 0;
        let mut before = self.before_s;
        for (row, next) in self.entries() {
            if !goes(&row, gone) {
                break;
            }
            gone = next;
            before = row.start_s / HOUR_S;
        }
        if gone > 0 {
            self.bytes.drain(..gone);
            self.before_s = before;
        }
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The rows, by time, into a buffer.
    pub(super) fn read(&self, rows: &mut Vec<Row>) {
        rows.clear();
        rows.extend(self.entries().map(|(row, _)| row));
    }

    /// Each entry, and where the next one begins.
    fn entries(&self) -> impl Iterator<Item = (Row, usize)> {
        let mut at = 0;
        let mut hour = self.before_s;
        std::iter::from_fn(move || {
            let flags = *self.bytes.get(at)?;
            at += 1;
            let mut next = || take(&self.bytes, &mut at);
            hour += next();
            let provider = (flags & HAS_PROVIDER > 0).then(|| next() as u32);
            let (requests, cost) = (next(), NanoUsd(next()));
            let errors = if flags & HAS_ERRORS > 0 { next() } else { 0 };
            let unpriced = if flags & HAS_UNPRICED > 0 { next() } else { 0 };
            let row = Row {
                start_s: hour * HOUR_S,
                provider,
                requests,
                errors,
                tokens: 0,
                cost,
                unpriced,
            };
            Some((row, at))
        })
    }
}

/// LEB128: seven bits a byte, the least first.
fn put(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

fn take(bytes: &[u8], at: &mut usize) -> u64 {
    let mut n = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let Some(byte) = bytes.get(*at) else { break };
        *at += 1;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = (u64, Row)> {
        let provider = proptest::option::of(any::<u32>());
        let counts = (any::<u64>(), any::<u64>(), 0u64..3);
        (0u64..200, provider, counts, 0..4u64).prop_map(
            |(step, provider, (requests, cost, errors), unpriced)| {
                let row = Row {
                    start_s: 0,
                    provider,
                    requests,
                    errors,
                    tokens: 0,
                    cost: NanoUsd(cost),
                    unpriced,
                };
                (step, row)
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_put(rows in proptest::collection::vec(row(), 0..60), old in 0u64..5000) {
            let mut hours = Hours::default();
            let mut expected = Vec::new();
            let mut hour = 400_000;
            for (step, row) in rows {
                hour += step;
                let row = Row { start_s: hour * HOUR_S, ..row };
                hours.push(&row);
                expected.push(row);
            }
            let mut have = Vec::new();
            hours.read(&mut have);
            prop_assert_eq!(&have, &expected);
            let now_s = (400_000 + old) * HOUR_S;
            hours.retire(now_s);
            expected.retain(|row| row.start_s >= now_s.saturating_sub(HISTORY_S + HOUR_S));
            hours.read(&mut have);
            prop_assert_eq!(have, expected);
        }
    }

    #[test]
    fn over_its_bound_the_oldest_hours_go() {
        let mut hours = Hours::default();
        for n in 0..5000 {
            hours.push(&Row {
                start_s: n * HOUR_S,
                provider: Some(3),
                requests: 900,
                cost: NanoUsd(123_456_789),
                ..Row::default()
            });
            assert!(hours.bytes.len() <= BYTES_MAX);
        }
        let mut rows = Vec::new();
        hours.read(&mut rows);
        assert_eq!(rows.last().map(|row| row.start_s), Some(4999 * HOUR_S));
        assert!(rows.len() >= 4 * 168, "{}", rows.len());
        let steps = rows
            .windows(2)
            .all(|two| two[1].start_s - two[0].start_s == HOUR_S);
        assert!(steps && rows.iter().all(|row| row.requests == 900));
    }
}
