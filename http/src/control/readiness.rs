//! `/health` and `/ready`.

use super::{Shared, answer};
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Whether requests should come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not yet: nothing is configured.
    NotConfigured,
    /// Yes.
    Ready,
    /// No more: the process ends.
    Draining,
}

/// The state, shared by those who set it and `/ready`. Clones share it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Begins in a state.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self(Arc::new(AtomicU8::new(state as u8)))
    }

    /// Sets the state.
    pub fn set(&self, state: State) {
        // Relaxed: nothing else is published with it.
        self.0.store(state as u8, Ordering::Relaxed);
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        match self.0.load(Ordering::Relaxed) {
            n if n == State::NotConfigured as u8 => State::NotConfigured,
            n if n == State::Ready as u8 => State::Ready,
            _ => State::Draining,
        }
    }
}

pub(super) async fn health() -> Response {
    answer::json(StatusCode::OK, r#"{"status":"ok"}"#)
}

pub(super) async fn ready(shared: axum::extract::State<Arc<Shared>>) -> Response {
    let unready = StatusCode::SERVICE_UNAVAILABLE;
    match shared.readiness.state() {
        State::Ready => answer::json(StatusCode::OK, r#"{"status":"ready"}"#),
        State::Draining => answer::json(unready, r#"{"status":"draining"}"#),
        State::NotConfigured => answer::json(unready, r#"{"status":"not_configured"}"#),
    }
}
