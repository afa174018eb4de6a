//! How a request is answered, from its arrival to the body that goes back.

use super::Desk;
use super::asked::Asked;
use crate::control::{Caller, USAGE};
use crate::gateway::dialect::{self, Hearing};
use crate::gateway::error::{Refusal, UpstreamFault, of_status};
use crate::gateway::headers::{X_COO_COST_USD, X_REQUEST_ID, client_key, to_client};
use crate::gateway::limits::{Moment, Standing};
use crate::gateway::models;
use crate::gateway::paths::Target;
use crate::gateway::relay::{Patience, Relay};
use crate::gateway::reply::ReplyBody;
use crate::gateway::server::Watch;
use crate::gateway::settlement::{Seen, Settlement, Unsettled};
use crate::gateway::upstream::UpstreamBody;
use crate::wire::envelope::Envelope;
use crate::wire::gemini::request::output_tokens_max;
use crate::wire::openai_error::ErrorKind;
use crate::wire::request_id::RequestId;
use bytes::{Bytes, BytesMut};
use coo_llm_core::NanoUsd;
use coo_llm_core::record::{Endpoint, ErrorType};
use coo_llm_exporters::decimal::push_usd;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// A JSON answer up to this size is read before its headers go out, so that they can
/// carry its cost; a larger one passes as it comes, without that header.
const PRICED_ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// An answer that is translated is read whole; the longest that a model writes today has
/// half a megabyte.
const TRANSLATED_ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The largest request body that the control plane gets.
const CONTROL_BODY_BYTES_MAX: usize = 1024 * 1024;

pub(super) type Reply = Response<ReplyBody>;

/// A request to a model whose head is whole: its record is made from here on, whatever happens.
#[derive(Debug)]
pub(crate) struct Begun {
    settlement: Settlement,
    /// Who asks; `None` where the path is none, or the method is another one.
    client: Option<Result<usize, ErrorKind>>,
}

/// What a path is asked with.
fn allowed(target: &Target<'_>) -> Option<Method> {
    match target {
        Target::Forward(_) | Target::Generate(..) => Some(Method::POST),
        Target::Models | Target::Model(_) | Target::Usage => Some(Method::GET),
        Target::Unknown | Target::Ingest | Target::Control => None,
    }
}

impl Desk {
    /// Begins a request, at once: hyper drops what it has called and not looked at yet where
    /// the client closes in the same moment, and the record is made by that drop then.
    /// `None` where it is no request to a model.
    pub(crate) fn begin(
        self: &Rc<Self>,
        request: &Request<Incoming>,
        watch: &Watch,
    ) -> Option<Begun> {
        let target = Target::of(request.uri().path());
        let endpoint = match target {
            Target::Control | Target::Ingest => return None,
            Target::Forward(endpoint) | Target::Generate(endpoint, _) => endpoint,
            Target::Models | Target::Model(_) => Endpoint::Models,
            Target::Usage => Endpoint::Usage,
            Target::Unknown => Endpoint::Other,
        };
        let header = request.headers().get(X_REQUEST_ID);
        let request_id = self.request_id(header.map(HeaderValue::as_bytes));
        let mut settlement = Unsettled::new(Rc::clone(self), endpoint, request_id);
        let is_asked_so = allowed(&target).is_some_and(|method| method == *request.method());
        let client = is_asked_so.then(|| self.client(request.headers(), watch));
        if let Some(Ok(client)) = client {
            settlement.of_client(client);
        }
        Some(Begun { settlement, client })
    }

    /// Answers one request; `begun` is what [`begin`](Self::begin) made of it.
    pub(crate) async fn answer(
        self: &Rc<Self>,
        request: Request<Incoming>,
        begun: Option<Begun>,
        peer: SocketAddr,
        watch: &Watch,
    ) -> Reply {
        let (parts, body) = request.into_parts();
        let target = Target::of(parts.uri.path());
        let Some(Begun { settlement, client }) = begun else {
            if target == Target::Ingest {
                return self.ingest(parts, body, watch).await;
            }
            return self.hand_over(parts, body, peer).await;
        };
        let client = match client {
            Some(Ok(client)) => client,
            Some(Err(kind)) => return refuse(settlement, &Refusal::new(kind)),
            None => return refused_method(settlement, allowed(&target)),
        };
        match target {
            Target::Models => {
                let list = models::list(&self.plan, &self.plan.clients[client]);
                json_reply(settlement, list)
            }
            Target::Model(id) => {
                match models::one(&self.plan, &self.plan.clients[client], &percent_decoded(id)) {
                    Some(model) => json_reply(settlement, model),
                    None => {
                        let body = ErrorKind::model_not_found(id);
                        refuse(
                            settlement,
                            &Refusal::with_body(ErrorKind::ModelNotFound, body),
                        )
                    }
                }
            }
            Target::Usage => self.own_usage(parts, client, settlement, peer).await,
            Target::Generate(_, model) => {
                let model = Some(percent_decoded(model));
                self.forward(parts, body, model, client, settlement, watch)
                    .await
            }
            Target::Forward(_) | Target::Unknown | Target::Ingest | Target::Control => {
                self.forward(parts, body, None, client, settlement, watch)
                    .await
            }
        }
    }

