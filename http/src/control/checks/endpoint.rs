//! The endpoint: 200 while requests are answered, 503 where they are not.

use super::{Checks, Health, PATH, Status};
use crate::control::{Shared, answer};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;
use std::time::SystemTime;

/// Whether what the gateway needs is there, looked at now or in the last five seconds.
#[utoipa::path(
    get, path = PATH, tag = "operations",
    responses(
        (status = 200, description = "`ok`, or `degraded`: something is wrong, and requests are \
                                      answered.", body = Health),
        (status = 503, description = "`down`: every provider or every worker is.", body = Health),
    )
)]
pub(in crate::control) async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let up = SystemTime::now().duration_since(shared.started);
    let checks: &Arc<Checks> = shared
        .checks
        .as_ref()
        .expect("the route is there with them");
    let health = checks.look(up.unwrap_or_default().as_secs()).await;
    let status = match health.status {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::to_vec(&*health).expect("answers have string keys");
    answer::json(status, body)
}
