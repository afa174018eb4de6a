//! The metrics endpoint.

use super::answer::ErrorAnswer;
use super::{Metrics, Shared, answer, encoding, lock};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use coo_llm_core::{Micros, UnixMillis};
use coo_llm_exporters::prometheus::{Extra, Format, Renderer, negotiation, process};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What is kept from scrape to scrape.
pub(super) struct Scraper {
    renderer: Renderer,
    build: Extra,
    /// The last page: its memory is used again once its reader is done.
    page: Bytes,
    last: Option<Micros>,
}

impl Scraper {
    pub(super) fn new(metrics: &Metrics, started: SystemTime) -> Self {
        // A clock before 1970 is as good as 1970.
        let started = started
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let started = UnixMillis(u64::try_from(started.as_millis()).unwrap_or(u64::MAX));
        let facts: Vec<_> = metrics
            .build
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Self {
            renderer: Renderer::new(metrics.namespace.clone(), started)
                .native_histograms(metrics.native_histograms),
            build: Extra::build_info(&facts),
            page: Bytes::new(),
            last: None,
        }
    }

    fn page(&mut self, shared: &Shared, format: Format) -> Bytes {
        let began = Instant::now();
        let mut extras = (shared.extras)();
        extras.extend(process::families());
        extras.extend(shared.own_families());
        extras.push(self.build.clone());
        extras.push(Extra::scrape_duration(self.last));
        let last = std::mem::take(&mut self.page);
        let mut page = if last.is_unique() {
            Vec::from(last)
        } else {
            Vec::with_capacity(last.len())
        };
        shared.meter.read(|snapshot| {
            let catalog = shared.meter.catalog();
            self.renderer
                .render(format, snapshot, catalog, &extras, &mut page);
        });
        self.page = Bytes::from(page);
        self.last = Some(Micros::from(began.elapsed()));
        self.page.clone()
    }
}

/// The metrics page, in the format that `Accept` asks for.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (
            status = 200, description = "The page.",
            content(
                (String = "text/plain"),
                (String = "application/openmetrics-text"),
                (String = "application/vnd.google.protobuf"),
            )
        ),
        (
            status = 401, body = ErrorAnswer,
            description = "`server.metrics_auth` is `bearer` and the admin key is missing or wrong."
        ),
    )
)]
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some((_, scraper)) = &shared.metrics else {
        unreachable!("the route is there only with its endpoint");
    };
    if shared.auth.metrics_need_key() && !shared.admits_key(&headers) {
        return answer::unauthorized(false);
    }
    let (format, content_type) = negotiation::format(texts(&headers, ACCEPT));
    let wanted = negotiation::encoding(texts(&headers, ACCEPT_ENCODING), &encoding::OFFERED);
    let page = lock(scraper).page(&shared, format);
    let (body, encoding) = encoding::encode(page, wanted).await;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.append(VARY, HeaderValue::from(ACCEPT));
    headers.append(VARY, HeaderValue::from(ACCEPT_ENCODING));
    if let Some(encoding) = encoding.content_encoding() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// The values of all headers of a name; one that is no text says nothing.
fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok())
}
