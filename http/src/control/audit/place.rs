//! A request's place in the trail, from its arrival to its end.

use super::row::{Event, Note, Request, Row};
use super::{Message, Trail};
use coo_llm_runtime::unix_ms;
use std::time::Instant;
use tokio::sync::mpsc::OwnedPermit;

/// The row of a request in the making. It is written when this is dropped, whatever happens:
/// also where the client leaves before there is an answer.
#[derive(Debug)]
pub(in crate::control) struct Place {
    trail: Option<Trail>,
    permit: Option<OwnedPermit<Message>>,
    began: Instant,
    is_told: bool,
    request: Request,
}

impl Place {
    /// Takes a place. `request` is without its end.
    pub(in crate::control) fn take(trail: Option<&Trail>, request: Request) -> Self {
        Self {
            permit: trail.and_then(Trail::place),
            trail: trail.cloned(),
            began: Instant::now(),
            is_told: true,
            request,
        }
    }

    /// Whether the row has no place: then nothing may be changed.
    pub(in crate::control) const fn is_missing(&self) -> bool {
        self.trail.is_some() && self.permit.is_none()
    }

    /// Says who it was, or why it was refused.
    pub(in crate::control) fn note(&mut self, note: Note) {
        self.request.note = note;
    }

    /// Adds why it was refused.
    pub(in crate::control) const fn refuse(&mut self, reason: &'static str) {
        self.request.note.reason = Some(reason);
    }

    /// Who it was, as far as it is known.
    pub(in crate::control) fn actor(&self) -> Option<&str> {
        self.request.note.actor.as_deref()
    }

    /// Writes no row: there was one for the request before, which stands for this one too.
    pub(in crate::control) const fn fold(&mut self) {
        self.is_told = false;
    }

    /// What is known of the end of it.
    pub(in crate::control) const fn end(&mut self, status: u16) {
        self.request.status = Some(status);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(trail) = self.trail.take().filter(|_| self.is_told) else {
            return;
        };
        let ms = self.began.elapsed().as_millis();
        self.request.duration_ms = u64::try_from(ms).unwrap_or(u64::MAX);
        match self.permit.take() {
            Some(permit) => {
                let row = Row {
                    time_ms: unix_ms(),
                    event: Event::Request(self.request.clone()),
                };
                permit.send(Message::Row(Box::new(row)));
            }
            None => trail.lose(),
        }
    }
}
