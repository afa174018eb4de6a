//! The configuration over the admin API: asked for, checked, put in the place of the one
//! in use.
//!
//! What it means to use a configuration is not known here: each request becomes an
//! [`Order`] to who does, one after the other.

use super::answer::ErrorAnswer;
use super::clients::{ClientChanged, ClientOrder};
use super::{Shared, answer};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

pub(super) const PATH: &str = "/admin/v1/config";
pub(super) const VALIDATE: &str = "/admin/v1/config/validate";
pub(super) const POLICY: &str = "/admin/v1/config/policy";

/// Orders that may wait: as many as the control thread works on at the same time.
const WAITING_MAX: usize = 32;

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
    /// Make, change or delete a client.
    Client(ClientOrder),
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may have secrets in it.
        f.write_str(match self {
            Self::Show => "Show",
            Self::Use(_) => "Use",
            Self::Validate(_) => "Validate",
            Self::UsePolicy(_) => "UsePolicy",
            Self::Client(_) => "Client",
        })
    }
}

/// What came of an order, and the answer to who gave it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Followed {
    /// The configuration in use, secrets masked.
    Shown(Value),
    /// Another one is in use.
    Reloaded(Reloaded),
    /// What is wrong with one.
    Checked(Checked),
    /// Another policy is in use.
    Policy(PolicyInUse),
    /// A client was made, changed or deleted.
    Client(ClientChanged),
}

/// Another configuration is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// `ok`.
    pub status: &'static str,
    /// Whether it is in use on every worker.
    pub reloaded: bool,
    /// Where it came from: `request` or `file`.
    pub source: String,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Checked {
    /// Whether it could be used.
    pub valid: bool,
    /// Each fault, with its place.
    pub errors: Vec<String>,
    /// Of a valid one: what it changes that needs a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_needed: Option<Vec<String>>,
}

/// Another policy is in use.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PolicyInUse {
    /// That it is.
    pub message: String,
    /// The policy, whole.
    #[schema(value_type = Object)]
    pub policy: Value,
}

/// Why an order was not followed: nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRefused {
    /// The configuration is wrong, in these ways.
    Invalid(Vec<String>),
    /// It is sound, and changes what only a restart can.
    NeedsRestart(Vec<String>),
    /// There is no such client.
    Unknown(String),
    /// There is one already, or its key is another's.
    Conflict(String),
    /// It cannot be written down.
    Store(String),
    /// It is written down, and not yet in use everywhere: the one case in which something
    /// has changed.
    Late(String),
}

/// An order, and where its answer is awaited.
#[derive(Debug)]
pub struct Ordered {
    /// What is to be done.
    pub order: Order,
    /// Where the answer goes; who asked may be gone.
    pub answer: oneshot::Sender<Result<Followed, OrderRefused>>,
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
    pub async fn give(&self, order: Order) -> Option<Result<Followed, OrderRefused>> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Ordered { order, answer }).ok()?;
        answered.await.ok()
    }
}

impl Shared {
    async fn ordered(&self, order: Order) -> Response {
        self.ordered_as(order, StatusCode::OK).await
    }

    /// Has an order followed; where it is, the answer has this status.
    pub(super) async fn ordered_as(&self, order: Order, status: StatusCode) -> Response {
        let what = if matches!(order, Order::Client(_)) {
            "request"
        } else {
            "configuration"
        };
        let given = match &self.config {
            Some(orders) => orders.give(order).await,
            None => None,
        };
        match given {
            Some(Ok(followed)) => {
                let mut response = answer::value(&followed);
                *response.status_mut() = status;
                response
            }
            Some(Err(refused)) => refused.response(what),
            None => answer::unavailable("The configuration is busy; try again.")
                .map(axum::body::Body::from),
        }
    }
}

