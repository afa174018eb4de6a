//! `GET /admin/v1/openapi.json`: OpenAPI 3.1 of the control plane, made of the types that
//! answer and of what stands at their handlers.
//!
//! A handler's `#[utoipa::path]` says what it alone knows: its parameters, its answer, and
//! the statuses that are its own. What the gate can answer to any request is added here.
//! A test compares paths and methods with those of the router, both ways.

use super::answer::ErrorAnswer;
use super::usage::{client, clients, global, own, provider, series, stats};
use super::{
    Shared, answer, audit, auth, checks, client_health, clients as managed, config, gate,
    readiness, scrape,
};
use auth::{login, session};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, Type};

pub(super) const PATH: &str = "/admin/v1/openapi.json";

/// Where the metrics endpoint stands in [`Document`], wherever it really is.
const METRICS: &str = "/metrics";

/// Every endpoint. One that is not always there is taken out by [`document`].
#[derive(OpenApi)]
#[openapi(
    info(
        title = "coo-llm: operations and admin API",
        description = "Each path under `/admin` is under `/api/admin` too, and `/api/login` is \
                       `/admin/login`. Times are unix seconds, windows half-open; latencies are \
                       milliseconds, costs USD, exact to the nano-USD; what is not known is null.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        readiness::health,
        readiness::ready,
        scrape::metrics,
        own::usage,
        login::login,
        session::logout,
        session::session,
        audit::endpoint::audit,
        config::show,
        config::put,
        config::validate,
        config::put_policy,
        series::series,
        client::client,
        provider::provider,
        global::global,
        stats::stats,
        clients::clients,
        checks::endpoint::health,
        client_health::client_health,
        managed::endpoint::create,
        managed::endpoint::list,
        managed::endpoint::one,
        managed::endpoint::update,
        managed::endpoint::delete,
        managed::endpoint::rotate,
        openapi,
    ),
    components(schemas(ErrorAnswer))
)]
struct Document;

/// What a gateway has of it.
pub(super) struct Parts<'a> {
    /// The path of the metrics endpoint, if there is one.
    pub(super) metrics: Option<&'a str>,
    /// Whether somebody follows orders about the configuration.
    pub(super) has_config: bool,
    /// Whether somebody looks at what the gateway needs.
    pub(super) has_checks: bool,
}

/// The whole document.
pub(super) fn document(parts: &Parts<'_>) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let paths = &mut document.paths.paths;
    if !parts.has_config {
        for path in [config::PATH, config::VALIDATE, config::POLICY] {
            paths.remove(path);
        }
        paths.remove(managed::endpoint::ROTATE);
        for path in [managed::endpoint::PATH, managed::endpoint::ONE] {
            if let Some(item) = paths.get_mut(path) {
                (item.put, item.post, item.delete) = (None, None, None);
            }
        }
        paths.retain(|_, item| operations(item).next().is_some());
    }
    if !parts.has_checks {
        paths.remove(checks::PATH);
    }
    if let Some(item) = paths.remove(METRICS)
        && let Some(path) = parts.metrics
    {
        paths.insert(path.to_owned(), item);
    }
    for (path, item) in paths.iter_mut().filter(|(path, _)| gate::is_admin(path)) {
        for (is_safe, operation) in operations(item) {
            add_gate(path, is_safe, operation);
        }
    }
    let components = document.components.get_or_insert_default();
    for (name, description, has_wait) in RESPONSES {
        let mut response = ResponseBuilder::new()
            .description(*description)
            .content("application/json", error_content());
        if *has_wait {
            let schema = utoipa::openapi::ObjectBuilder::new().schema_type(Type::Integer);
            let header = HeaderBuilder::new()
                .schema(Some(schema))
                .description(Some("Seconds to wait."))
                .build();
            response = response.header("retry-after", header);
        }
        let response = RefOr::T(response.build());
        components.responses.insert((*name).to_owned(), response);
    }
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    components.add_security_scheme(
        "cookie",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(auth::COOKIE))),
    );
    document
}

fn error_content() -> utoipa::openapi::Content {
    ContentBuilder::new()
        .schema(Some(RefOr::<utoipa::openapi::Schema>::Ref(
            Ref::from_schema_name("Error"),
        )))
        .build()
}

/// Answers that any request to the admin API may get: name, what it says, whether it may have
/// `Retry-After`.
const RESPONSES: &[(&str, &str, bool)] = &[
    (
        "Unauthorized",
        "Neither the admin key nor a valid token.",
        false,
    ),
    (
        "Forbidden",
        "The role does not cover it, or a page's session has no CSRF token.",
        false,
    ),
    (
        "TooManyRequests",
        "Too many requests from this address.",
        true,
    ),
    (
        "Unavailable",
        "The control plane or a store it needs takes no requests now; nothing was changed.",
        true,
    ),
    (
        "TooLarge",
        "The body is larger than the control plane takes.",
        false,
    ),
];

/// The operations of a path, and whether they change nothing.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem {
        get,
        put,
        post,
        delete,
        ..
    } = item;
    [(true, get), (false, put), (false, post), (false, delete)]
        .into_iter()
        .filter_map(|(is_safe, operation)| Some((is_safe, operation.as_mut()?)))
}

/// What the gate answers before a handler is asked.
fn add_gate(path: &str, is_safe: bool, operation: &mut Operation) {
    let responses: &mut BTreeMap<_, _> = &mut operation.responses.responses;
    let mut add = |status: &str, name: &str| {
        let response = RefOr::Ref(Ref::from_response_name(name));
        responses.entry(status.to_owned()).or_insert(response);
    };
    add("401", "Unauthorized");
    add("429", "TooManyRequests");
    add("503", "Unavailable");
    if !is_safe {
        add("413", "TooLarge");
    }
    if path == login::PATH {
        return;
    }
    if !is_safe {
        add("403", "Forbidden");
    }
    operation.security = Some(vec![
        SecurityRequirement::new("bearer", Vec::<String>::new()),
        SecurityRequirement::new("cookie", Vec::<String>::new()),
    ]);
}

/// The document as it is served.
pub(super) fn text(parts: &Parts<'_>) -> Bytes {
    let text = serde_json::to_vec(&document(parts)).expect("a document has string keys");
    Bytes::from(text)
}

/// This document.
#[utoipa::path(
    get, path = PATH, tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object))
)]
pub(super) async fn openapi(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(http::StatusCode::OK, shared.document.clone())
}