    /// Who asks, by the place in the plan. A connection's key is hashed once.
    pub(super) fn client(&self, headers: &HeaderMap, watch: &Watch) -> Result<usize, ErrorKind> {
        let refused = |kind| {
            self.count(self.plan.no_one.key_refused);
            kind
        };
        let key = client_key(headers).ok_or_else(|| refused(ErrorKind::ApiKeyMissing))?;
        let holder = match watch.client_of(key, self.plan.number) {
            Some(holder) => holder,
            None => {
                let digest: [u8; 32] = Sha256::digest(key).into();
                let holder = self.plan.client(&digest);
                let holder = holder.ok_or_else(|| refused(ErrorKind::ApiKeyInvalid))?;
                watch.remember(key, self.plan.number, holder);
                holder
            }
        };
        // Only a key that was rotated has an end, and only for it a clock is read.
        if !holder.holds(|| self.unix_millis(Instant::now())) {
            return Err(refused(ErrorKind::ApiKeyInvalid));
        }
        self.count(self.plan.no_one.key_accepted);
        Ok(holder.client)
    }

    /// Reads the body, decides where it goes, and has it delivered. `model` is what the
    /// path names; else the body does.
    async fn forward(
        &self,
        head: Parts,
        body: Incoming,
        model: Option<String>,
        client: usize,
        mut settlement: Settlement,
        watch: &Watch,
    ) -> Reply {
        watch.reads_body();
        let body = match collect(body, self.plan.body_bytes_max).await {
            Ok(body) => body,
            Err(refusal) => return refuse(settlement, &refusal),
        };
        watch.works();
        let endpoint = settlement.endpoint();
        let envelope = match model {
            Some(model) => {
                // Only limits ask, and they are worth a pass over the body.
                let most = self.limits.reserves_for(client);
                let most = most.then(|| output_tokens_max(&body)).flatten();
                let is_stream = endpoint == Endpoint::StreamGenerateContent;
                Ok(Envelope::of_path(model, is_stream, most))
            }
            None => Envelope::parse(&body),
        };
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(error) => {
                let body = ErrorKind::invalid_envelope(&error);
                let refusal = Refusal::with_body(ErrorKind::InvalidRequest, body);
                return refuse(settlement, &refusal);
            }
        };
        settlement.asked(body.len(), envelope.stream);
        let choice = match self
            .plan
            .resolve(&envelope.model, &self.plan.clients[client], endpoint)
        {
            Ok(choice) => choice,
            Err(refusal) => return refuse(settlement, &refusal),
        };
        let mut standing = Standing::default();
        let sizes = (&envelope, body.len());
        if let Err(refusal) = self.admit(client, &choice, sizes, &mut settlement, &mut standing) {
            let mut reply = refuse(settlement, &refusal);
            standing.put(reply.headers_mut());
            return reply;
        }
        let asked = Asked::new(
            head,
            &body,
            &envelope,
            endpoint,
            header_value(settlement.request_id()),
            self.fixtures.unix_seconds(),
        );
        let mut reply = self.deliver(asked, choice, client, settlement).await;
        standing.put(reply.headers_mut());
        reply
    }

    /// Passes a provider's answer on; a short JSON answer is read first, for its cost.
    pub(super) async fn relay(
        &self,
        response: Response<UpstreamBody>,
        provider: usize,
        hearing: Hearing,
        mut settlement: Settlement,
        request_id: &HeaderValue,
    ) -> Reply {
        let (mut head, mut body) = response.into_parts();
        let error = of_status(head.status.as_u16());
        settlement.answered(head.status.as_u16(), error);
        let stream_reader = hearing.stream_reader(&head.headers);
        to_client(&mut head.headers, request_id);
        let timeouts = &self.plan.providers[provider].timeouts;
        let mut patience = Patience::new(
            timeouts.idle,
            timeouts.total.saturating_sub(settlement.tried_for()),
        );
        if let Some(reader) = stream_reader.filter(|_| error.is_none()) {
            if hearing.changes_stream() {
                // The length is not known once something is changed.
                head.headers.remove(CONTENT_LENGTH);
            }
            let bytes = body.exact_bytes().filter(|_| !hearing.changes_stream());
            let relay = Relay::new(body, None, reader, settlement, patience);
            let relay = relay.of_bytes(bytes);
            return Response::from_parts(head, ReplyBody::relay(relay, bytes));
        }
        let bytes = body.exact_bytes();
        let mut reader = hearing.reader(&head.headers);
        let mut kept = BytesMut::new();
        let bytes_max = if hearing.translates() {
            TRANSLATED_ANSWER_BYTES_MAX
        } else {
            PRICED_ANSWER_BYTES_MAX
        };
        let mut is_over = bytes.is_some_and(|bytes| bytes > bytes_max);
        let whole = loop {
            if is_over && hearing.translates() {
                settlement.seen(Seen {
                    answer_bytes: kept.len() as u64,
                    ..Seen::default()
                });
                settlement.upstream_ended();
                return refuse(settlement, &UpstreamFault::Protocol.refusal());
            }
            if is_over {
                let first = Some(kept.freeze()).filter(|first| !first.is_empty());
                let relay = Relay::new(body, first, reader, settlement, patience);
                let relay = relay.of_bytes(bytes);
                return Response::from_parts(head, ReplyBody::relay(relay, bytes));
            }
            let next = poll_fn(|cx| {
                let next = body.poll_data(cx);
                if next.is_pending() && patience.poll_is_over(cx) {
                    return std::task::Poll::Ready(Some(Err(UpstreamFault::Timeout)));
                }
                next
            });
            match next.await {
                Some(Ok(data)) => {
                    patience.renew();
                    let (data, _) = reader.push(data);
                    if kept.is_empty() && bytes == Some(data.len() as u64) {
                        // The usual answer is one frame, and needs no copy.
                        break data;
                    }
                    kept.extend_from_slice(&data);
                    if bytes == Some(kept.len() as u64) {
                        break kept.freeze();
                    }
                    is_over = kept.len() as u64 > bytes_max;
                }
                Some(Err(fault)) => {
                    settlement.seen(Seen {
                        answer_bytes: kept.len() as u64,
                        ..Seen::default()
                    });
                    settlement.upstream_ended();
                    return refuse(settlement, &fault.refusal());
                }
                None => break kept.freeze(),
            }
        };
        // The end itself, so that the connection is free again.
        while let Some(Ok(_)) = poll_fn(|cx| body.poll_data(cx)).await {}
        let (seen, fault) = reader.conclude();
        let has_usage = seen.usage.tokens().is_some();
        if error.is_none() || has_usage {
            settlement.seen(seen);
        }
        settlement.upstream_ended();
        let Some(whole) = hearing.told(&mut head, whole, error.is_some()) else {
            return refuse(settlement, &UpstreamFault::Protocol.refusal());
        };
        if let Some(cost) = settlement.cost().filter(|_| error.is_none()) {
            head.headers.insert(X_COO_COST_USD, usd(cost));
        }
        settlement.finish(error.or(fault));
        Response::from_parts(head, ReplyBody::whole(whole))
    }

    /// Lets the control plane say what the client used: it has the history. What is left of
    /// limits and budget is known here.
    async fn own_usage(
        &self,
        parts: Parts,
        client: usize,
        settlement: Settlement,
        peer: SocketAddr,
    ) -> Reply {
        let now = settlement.arrived();
        let at = Moment {
            now,
            wall: self.unix_millis(now),
        };
        let caller = Caller {
            client: Arc::clone(&self.plan.clients[client].id),
            account: self.limits.account(client, at),
        };
        let uri = match parts.uri.query() {
            Some(query) => format!("{USAGE}?{query}"),
            None => USAGE.to_owned(),
        };
        // Nothing else of the request concerns the control plane, least of all its key.
        let request = Request::get(uri).extension(caller).body(Bytes::new());
        let request = request.expect("a query that came in is one that may go on");
        let answer = self.fixtures.handover.call(request, peer).await;
        let mut reply = answer.map(ReplyBody::whole);
        let id = header_value(settlement.request_id());
        reply.headers_mut().insert(X_REQUEST_ID, id);
        let error = match reply.status().as_u16() {
            ..400 => None,
            400..500 => Some(ErrorType::InvalidRequest),
            _ => Some(ErrorType::Internal),
        };
        settlement.end_with(reply.status().as_u16(), error);
        reply
    }

    /// Lets the control plane answer.
    async fn hand_over(&self, parts: Parts, body: Incoming, peer: SocketAddr) -> Reply {
        let path = parts.uri.path();
        if self.fixtures.is_control_apart && path != "/health" && path != "/ready" {
            return own_reply(
                ErrorKind::UnknownEndpoint,
                ErrorKind::UnknownEndpoint.body(),
            );
        }
        let body = match collect(body, CONTROL_BODY_BYTES_MAX).await {
            Ok(body) => body,
            Err(refusal) => return own_reply(refusal.kind, refusal.body),
        };
        let request = Request::from_parts(parts, body);
        self.fixtures
            .handover
            .call(request, peer)
            .await
            .map(ReplyBody::whole)
    }
}

