//! A client's request, kept until it is answered: each attempt is made from it.

use crate::gateway::headers::{address, to_upstreams};
use crate::gateway::plan::{HttpTarget, KeyPlan, Kind, ModelPlan, ProviderPlan};
use crate::wire::envelope::Envelope;
use crate::wire::rewrite;
use crate::wire::sse::SseMode;
use bytes::Bytes;
use coo_llm_core::record::Endpoint;
use http::header::{HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri};
use http_body_util::Full;

/// See the module.
pub(super) struct Asked<'a> {
    uri: Uri,
    /// Those that go on to any provider.
    headers: HeaderMap,
    body: &'a Bytes,
    envelope: &'a Envelope<'a>,
    pub(super) endpoint: Endpoint,
    pub(super) request_id: HeaderValue,
}

/// An attempt, ready to go.
pub(super) struct Outgoing<'p> {
    pub(super) to: Recipient<'p>,
    /// How a stream that comes back is read.
    pub(super) mode: SseMode,
}

/// Who gets it, and what.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once; a box would be an allocation a request"
)]
pub(super) enum Recipient<'p> {
    Http(&'p HttpTarget, Request<Full<Bytes>>),
    Simulator(Bytes),
}

impl<'a> Asked<'a> {
    /// `envelope` is that of `body`.
    pub(super) fn new(
        head: Parts,
        body: &'a Bytes,
        envelope: &'a Envelope<'a>,
        endpoint: Endpoint,
        request_id: HeaderValue,
    ) -> Self {
        let Parts {
            uri, mut headers, ..
        } = head;
        to_upstreams(&mut headers, &request_id);
        Self {
            uri,
            headers,
            body,
            envelope,
            endpoint,
            request_id,
        }
    }

    /// Makes the request that this provider gets: the one place where providers differ
    /// in what they are sent.
    ///
    /// `is_last` says that no other attempt can follow, so that nothing need be kept.
    pub(super) fn outgoing<'p>(
        &mut self,
        provider: &'p ProviderPlan,
        model: &ModelPlan,
        key: &KeyPlan,
        is_last: bool,
    ) -> Outgoing<'p> {
        let is_completion = matches!(
            self.endpoint,
            Endpoint::ChatCompletions | Endpoint::Completions
        );
        let asks = is_completion && self.envelope.can_ask_usage();
        let mode = if asks {
            SseMode::HideUsage
        } else {
            SseMode::Observe
        };
        let body = rewrite(self.body, self.envelope, Some(&model.name), asks);
        let to = match &provider.kind {
            Kind::Simulator(_) => Recipient::Simulator(body),
            Kind::Http(target) => Recipient::Http(target, self.request(target, key, body, is_last)),
        };
        Outgoing { to, mode }
    }

    fn request(
        &mut self,
        target: &HttpTarget,
        key: &KeyPlan,
        body: Bytes,
        is_last: bool,
    ) -> Request<Full<Bytes>> {
        let mut headers = if is_last {
            std::mem::take(&mut self.headers)
        } else {
            self.headers.clone()
        };
        address(&mut headers, &target.authority, key.authorization.as_ref());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri(self.endpoint, self.uri.query());
        *request.headers_mut() = headers;
        request
    }
}
