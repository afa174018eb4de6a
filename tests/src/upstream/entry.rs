//! One request's line in the ledger, kept up to date until its response is dropped.

use super::ledger::{End, Served, Shared, TokenCounts, Totals};

/// Writes one request into the ledger. What was not finished when this is
/// dropped was cut by the peer.
pub(super) struct Entry {
    shared: Shared,
    /// Place in `Ledger::served`; `None` where only totals are kept.
    index: Option<usize>,
    served: Served,
}

impl Entry {
    pub(super) fn open(shared: Shared, served: Served, keep_each: bool) -> Self {
        let index = keep_each.then(|| {
            let mut ledger = shared.lock();
            ledger.served.push(served.clone());
            ledger.served.len() - 1
        });
        shared.changed();
        Self {
            shared,
            index,
            served,
        }
    }

    fn mirror(&self, change: impl FnOnce(&mut Served)) {
        if let Some(index) = self.index {
            change(&mut self.shared.lock().served[index]);
            self.shared.changed();
        }
    }

    pub(super) fn answered(&mut self, status: u16, chunks_planned: u32) {
        self.served.status = status;
        self.served.chunks_planned = chunks_planned;
        self.mirror(|s| (s.status, s.chunks_planned) = (status, chunks_planned));
    }

    pub(super) fn delivered(&mut self, bytes: &[u8], chunks: u32, tokens: Option<TokenCounts>) {
        self.served.tokens = tokens;
        self.mirror(|s| {
            s.chunks_delivered = chunks;
            s.tokens = tokens;
            s.sent.extend_from_slice(bytes);
        });
    }

    /// The same piece once more.
    pub(super) fn flooded(&mut self, bytes: &[u8]) {
        self.mirror(|s| s.sent.extend_from_slice(bytes));
    }

    /// Says how it ended; the first word counts.
    pub(super) fn end(&mut self, end: End) {
        if self.served.end == End::Open {
            self.served.end = end;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(End::CutByPeer);
        let end = self.served.end;
        let served = &mut self.served;
        let route = (
            std::mem::take(&mut served.model),
            std::mem::take(&mut served.key),
            served.kind,
            served.status,
        );
        let mut ledger = self.shared.lock();
        if let Some(index) = self.index {
            ledger.served[index].end = end;
        }
        let totals: &mut Totals = ledger.totals.entry(route).or_default();
        totals.requests += 1;
        totals.tokens += served.tokens.unwrap_or_default();
        drop(ledger);
        self.shared.changed();
    }
}