pub(super) fn too_large(bytes_max: usize) -> Refusal {
    let message = format!("The request body is larger than {bytes_max} bytes.");
    Refusal::with_body(
        ErrorKind::BodyTooLarge,
        ErrorKind::BodyTooLarge.body_with(&message, None),
    )
}

/// A whole body, within its bound.
async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Refusal> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if expected > bytes_max {
        return Err(too_large(bytes_max));
    }
    let mut first = Bytes::new();
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broken = |_| {
            let message = "The request body broke off.";
            Refusal::with_body(
                ErrorKind::InvalidRequest,
                ErrorKind::InvalidRequest.body_with(message, None),
            )
        };
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        if first.is_empty() && kept.is_empty() {
            first = data; // The usual body is one frame, and needs no copy.
        } else {
            if kept.is_empty() {
                kept.reserve(expected.max(first.len() + data.len()));
                kept.extend_from_slice(&first);
            }
            kept.extend_from_slice(&data);
        }
        if first.len().max(kept.len()) > bytes_max {
            return Err(too_large(bytes_max));
        }
    }
    Ok(if kept.is_empty() {
        first
    } else {
        kept.freeze()
    })
}

pub(super) fn refuse(settlement: Settlement, refusal: &Refusal) -> Reply {
    let body = dialect::in_the_shape_of(settlement.endpoint(), refusal);
    let mut reply = own_reply(refusal.kind, body);
    reply
        .headers_mut()
        .insert(X_REQUEST_ID, header_value(settlement.request_id()));
    settlement.refuse(refusal);
    reply
}

