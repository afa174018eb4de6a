//! The configuration over the admin API: asked for, checked, put in the place of the one
//! in use.
//!
//! What it means to use a configuration is not known here: each request becomes an
//! [`Order`] to who does, one after the other.

use super::{Shared, answer};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub(super) const PATH: &str = "/admin/v1/config";
pub(super) const VALIDATE: &str = "/admin/v1/config/validate";
pub(super) const POLICY: &str = "/admin/v1/config/policy";

/// Orders that may wait: a person or a script gives them, and each takes moments.
const WAITING_MAX: usize = 8;

/// What is to be done with the configuration.
#[derive(Clone, PartialEq, Eq)]
pub enum Order {
    /// Show the one in use, secrets masked.
    Show,
    /// Use this text, or the file again where there is none.
    Use(Option<String>),
    /// Say what is wrong with this text, or with the file.
    Validate(Option<String>),
    /// Use this text in the place of `policy`.
    UsePolicy(String),
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may have secrets in it.
        f.write_str(match self {
            Self::Show => "Show",
            Self::Use(_) => "Use",
            Self::Validate(_) => "Validate",
            Self::UsePolicy(_) => "UsePolicy",
        })
    }
}

/// Why an order was not followed: nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRefused {
    /// The configuration is wrong, in these ways.
    Invalid(Vec<String>),
    /// It is sound, and changes what only a restart can.
    NeedsRestart(Vec<String>),
}

/// An order, and where its answer is awaited: the JSON to answer with.
#[derive(Debug)]
pub struct Ordered {
    /// What is to be done.
    pub order: Order,
    /// Where the answer goes; who asked may be gone.
    pub answer: oneshot::Sender<Result<Value, OrderRefused>>,
}

/// Takes orders to who follows them. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Ordered>);

impl Orders {
    /// A queue, and its end.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Ordered>) {
        let (orders, end) = mpsc::channel(WAITING_MAX);
        (Self(orders), end)
    }

    /// Gives an order and waits for its answer; `None` where none comes: too many wait,
    /// or the process ends.
    pub async fn give(&self, order: Order) -> Option<Result<Value, OrderRefused>> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Ordered { order, answer }).ok()?;
        answered.await.ok()
    }
}

impl Shared {
    async fn ordered(&self, order: Order) -> Response {
        let given = match &self.config {
            Some(orders) => orders.give(order).await,
            None => None,
        };
        match given {
            Some(Ok(value)) => answer::value(&value),
            Some(Err(OrderRefused::Invalid(errors))) => {
                let message = "The configuration is wrong; nothing has changed.";
                refused(StatusCode::BAD_REQUEST, "invalid_config", message, &errors)
            }
            Some(Err(OrderRefused::NeedsRestart(errors))) => {
                let message =
                    "The configuration changes what needs a restart; nothing has changed.";
                refused(StatusCode::CONFLICT, "restart_needed", message, &errors)
            }
            None => answer::unavailable("The configuration is busy; try again.")
                .map(axum::body::Body::from),
        }
    }
}

fn refused(status: StatusCode, kind: &'static str, message: &str, errors: &[String]) -> Response {
    let error = serde_json::json!({"message": message, "type": kind, "errors": errors});
    answer::json(status, serde_json::json!({ "error": error }).to_string())
}

/// A body, or why there is none.
type Body = Result<Bytes, BytesRejection>;

/// The body as text: none where it is empty.
fn text(body: Body) -> Result<Option<String>, Box<Response>> {
    let body = body.map_err(|why| {
        let kind = "invalid_request_error";
        Box::new(answer::admin_error(why.status(), kind, &why.body_text()))
    })?;
    let text = std::str::from_utf8(&body).map_err(|_| {
        let errors = ["the body is not UTF-8".to_owned()];
        let message = "The configuration is wrong; nothing has changed.";
        let status = StatusCode::BAD_REQUEST;
        Box::new(refused(status, "invalid_config", message, &errors))
    })?;
    let is_empty = text.trim_ascii().is_empty();
    Ok((!is_empty).then(|| text.to_owned()))
}

pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    shared.ordered(Order::Show).await
}

pub(super) async fn put(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    match text(body) {
        Ok(text) => shared.ordered(Order::Use(text)).await,
        Err(response) => *response,
    }
}

pub(super) async fn validate(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    match text(body) {
        Ok(text) => shared.ordered(Order::Validate(text)).await,
        Err(response) => *response,
    }
}

pub(super) async fn put_policy(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    match text(body) {
        Ok(text) => {
            let text = text.unwrap_or_default();
            shared.ordered(Order::UsePolicy(text)).await
        }
        Err(response) => *response,
    }
}
