//! The meter in a gateway of your own: axum on tokio's threads, one handler that asks a model,
//! and `/metrics` in every format.
//!
//! ```text
//! cargo run -p coo-llm-exporters --example axum_gateway
//! curl -s http://127.0.0.1:3906/chat -H 'x-client: me' -H 'content-type: application/json' \
//!   -d '{"model":"echo-small","prompt":"What does it cost to say this back?"}'
//! curl -s http://127.0.0.1:3906/metrics | grep -E '^coo_llm_(requests|tokens|cost)_total.*echo-small'
//! ```
//!
//! [`desks`] gives each thread its writer, [`settlement`] makes the one record of a request,
//! and [`model`] stands for the call to a provider. Those three are what a gateway has to have.
#![expect(clippy::print_stdout, reason = "says where it listens")]

mod desks;
mod model;
mod settlement;
#[cfg(test)]
mod tests;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use coo_llm_core::catalog::{NONE, Route};
use coo_llm_core::price::{PriceError, Prices, TokenPrice};
use coo_llm_core::record::{ErrorType, Outcome};
use coo_llm_core::{Meter, UnixMillis};
use coo_llm_exporters::prometheus::negotiation;
use coo_llm_exporters::prometheus::{Extra, Namespace, Renderer, process};
use desks::Desks;
use serde::{Deserialize, Serialize};
use settlement::Settlement;
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::runtime;

/// Label sets of each kind; what comes later counts as `other`.
const SERIES_MAX: u32 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let gateway = Arc::new(Gateway::new()?);
    let threads = runtime::Builder::new_multi_thread().enable_io().build()?;
    threads.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:3906").await?;
        println!("http://{}/chat and /metrics", listener.local_addr()?);
        serve(listener, router(gateway)).await?;
        Ok(())
    })
}

/// What all handlers share.
struct Gateway {
    meter: Meter,
    desks: Desks,
    /// The models that can be asked for: ids are looked up once, here.
    models: HashMap<&'static str, (Route, Prices)>,
    /// For requests that reach no model.
    nowhere: Route,
    renderer: Mutex<Renderer>,
}

impl Gateway {
    fn new() -> Result<Self, PriceError> {
        let meter = Meter::new(SERIES_MAX);
        let mut models = HashMap::new();
        for (model, input, output) in [("echo-small", "0.15", "0.60"), ("echo-large", "3", "15")] {
            let prices = Prices {
                input: TokenPrice::parse_usd_per_million(input)?,
                output: TokenPrice::parse_usd_per_million(output)?,
                ..Prices::default()
            };
            // The third label is a public id of the provider's key, never the key.
            let route = meter.catalog().route("echo", model, "echo-1f3a9c02");
            models.insert(model, (route, prices));
        }
        let nowhere = meter.catalog().route(NONE, NONE, NONE);
        Ok(Self {
            desks: Desks::new(meter.clone()),
            models,
            nowhere,
            renderer: Mutex::new(Renderer::new(Namespace::default(), now())),
            meter,
        })
    }
}

fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/chat", post(chat))
        .route("/metrics", get(metrics))
        .with_state(gateway)
}

#[derive(Deserialize)]
struct Question {
    model: String,
    prompt: String,
}

#[derive(Serialize)]
struct Answer {
    text: String,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: f64,
}

async fn chat(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    question: Result<Json<Question>, JsonRejection>,
) -> Response {
    let client = headers.get("x-client").and_then(|id| id.to_str().ok());
    // From here on the request counts, however it ends.
    let mut settlement = Settlement::begin(&gateway, client.unwrap_or(NONE));
    let Json(question) = match question {
        Ok(question) => question,
        Err(why) => {
            settlement.failed(ErrorType::InvalidRequest);
            return why.into_response();
        }
    };
    let Some((route, prices)) = gateway.models.get(&*question.model) else {
        settlement.failed(ErrorType::InvalidRequest);
        return (StatusCode::NOT_FOUND, "no such model\n").into_response();
    };
    settlement.sent_to(*route);
    match model::ask(&question.prompt).await {
        Ok((text, tokens)) => {
            let cost = prices.cost(&tokens);
            settlement.answered(tokens, cost);
            Json(Answer {
                text,
                input_tokens: tokens.input,
                output_tokens: tokens.output,
                cost_usd: cost.as_usd_f64(),
            })
            .into_response()
        }
        Err(model::Overloaded) => {
            settlement.refused_by_provider(ErrorType::Upstream5xx, Outcome::Upstream5xx);
            (StatusCode::BAD_GATEWAY, "the model is overloaded\n").into_response()
        }
    }
}

async fn metrics(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(ACCEPT).iter();
    let (format, content_type) =
        negotiation::format(accept.filter_map(|value| value.to_str().ok()));
    // A page of many series takes milliseconds: not on a thread that answers requests.
    let page = tokio::task::spawn_blocking(move || {
        let mut extras = process::families();
        extras.push(Extra::build_info(&[("version", env!("CARGO_PKG_VERSION"))]));
        // What a panic left is labels, each whole.
        let renderer = gateway.renderer.lock();
        let mut renderer = renderer.unwrap_or_else(PoisonError::into_inner);
        let mut page = Vec::new();
        gateway.meter.read(|snapshot| {
            let catalog = gateway.meter.catalog();
            renderer.render(format, snapshot, catalog, &extras, &mut page);
        });
        page
    });
    match page.await {
        Ok(page) => ([(CONTENT_TYPE, content_type)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The core has no clock: time is an argument.
fn now() -> UnixMillis {
    // A clock before 1970 is as good as 1970.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    UnixMillis(u64::try_from(millis).unwrap_or(u64::MAX))
}