fn json_reply(settlement: Settlement, body: Bytes) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(body));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_REQUEST_ID, header_value(settlement.request_id()));
    settlement.finish_with(200);
    reply
}

pub(super) fn own_reply(kind: ErrorKind, body: Bytes) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(body));
    *reply.status_mut() = StatusCode::from_u16(kind.status()).expect("kinds have valid statuses");
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, json);
    reply
}

pub(super) fn header_value(request_id: &RequestId) -> HeaderValue {
    HeaderValue::from_bytes(request_id.as_bytes()).expect("an id is visible ASCII")
}

/// A cost in USD, exact: nine decimals at most.
fn usd(cost: NanoUsd) -> HeaderValue {
    /// Digits of [`u64::MAX`], and a point.
    const LENGTH_MAX: usize = 21;
    let mut text = Vec::with_capacity(LENGTH_MAX);
    push_usd(&mut text, cost);
    HeaderValue::from_bytes(&text).expect("digits and a point")
}

/// A path segment without its percent signs; what is no UTF-8 then stays as it was.
/// A path that is none, or one that is asked with another method.
fn refused_method(settlement: Settlement, allowed: Option<Method>) -> Reply {
    let Some(allowed) = allowed else {
        return refuse(settlement, &Refusal::new(ErrorKind::UnknownEndpoint));
    };
    let mut reply = refuse(settlement, &Refusal::new(ErrorKind::MethodNotAllowed));
    let allow = HeaderValue::from_str(allowed.as_str()).expect("a method is ASCII");
    reply.headers_mut().insert(ALLOW, allow);
    reply
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_written_exactly() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (370_000, "0.00037"),
            (1_500_000_000, "1.5"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(usd(NanoUsd(nano)).to_str().ok(), Some(text));
        }
    }

    #[test]
    fn a_models_name_is_decoded_once() {
        assert_eq!(percent_decoded("org%2Fm%3A1"), "org/m:1");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%2541"), "%zz%41");
        assert_eq!(percent_decoded("%ff"), "%ff");
    }
}