impl OrderRefused {
    /// The answer to who gave the order; `what` is what was wrong then.
    fn response(&self, what: &str) -> Response {
        match self {
            Self::Invalid(errors) => {
                let kind = if what == "request" {
                    "invalid_request_error"
                } else {
                    "invalid_config"
                };
                let message = format!("The {what} is wrong; nothing has changed.");
                answer::admin_errors(StatusCode::BAD_REQUEST, kind, &message, errors)
            }
            Self::NeedsRestart(errors) => {
                let message =
                    "The configuration changes what needs a restart; nothing has changed.";
                answer::admin_errors(StatusCode::CONFLICT, "restart_needed", message, errors)
            }
            Self::Unknown(message) => {
                answer::admin_error(StatusCode::NOT_FOUND, "not_found", message)
            }
            Self::Conflict(message) => {
                answer::admin_error(StatusCode::CONFLICT, "conflict", message)
            }
            Self::Store(message) | Self::Late(message) => {
                answer::admin_error(StatusCode::SERVICE_UNAVAILABLE, "store_error", message)
            }
        }
    }
}

/// A body, or why there is none.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// The body as text: none where it is empty.
pub(super) fn text(body: Body) -> Result<Option<String>, Box<Response>> {
    let body = body.map_err(|why| {
        let kind = "invalid_request_error";
        Box::new(answer::admin_error(why.status(), kind, &why.body_text()))
    })?;
    let text = std::str::from_utf8(&body).map_err(|_| {
        let errors = ["the body is not UTF-8".to_owned()];
        let message = "The configuration is wrong; nothing has changed.";
        let status = StatusCode::BAD_REQUEST;
        Box::new(answer::admin_errors(
            status,
            "invalid_config",
            message,
            &errors,
        ))
    })?;
    let is_empty = text.trim_ascii().is_empty();
    Ok((!is_empty).then(|| text.to_owned()))
}

/// The configuration in use, secrets masked.
#[utoipa::path(
    get, path = PATH, tag = "config",
    responses((status = 200, description = "As the file has it.", body = Object))
)]
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    shared.ordered(Order::Show).await
}

/// Puts a configuration in the place of the one in use, whole or not at all.
#[utoipa::path(
    post, path = PATH, tag = "config",
    request_body(
        content = Option<Value>, content_type = "application/yaml",
        description = "A whole configuration; an empty body reads the file again."
    ),
    responses(
        (status = 200, description = "It is in use.", body = Reloaded),
        (status = 400, description = "It is wrong; nothing has changed.", body = ErrorAnswer),
        (status = 409, description = "It changes what needs a restart; nothing has changed.", body = ErrorAnswer),
    )
)]
pub(super) async fn put(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    match text(body) {
        Ok(text) => shared.ordered(Order::Use(text)).await,
        Err(response) => *response,
    }
}

/// Says what is wrong with a configuration.
#[utoipa::path(
    post, path = VALIDATE, tag = "config",
    request_body(
        content = Option<Value>, content_type = "application/yaml",
        description = "A whole configuration; an empty body means the file."
    ),
    responses(
        (status = 200, description = "What is wrong with it.", body = Checked),
        (status = 400, description = "It is no text.", body = ErrorAnswer),
    )
)]
pub(super) async fn validate(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    match text(body) {
        Ok(text) => shared.ordered(Order::Validate(text)).await,
        Err(response) => *response,
    }
}

/// Puts a policy in the place of the one in use.
#[utoipa::path(
    put, path = POLICY, tag = "config",
    request_body(
        content = Value, content_type = "application/yaml",
        description = "The mapping `policy` of the configuration."
    ),
    responses(
        (status = 200, description = "It is in use.", body = PolicyInUse),
        (status = 400, description = "It is wrong; nothing has changed.", body = ErrorAnswer),
        (status = 409, description = "It changes what needs a restart; nothing has changed.", body = ErrorAnswer),
    )
)]
pub(super) async fn put_policy(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    match text(body) {
        Ok(Some(text)) => shared.ordered(Order::UsePolicy(text)).await,
        Ok(None) => answer::bad_request("The body is empty: send the mapping `policy`."),
        Err(response) => *response,
    }
}
