//! Puts together what goes to the client, and copies only where it must.

use bytes::{Bytes, BytesMut};

use super::Verdict;

/// The bytes to forward: what was built, then a run of the chunk as it is.
#[derive(Debug)]
pub(super) struct Output {
    built: BytesMut,
    run_start: usize,
    run_end: usize,
    is_discarded: bool,
}

impl Output {
    pub(super) fn collect() -> Self {
        Self {
            built: BytesMut::new(),
            run_start: 0,
            run_end: 0,
            is_discarded: false,
        }
    }

    /// For a stream that passes as it is.
    pub(super) fn discard() -> Self {
        Self {
            is_discarded: true,
            ..Self::collect()
        }
    }

    /// Forwards a range of the chunk; ranges come in order.
    pub(super) fn keep(&mut self, chunk: &[u8], start: usize, end: usize) {
        if self.is_discarded {
            return;
        }
        if start != self.run_end {
            // Behind a gap: the run so far is copied, and a new one begins.
            self.built
                .extend_from_slice(&chunk[self.run_start..self.run_end]);
            self.run_start = start;
        }
        self.run_end = end;
    }

    /// Forwards bytes of earlier chunks; they come before any of this chunk.
    pub(super) fn carried(&mut self, bytes: &[u8]) {
        if !self.is_discarded {
            self.built.extend_from_slice(bytes);
        }
    }

    /// Forwards bytes of its own behind the run so far, which is copied.
    fn put(&mut self, chunk: &[u8], bytes: &[u8]) {
        self.built
            .extend_from_slice(&chunk[self.run_start..self.run_end]);
        self.run_start = self.run_end;
        self.built.extend_from_slice(bytes);
    }

    /// Forwards what the verdict leaves of an event that lies in the chunk.
    pub(super) fn apply(&mut self, chunk: &[u8], start: usize, end: usize, verdict: Verdict) {
        match verdict {
            Verdict::Keep => self.keep(chunk, start, end),
            Verdict::Drop => {}
            Verdict::Cut(span) => {
                self.keep(chunk, start, start + span.start);
                self.keep(chunk, start + span.end, end);
            }
            Verdict::Replace(bytes) => self.put(chunk, &bytes),
        }
    }

    /// Forwards what the verdict leaves of an event that began in an earlier chunk.
    pub(super) fn apply_carried(&mut self, event: &[u8], verdict: Verdict) {
        match verdict {
            Verdict::Keep => self.carried(event),
            Verdict::Drop => {}
            Verdict::Cut(span) => {
                self.carried(&event[..span.start]);
                self.carried(&event[span.end..]);
            }
            Verdict::Replace(bytes) => self.carried(&bytes),
        }
    }

    pub(super) fn into_bytes(mut self, chunk: &Bytes) -> Bytes {
        let run = self.run_start..self.run_end;
        if self.built.is_empty() {
            return chunk.slice(run);
        }
        self.built.extend_from_slice(&chunk[run]);
        self.built.freeze()
    }
}
