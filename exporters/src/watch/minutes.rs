//! A client's last hours by the minute, and its last day by five minutes.

use crate::health::{RECENT_S, Row};
use coo_llm_core::NanoUsd;
use std::collections::VecDeque;

const MINUTE_S: u64 = 60;
/// Minutes that are kept one by one.
const MINUTES: u64 = RECENT_S / MINUTE_S;
/// Entries of one client: eight providers a minute. Of a client with more, fewer hours are looked at.
const ENTRIES_MAX: usize = 8 * MINUTES as usize;
const BLOCK_S: u64 = 300;
/// Blocks of a day.
const BLOCKS: usize = 288;

/// One provider's part of a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    minute: u32,
    /// Plus one; 0 where a request reached none.
    provider: u32,
    requests: u32,
    errors: u32,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Minutes {
    entries: VecDeque<Entry>,
    /// Requests by five minutes, in the place of the block's number modulo a day; none before the
    /// first request.
    blocks: Vec<u32>,
    /// The number of the newest of them.
    block: u64,
}

impl Minutes {
    /// Adds a row of a minute, no earlier than those that are there.
    pub(super) fn push(&mut self, row: &Row) {
        self.count(row);
        let entry = Entry {
            minute: (row.start_s / MINUTE_S) as u32,
            provider: row.provider.map_or(0, |provider| provider + 1),
            requests: u32::try_from(row.requests).unwrap_or(u32::MAX),
            errors: u32::try_from(row.errors).unwrap_or(u32::MAX),
        };
        // Models and keys of a provider come one after the other.
        let same = self.entries.iter_mut().rev();
        let same = same
            .take_while(|had| had.minute == entry.minute)
            .find(|had| had.provider == entry.provider);
        if let Some(had) = same {
            had.requests = had.requests.saturating_add(entry.requests);
            had.errors = had.errors.saturating_add(entry.errors);
            return;
        }
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn count(&mut self, row: &Row) {
        let block = row.start_s / BLOCK_S;
        if self.blocks.is_empty() {
            self.blocks = vec![0; BLOCKS];
            self.block = block;
        }
        let passed = block.saturating_sub(self.block);
        for between in 1..=passed.min(BLOCKS as u64) {
            self.blocks[((self.block + between) % BLOCKS as u64) as usize] = 0;
        }
        self.block = self.block.max(block);
        let place = &mut self.blocks[(block % BLOCKS as u64) as usize];
        *place = place.saturating_add(u32::try_from(row.requests).unwrap_or(u32::MAX));
    }

    /// Forgets what is too old to be looked at.
    pub(super) fn retire(&mut self, now_s: u64) {
        let from = (now_s / MINUTE_S).saturating_sub(MINUTES);
        while self
            .entries
            .front()
            .is_some_and(|entry| u64::from(entry.minute) < from)
        {
            self.entries.pop_front();
        }
        if self.block + (BLOCKS as u64) < now_s / BLOCK_S {
            self.blocks = Vec::new();
        }
        if self.entries.is_empty() && self.entries.capacity() > 0 {
            self.entries = VecDeque::new();
        }
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.blocks.is_empty()
    }

    /// The minutes, by time, into a buffer. They have requests and failures only.
    pub(super) fn read(&self, rows: &mut Vec<Row>) {
        rows.clear();
        rows.extend(self.entries.iter().map(|entry| Row {
            start_s: u64::from(entry.minute) * MINUTE_S,
            provider: entry.provider.checked_sub(1),
            requests: entry.requests.into(),
            errors: entry.errors.into(),
            tokens: 0,
            cost: NanoUsd(0),
            unpriced: 0,
        }));
    }

    /// The five minutes of the last day that had requests, into a buffer.
    pub(super) fn read_day(&self, rows: &mut Vec<Row>) {
        rows.clear();
        if self.blocks.is_empty() {
            return;
        }
        let first = (self.block + 1).saturating_sub(BLOCKS as u64);
        let had = (first..=self.block)
            .map(|block| (block, self.blocks[(block % BLOCKS as u64) as usize]));
        rows.extend(
            had.filter(|(_, requests)| *requests > 0)
                .map(|(block, requests)| Row {
                    start_s: block * BLOCK_S,
                    requests: requests.into(),
                    ..Row::default()
                }),
        );
    }

    /// Requests and failures of the last `minutes`, by provider.
    pub(super) fn last(&self, minutes: u64, now_s: u64) -> Vec<(Option<u32>, u64, u64)> {
        let from = (now_s / MINUTE_S).saturating_sub(minutes);
        let mut sums: Vec<(Option<u32>, u64, u64)> = Vec::new();
        let recent = self.entries.iter().rev();
        for entry in recent.take_while(|entry| u64::from(entry.minute) >= from) {
            let provider = entry.provider.checked_sub(1);
            let at = sums.iter().position(|sum| sum.0 == provider);
            let at = at.unwrap_or_else(|| {
                sums.push((provider, 0, 0));
                sums.len() - 1
            });
            sums[at].1 += u64::from(entry.requests);
            sums[at].2 += u64::from(entry.errors);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0_S: u64 = 1_699_999_200;

    fn row(minute: u64, provider: Option<u32>, requests: u64, errors: u64) -> Row {
        Row {
            start_s: T0_S + minute * MINUTE_S,
            provider,
            requests,
            errors,
            ..Row::default()
        }
    }

    #[test]
    fn parts_of_a_minute_are_added_and_old_ones_go() {
        let mut minutes = Minutes::default();
        minutes.push(&row(0, Some(0), 5, 1));
        minutes.push(&row(0, None, 2, 2));
        minutes.push(&row(0, Some(0), 1, 0));
        minutes.push(&row(90, Some(7), 3, 0));
        let mut rows = Vec::new();
        minutes.read(&mut rows);
        let expected = [
            row(0, Some(0), 6, 1),
            row(0, None, 2, 2),
            row(90, Some(7), 3, 0),
        ];
        assert_eq!(rows, expected);
        let now_s = T0_S + 91 * MINUTE_S;
        assert_eq!(minutes.last(1, now_s), [(Some(7), 3, 0)]);
        assert_eq!(minutes.last(60, now_s), [(Some(7), 3, 0)]);
        assert_eq!(minutes.last(91, now_s).len(), 3);
        minutes.retire(T0_S + (MINUTES + 1) * MINUTE_S);
        minutes.read(&mut rows);
        assert_eq!(rows, expected[2..]);
        minutes.read_day(&mut rows);
        let day: Vec<_> = rows.iter().map(|row| (row.start_s, row.requests)).collect();
        assert_eq!(day, [(T0_S, 8), (T0_S + 90 * MINUTE_S, 3)]);
        minutes.retire(T0_S + 3 * 86_400);
        assert!(minutes.is_empty());
    }

    #[test]
    fn a_day_of_blocks_goes_round() {
        let mut minutes = Minutes::default();
        for minute in (0..4000).step_by(7) {
            minutes.push(&row(minute, Some(0), minute, 0));
        }
        let mut rows = Vec::new();
        minutes.read_day(&mut rows);
        let last = T0_S + 3997 / 5 * BLOCK_S;
        assert_eq!(rows.last().map(|row| row.start_s), Some(last));
        assert!(rows.iter().all(|row| row.start_s + 86_400 > last));
        let sum: u64 = rows.iter().map(|row| row.requests).sum();
        let from = (last + BLOCK_S - 86_400 - T0_S) / MINUTE_S;
        let expected: u64 = (0..4000).step_by(7).filter(|minute| *minute >= from).sum();
        assert_eq!(sum, expected);
        // Two days later nothing of it is left.
        minutes.push(&row(4000 + 2880, Some(0), 1, 0));
        minutes.read_day(&mut rows);
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn entries_are_bounded() {
        let mut minutes = Minutes::default();
        for n in 0..3 * ENTRIES_MAX as u64 {
            minutes.push(&row(n / 20, Some((n % 20) as u32), 1, 0));
        }
        assert_eq!(minutes.entries.len(), ENTRIES_MAX);
    }
}
