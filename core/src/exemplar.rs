//! Exemplars: requests that stand for what happened in a latency histogram.
//!
//! The first request that falls into an octave of cells after a reading is kept with its id, so each reading brings fresh ones, and a record that is not
//! the first in its octave pays nothing for it.

use crate::histogram::Layout;
use crate::units::{Micros, UnixMillis};
use std::collections::BTreeMap;

/// Bytes of a request id that are kept; a longer one makes no exemplar. OpenMetrics
/// allows 128 characters for all labels of an exemplar together.
pub const REQUEST_ID_BYTES_MAX: usize = 40;
/// Cells of an exemplar: value, time, the id, its length.
pub(crate) const WIDTH: usize = 8;
const VALUE: usize = 0;
const AT: usize = 1;
const ID: usize = 2;
const LENGTH: usize = 7;
const _: () = assert!((LENGTH - ID) * 8 == REQUEST_ID_BYTES_MAX);

/// A request that fell into a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The upper bound of its classic bucket; `None` is `+Inf`.
    pub bound: Option<Micros>,
    /// Its latency.
    pub value: Micros,
    /// When it ended.
    pub at: UnixMillis,
    id: [u8; REQUEST_ID_BYTES_MAX],
    length: u8,
}

impl Exemplar {
    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        // Ids come in as `str` and whole.
        std::str::from_utf8(&self.id[..usize::from(self.length)]).unwrap_or_default()
    }

    fn new(layout: &Layout, cells: &[u64; WIDTH]) -> Self {
        let value = Micros(cells[VALUE]);
        let bounds = layout.bounds();
        let at = bounds.partition_point(|bound| *bound < value.0);
        let mut id = [0; REQUEST_ID_BYTES_MAX];
        for (bytes, cell) in id.chunks_exact_mut(8).zip(&cells[ID..LENGTH]) {
            bytes.copy_from_slice(&cell.to_le_bytes());
        }
        Self {
            bound: bounds.get(at).map(|bound| Micros(*bound)),
            value,
            at: UnixMillis(cells[AT]),
            id,
            length: cells[LENGTH].min(REQUEST_ID_BYTES_MAX as u64) as u8,
        }
    }
}

/// The cells of an exemplar; `None` where the id is empty or too long.
pub(crate) fn pack(value: Micros, at: UnixMillis, request_id: &str) -> Option<[u64; WIDTH]> {
    let mut bytes = [0; REQUEST_ID_BYTES_MAX];
    bytes
        .get_mut(..request_id.len())?
        .copy_from_slice(request_id.as_bytes());
    if request_id.is_empty() {
        return None;
    }
    let mut cells = [0; WIDTH];
    cells[VALUE] = value.0;
    cells[AT] = at.0;
    cells[LENGTH] = request_id.len() as u64;
    for (cell, bytes) in cells[ID..LENGTH].iter_mut().zip(bytes.as_chunks::<8>().0) {
        *cell = u64::from_le_bytes(*bytes);
    }
    Some(cells)
}

/// The latest exemplar of each octave of each series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exemplars(BTreeMap<u32, [u64; WIDTH]>);

impl Exemplars {
    pub(crate) fn add(&mut self, octave: u32, cells: &[u64; WIDTH]) {
        let have = self.0.entry(octave).or_insert(*cells);
        if cells[AT] > have[AT] {
            *have = *cells;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (octave, cells) in &other.0 {
            self.add(*octave, cells);
        }
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let is_new =
            |(octave, cells): &(&u32, &[u64; WIDTH])| earlier.0.get(*octave) != Some(*cells);
        Self(
            self.0
                .iter()
                .filter(is_new)
                .map(|(octave, cells)| (*octave, *cells))
                .collect(),
        )
    }

    /// The latest of each classic bucket, ascending, of the series with these octaves.
    pub(crate) fn of(&self, layout: &Layout, octaves: std::ops::Range<u32>) -> Vec<Exemplar> {
        let mut found: Vec<Exemplar> = Vec::new();
        for cells in self.0.range(octaves).map(|(_, cells)| cells) {
            let exemplar = Exemplar::new(layout, cells);
            match found.last_mut().filter(|last| last.bound == exemplar.bound) {
                Some(last) if last.at < exemplar.at => *last = exemplar,
                Some(_) => {}
                None => found.push(exemplar),
            }
        }
        found
    }
}
