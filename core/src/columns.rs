//! Which counter stands in which column of which table.

/// How two values of a column become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    /// A counter: they are added, up to [`u64::MAX`].
    Sum,
    /// A point in time: the later one stays.
    Latest,
    /// A gauge kept as increments and decrements: they are added, wrapping.
    Gauge,
}

/// How the columns of a table combine.
pub(crate) trait Columns<const WIDTH: usize> {
    const COMBINE: [Combine; WIDTH];

    /// Adds a row to another.
    fn add(row: &mut [u64; WIDTH], more: &[u64; WIDTH]) {
        for ((have, more), combine) in row.iter_mut().zip(more).zip(Self::COMBINE) {
            *have = match combine {
                Combine::Sum => have.saturating_add(*more),
                Combine::Latest => (*have).max(*more),
                Combine::Gauge => have.wrapping_add(*more),
            };
        }
    }
}

/// Counters alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums;

impl<const WIDTH: usize> Columns<WIDTH> for Sums {
    const COMBINE: [Combine; WIDTH] = [Combine::Sum; WIDTH];
}

/// See [`usage`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage;

impl Columns<8> for Usage {
    const COMBINE: [Combine; 8] = {
        let mut columns = [Combine::Sum; 8];
        columns[usage::LAST_MS] = Combine::Latest;
        columns
    };
}

/// See [`provider`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfProvider;

impl Columns<16> for OfProvider {
    const COMBINE: [Combine; 16] = {
        let mut columns = [Combine::Sum; 16];
        columns[provider::ACTIVE] = Combine::Gauge;
        columns
    };
}

/// Of a (provider, model, key), and of a client.
pub(crate) mod usage {
    pub(crate) const REQUESTS: usize = 0;
    pub(crate) const ERRORS: usize = 1;
    pub(crate) const INPUT: usize = 2;
    pub(crate) const OUTPUT: usize = 3;
    pub(crate) const CACHED_INPUT: usize = 4;
    pub(crate) const REASONING: usize = 5;
    pub(crate) const COST: usize = 6;
    /// Unix milliseconds.
    pub(crate) const LAST_MS: usize = 7;
}

/// Of the same, what most requests do not have.
pub(crate) mod rare {
    pub(crate) const CACHE_WRITE: usize = 0;
    pub(crate) const AUDIO_INPUT: usize = 1;
    pub(crate) const AUDIO_OUTPUT: usize = 2;
    pub(crate) const UNPRICED: usize = 3;
    pub(crate) const ESTIMATED: usize = 4;
    pub(crate) const MISSING: usize = 5;
    /// No provider did work, so there is no usage to have a source.
    pub(crate) const UNUSED: usize = 6;
}

/// Of a provider: an error count a type, then the gauge of requests under way.
pub(crate) mod provider {
    pub(crate) const ACTIVE: usize = 15;
}

/// Of a key or a client: refusals, by origin and limit.
pub(crate) mod limits {
    use crate::record::{Limit, Origin};

    pub(crate) const fn column(origin: Origin, limit: Limit) -> usize {
        2 * origin as usize + limit as usize
    }
}
