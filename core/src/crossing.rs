//! What clients used of routes since someone last took it: the source of a history.

use crate::catalog::{ClientId, RouteId};
use crate::columns::{Columns, Sums, Usage};
use crate::flip::Bank;
use crate::pairs::{self, PairTables};
use crate::snapshot::Totals;
use crate::units::Micros;
use std::collections::HashMap;

/// Latencies that wait to be taken: 32 MB.
const LATENCIES_MAX: usize = 1 << 22;

/// What one client used of one (provider, model, key).
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Which they are; `None` is all pairs over the bound of a shard (262,144).
    pub of: Option<(RouteId, ClientId)>,
    usage: [u64; 8],
    rare: [u64; 8],
}

impl Pair {
    /// What was used. The time of the last request is that of this pair.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of_rows(&self.usage, &self.rare)
    }
}

/// Increments by (route, client), made of whole records.
///
/// [`Meter::take_pairs`](crate::Meter::take_pairs) hands it over, and it begins anew.
#[derive(Debug, Default)]
pub struct Crossing {
    places: HashMap<u64, u32>,
    pairs: Vec<Pair>,
    latencies: Vec<(u32, u32)>,
    latencies_missed: u64,
}

impl Crossing {
    /// The pairs in which something happened.
    #[must_use]
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The latency of each request, and the place of its pair in [`Crossing::pairs`]; at
    /// most 71 minutes.
    pub fn latencies(&self) -> impl Iterator<Item = (usize, Micros)> {
        let latencies = self.latencies.iter();
        latencies.map(|(place, us)| (*place as usize, Micros((*us).into())))
    }

    /// Latencies that are missing because nobody took them in time; their requests count.
    #[must_use]
    pub const fn latencies_missed(&self) -> u64 {
        self.latencies_missed
    }

    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Takes over what a bank of a shard holds. `places` is the reader's memory of this
    /// shard's numbers.
    pub(crate) fn take(&mut self, tables: &PairTables, places: &mut Vec<u32>, bank: Bank) {
        places.resize(tables.numbers() as usize, 0);
        tables.rows.take(bank, |number, row| {
            let at = self.place(tables.key(number));
            // A number was given before its row was touched, so there is a place for it.
            places[number as usize] = at;
            Usage::add(&mut self.pairs[at as usize].usage, &row);
        });
        tables.rare.take(bank, |number, row| {
            let at = self.place(tables.key(number));
            Sums::add(&mut self.pairs[at as usize].rare, &row);
        });
        // The row of an entry was touched in the same write, so its place is of this call.
        let lost = tables.log.take(bank, |number, us| {
            if self.latencies.len() < LATENCIES_MAX {
                self.latencies.push((places[number as usize], us));
            } else {
                self.latencies_missed += 1;
            }
        });
        self.latencies_missed += lost;
    }

    fn place(&mut self, key: u64) -> u32 {
        *self.places.entry(key).or_insert_with(|| {
            let of = pairs::of_key(key).map(|(route, client)| (RouteId(route), ClientId(client)));
            self.pairs.push(Pair {
                of,
                usage: [0; 8],
                rare: [0; 8],
            });
            (self.pairs.len() - 1) as u32
        })
    }
}
