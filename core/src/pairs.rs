//! What each client used of each route: a sparse table of the pairs that occur.
//!
//! Rows stand in a [`Table`] by a number that the shard gives to a pair when it first
//! sees it, and the list of pairs says which that is. The writer finds the number by a
//! look-up that it alone has. Latencies are kept as they are until the reader takes them
//! ([`Log`]), so that whoever stores them chooses how finely.

use crate::chunks::Append;
use crate::columns::usage;
use crate::flip::Bank;
use crate::latency_log::{Log, LogPlaces};
use crate::sync::Ordering;
use crate::table::{Chunk, Places, Table};
use crate::units::{Micros, UnixMillis};

/// Pairs of a shard with a row of their own: 40 MB of rows and look-up when all occur.
/// Later ones share one row.
pub(crate) const PAIRS_MAX: u32 = if cfg!(loom) { 3 } else { 1 << 18 };
/// The number of the row that pairs over the bound share.
pub(crate) const OTHERS: u32 = 0;
/// A place in the look-up without a pair, and the pair of [`OTHERS`]: no catalogue has
/// so many ids.
const NO_PAIR: u64 = u64::MAX;

/// A route and a client as one number.
#[inline]
pub(crate) const fn key(route: u32, client: u32) -> u64 {
    (route as u64) << 32 | client as u64
}

/// The route and the client of a key; `None` for that of [`OTHERS`].
pub(crate) const fn of_key(key: u64) -> Option<(u32, u32)> {
    if key == NO_PAIR {
        None
    } else {
        Some(((key >> 32) as u32, key as u32))
    }
}

/// The pairs of one shard.
#[derive(Debug)]
pub(crate) struct PairTables {
    /// The pair of each number.
    keys: Append<u64>,
    pub(crate) rows: Table<8>,
    pub(crate) rare: Table<8>,
    pub(crate) log: Log,
}

/// A row of a pair: the chunk it stands in and its number.
type PairRow<'a> = Option<(&'a Chunk<8>, u32)>;

impl PairTables {
    pub(crate) fn new() -> Self {
        let keys = Append::new();
        assert_eq!(keys.push(NO_PAIR), Ok(OTHERS), "the list is empty");
        Self {
            keys,
            rows: Table::new(),
            rare: Table::new(),
            log: Log::new(),
        }
    }

    /// The pair of a number.
    pub(crate) fn key(&self, number: u32) -> u64 {
        self.keys.get(number).copied().unwrap_or(NO_PAIR)
    }

    /// Numbers given so far.
    pub(crate) fn numbers(&self) -> u32 {
        self.keys.len()
    }

    /// The row of a pair, with its latency and the time of its last request noted.
    ///
    /// Not inlined, and given what fits in registers: a meter without pairs pays a branch,
    /// and the record need not stand in memory.
    #[inline(never)]
    pub(crate) fn row<'a>(
        &self,
        places: &'a mut PairPlaces,
        bank: Bank,
        key: u64,
        finished: UnixMillis,
        latency: Micros,
    ) -> PairRow<'a> {
        let pair = self.find(places, key);
        let PairPlaces { rows, log, .. } = places;
        let chunk = self.rows.chunk(rows, pair)?;
        let last = &chunk.row(bank, pair)[usage::LAST_MS];
        if last.load(Ordering::Relaxed) < finished.0 {
            last.store(finished.0, Ordering::Relaxed);
        }
        self.log.push(log, bank, pair, latency);
        Some((chunk, pair))
    }

    /// The row of what few requests of a pair have.
    #[inline(never)]
    pub(crate) fn rare_row<'a>(&self, places: &'a mut PairPlaces, key: u64) -> PairRow<'a> {
        let pair = self.find(places, key);
        let chunk = self.rare.chunk(&mut places.rare, pair)?;
        Some((chunk, pair))
    }

    /// The number of a pair, given where it is new.
    #[inline]
    fn find(&self, places: &mut PairPlaces, key: u64) -> u32 {
        let mask = places.slots.len().wrapping_sub(1);
        let mut at = slot(key);
        while let Some(&(have, number)) = places.slots.get(at & mask) {
            if have == key {
                return number;
            }
            if have == NO_PAIR {
                break;
            }
            at += 1;
        }
        self.make(places, key)
    }

    #[cold]
    fn make(&self, places: &mut PairPlaces, key: u64) -> u32 {
        if self.keys.len() >= PAIRS_MAX {
            return OTHERS;
        }
        let Ok(number) = self.keys.push(key) else {
            return OTHERS;
        };
        if places.slots.len() < 2 * (number as usize + 1) {
            let larger = vec![(NO_PAIR, 0); (2 * places.slots.len()).max(16)];
            let old = std::mem::replace(&mut places.slots, larger);
            for (key, number) in old.into_iter().filter(|(key, _)| *key != NO_PAIR) {
                places.put(key, number);
            }
        }
        places.put(key, number);
        number
    }

    /// See [`Table::hold`].
    pub(crate) fn hold(&self, bank: Bank) {
        self.rows.hold(bank);
        self.rare.hold(bank);
    }
}

/// Where the search for a pair begins: Fibonacci hashing, whose high bits are mixed best.
#[inline]
const fn slot(key: u64) -> usize {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}

/// The writer's way to its pairs: its own knowledge.
#[derive(Debug, Default)]
pub(crate) struct PairPlaces {
    /// Pairs and their numbers, by hash, at most half full.
    slots: Vec<(u64, u32)>,
    rows: Places<8>,
    rare: Places<8>,
    log: LogPlaces,
}

impl PairPlaces {
    fn put(&mut self, key: u64, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = slot(key) & mask;
        while self.slots[at].0 != NO_PAIR {
            at = (at + 1) & mask;
        }
        self.slots[at] = (key, number);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_pair_keeps_its_number_and_those_over_the_bound_share_one() {
        let tables = PairTables::new();
        let mut places = PairPlaces::default();
        let mut numbers = HashMap::new();
        for n in 0..PAIRS_MAX + 1000 {
            let key = key(n % 700, n / 700);
            numbers.insert(key, tables.find(&mut places, key));
        }
        let shared = numbers.values().filter(|n| **n == OTHERS).count();
        assert_eq!(shared, 1001, "the row of all others is one of the bound");
        for (key, number) in numbers {
            assert_eq!(tables.find(&mut places, key), number);
            if number != OTHERS {
                assert_eq!(tables.key(number), key);
            }
        }
        assert_eq!(of_key(tables.key(OTHERS)), None);
        assert_eq!(of_key(key(7, 9)), Some((7, 9)));
    }
}
