//! The endpoints of clients: `/admin/v1/clients` and what is below it.

use super::answer::{ClientChanged, ClientGiven, ClientList, ClientShown, RotationGiven};
use super::roster::ClientOrder;
use crate::control::Shared;
use crate::control::answer::{self, ErrorAnswer};
use crate::control::config::{Body, Order, text};
use crate::control::questions::NoAnswer;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use coo_llm_core::UnixMillis;
use http::StatusCode;
use std::collections::HashMap;
use std::sync::Arc;

pub(in crate::control) const PATH: &str = "/admin/v1/clients";
pub(in crate::control) const LIST: &str = "/admin/v1/clients/list";
pub(in crate::control) const ONE: &str = "/admin/v1/clients/{id}";
pub(in crate::control) const ROTATE: &str = "/admin/v1/clients/{id}/rotate";

/// The id in a path, or why it is none.
type Id = Result<Path<String>, PathRejection>;

fn no_text() -> Response {
    answer::bad_request("The id in the path is not UTF-8.")
}

impl Shared {
    /// When clients last asked for something: by the history, or without one since the start.
    async fn last_used(&self) -> Result<HashMap<Arc<str>, UnixMillis>, NoAnswer> {
        match self
            .questions
            .ask(|history, now| Ok(history.last_requests(now)))
            .await
        {
            Err(NoAnswer::Off) => Ok(self.last_used_since_start()),
            other => other,
        }
    }

    fn last_used_since_start(&self) -> HashMap<Arc<str>, UnixMillis> {
        let catalog = self.meter.catalog();
        self.meter.read(|snapshot| {
            let clients = catalog.clients();
            let used = clients.filter_map(|(id, name)| {
                Some((Arc::from(name), snapshot.client(id).last_request?))
            });
            used.collect()
        })
    }

    async fn client_order(&self, order: ClientOrder, status: StatusCode) -> Response {
        if !self.roster.can_change() {
            let message =
                "Clients can only be changed with a data folder: server.data_dir is none.";
            return answer::admin_error(StatusCode::SERVICE_UNAVAILABLE, "store_error", message);
        }
        self.ordered_as(Order::Client(order), status).await
    }
}

/// Makes a client. Every worker knows it when the answer comes.
#[utoipa::path(
    post, path = PATH, tag = "clients",
    request_body(content = ClientGiven, description = "The client; `client_id` is needed."),
    responses(
        (status = 201, description = "It is made.", body = ClientChanged),
        (status = 400, description = "The body is wrong; nothing has changed.", body = ErrorAnswer),
        (status = 409, description = "There is one of this id, or the key is another's.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn create(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    match text(body) {
        Ok(text) => {
            let order = ClientOrder::Create(text.unwrap_or_default());
            shared.client_order(order, StatusCode::CREATED).await
        }
        Err(response) => *response,
    }
}

/// The clients, those of the file first.
#[utoipa::path(
    get, path = LIST, tag = "clients",
    responses((status = 200, description = "All of them.", body = ClientList))
)]
pub(in crate::control) async fn list(State(shared): State<Arc<Shared>>) -> Response {
    let last_used = match shared.last_used().await {
        Ok(last_used) => last_used,
        Err(error) => return error.response(),
    };
    let roster = shared.roster.current();
    let clients = roster.listed().map(|listed| {
        let last = last_used.get(&*listed.client.id).copied();
        ClientShown::new(listed, last)
    });
    answer::value(&ClientList {
        clients: clients.collect(),
    })
}

/// A client.
#[utoipa::path(
    get, path = ONE, tag = "clients",
    params(("id" = String, Path, description = "The client's id.")),
    responses(
        (status = 200, description = "The client.", body = ClientShown),
        (status = 400, description = "The id is no text.", body = ErrorAnswer),
        (status = 404, description = "There is none of this id.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn one(State(shared): State<Arc<Shared>>, id: Id) -> Response {
    let Ok(Path(id)) = id else { return no_text() };
    let roster = shared.roster.current();
    let Some(listed) = roster.find(&id) else {
        return unknown(&id);
    };
    match shared.last_used().await {
        Ok(last_used) => answer::value(&ClientShown::new(listed, last_used.get(&*id).copied())),
        Err(error) => error.response(),
    }
}

/// Gives an order that a body is part of; an empty one is none.
async fn change(
    shared: &Shared,
    body: Body,
    order: impl FnOnce(String) -> ClientOrder,
) -> Response {
    match text(body) {
        Ok(text) => {
            let order = order(text.unwrap_or_default());
            shared.client_order(order, StatusCode::OK).await
        }
        Err(response) => *response,
    }
}

fn unknown(id: &str) -> Response {
    let id = crate::control::parameters::quoted(id);
    let message = format!("There is no client `{id}`.");
    answer::admin_error(StatusCode::NOT_FOUND, "not_found", &message)
}

/// Changes a client: what the body names. One of the file goes by this from now on.
#[utoipa::path(
    put, path = ONE, tag = "clients",
    params(("id" = String, Path, description = "The client's id.")),
    request_body(content = ClientGiven, description = "What changes; what is left out stays."),
    responses(
        (status = 200, description = "It is changed.", body = ClientChanged),
        (status = 400, description = "The body is wrong; nothing has changed.", body = ErrorAnswer),
        (status = 404, description = "There is none of this id.", body = ErrorAnswer),
        (status = 409, description = "The key is another's.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn update(
    State(shared): State<Arc<Shared>>,
    id: Id,
    body: Body,
) -> Response {
    let Ok(Path(id)) = id else { return no_text() };
    change(&shared, body, |text| ClientOrder::Update(id, text)).await
}

/// Deletes a client: its keys work no more when the answer comes. Its numbers stay.
#[utoipa::path(
    delete, path = ONE, tag = "clients",
    params(("id" = String, Path, description = "The client's id.")),
    responses(
        (status = 200, description = "It is deleted.", body = ClientChanged),
        (status = 400, description = "The id is no text.", body = ErrorAnswer),
        (status = 404, description = "There is none of this id.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn delete(State(shared): State<Arc<Shared>>, id: Id) -> Response {
    let Ok(Path(id)) = id else { return no_text() };
    let order = ClientOrder::Delete(id);
    shared.client_order(order, StatusCode::OK).await
}

/// Gives a client another key; those before go on to work for a while.
#[utoipa::path(
    post, path = ROTATE, tag = "clients",
    params(("id" = String, Path, description = "The client's id.")),
    request_body(content = Option<RotationGiven>, description = "It may be empty."),
    responses(
        (status = 200, description = "The next key works.", body = ClientChanged),
        (status = 400, description = "The body is wrong; nothing has changed.", body = ErrorAnswer),
        (status = 404, description = "There is none of this id.", body = ErrorAnswer),
        (status = 409, description = "The key is another's, or too many old ones still work.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn rotate(
    State(shared): State<Arc<Shared>>,
    id: Id,
    body: Body,
) -> Response {
    let Ok(Path(id)) = id else { return no_text() };
    change(&shared, body, |text| ClientOrder::Rotate(id, text)).await
}
