//! A worker's place at the limiter.

use super::window::SLOT_MS;

/// The right to write one worker's words, in every [`Window`](super::Window) and
/// [`Spending`](super::Spending) of a process. It is not `Clone`, and writing takes it
/// by `&mut`: a word has one writer.
#[derive(Debug)]
pub struct Seat {
    index: usize,
    /// The slot of the latest time that this worker was told.
    slot: u64,
}

impl Seat {
    /// The seats of a process with so many workers, one each. Call it once for all
    /// windows that are used together.
    #[must_use]
    pub fn all(workers: usize) -> Vec<Self> {
        (0..workers).map(|index| Self { index, slot: 0 }).collect()
    }

    /// The worker's index.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The slot of a time; one that lies before an earlier one counts as that.
    pub(super) fn slot(&mut self, now_ms: u64) -> u64 {
        self.slot = self.slot.max(now_ms / SLOT_MS);
        self.slot
    }
}
