//! What the benches ask of a meter, ours or a peer.

use crate::pick::Pick;
use crate::tally::Tally;

/// A meter for one set of series.
pub trait Backend: Sync {
    /// What one thread records with.
    type Writer<'a>: Writer
    where
        Self: 'a;

    /// A writer, its series resolved as far as the backend can.
    fn writer(&self) -> Self::Writer<'_>;

    /// Everything that was recorded.
    fn tally(&self) -> Tally;

    /// Renders a page in place of what is in `page`.
    fn scrape(&self, page: &mut Vec<u8>);

    /// Work that the backend asks for from time to time, outside of records.
    fn upkeep(&self) {}
}

/// One thread's half.
pub trait Writer {
    /// The standard work.
    fn record(&mut self, pick: &Pick);

    /// The same for a client that was not there before.
    fn record_new_client(&mut self, pick: &Pick, name: &str);
}

/// What a bench does with each of several backends.
pub trait Visit {
    /// Does it with one; `make` makes it anew.
    fn one<B: Backend>(&mut self, name: &str, make: impl Fn() -> B);
}

/// Records a sequence and compares every total with the slow sum.
///
/// # Panics
/// Where they differ: then there is nothing to time.
pub fn check<B: Backend>(backend: &B, set: &crate::set::Set, picks: &[Pick]) {
    let mut writer = backend.writer();
    for pick in picks {
        writer.record(pick);
    }
    backend.upkeep();
    assert!(
        backend.tally() == Tally::of(set, picks),
        "{}: the backend's totals are not those of what was recorded",
        std::any::type_name::<B>()
    );
}
