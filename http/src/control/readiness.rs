//! `/health` and `/ready`.

use super::{Shared, answer};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use utoipa::ToSchema;

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

/// How it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// Of `/health`: `ok`. Of `/ready`: `ready`, `draining` or `not_configured`.
    status: &'static str,
}

/// The process serves.
#[utoipa::path(
    get, path = "/health", tag = "operations", security(()),
    responses((status = 200, description = "It does.", body = Status))
)]
pub(super) async fn health() -> Response {
    answer::value(&Status { status: "ok" })
}

/// Whether requests should come.
#[utoipa::path(
    get, path = "/ready", tag = "operations", security(()),
    responses(
        (status = 200, description = "They should.", body = Status),
        (status = 503, description = "They should not: it ends, or is not configured.", body = Status),
    )
)]
pub(super) async fn ready(shared: axum::extract::State<Arc<Shared>>) -> Response {
    let (code, status) = match shared.readiness.state() {
        State::Ready => (StatusCode::OK, "ready"),
        State::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        State::NotConfigured => (StatusCode::SERVICE_UNAVAILABLE, "not_configured"),
    };
    let mut response = answer::value(&Status { status });
    *response.status_mut() = code;
    response
}
