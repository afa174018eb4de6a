//! `ingest`: records of other gateways, and for how long their ids are remembered.

use crate::reader::Section;
use crate::scalar::{integer, positive_duration};
use std::time::Duration;

/// Ids of a few full requests.
const IDS_MIN: u64 = 100_000;
/// 20 GB of memory.
const IDS_MAX: u64 = 1_000_000_000;

/// The `ingest` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// How long an id is remembered, at least, while there is room.
    pub dedup_window: Duration,
    /// How many ids are remembered, at most; about 20 bytes each.
    pub dedup_max_ids: u64,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            dedup_window: Duration::from_secs(3600),
            dedup_max_ids: 4_000_000,
        }
    }
}

impl Ingest {
    pub(crate) fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let ids = integer(IDS_MIN, IDS_MAX);
        Self {
            dedup_window: s.value("dedup_window", default.dedup_window, positive_duration),
            dedup_max_ids: s.value("dedup_max_ids", default.dedup_max_ids, ids),
        }
    }
}
