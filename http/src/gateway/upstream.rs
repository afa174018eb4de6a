//! Towards providers: addresses, connections, and the bodies that come back.

mod addresses;
mod body;
mod connect;
mod connection;
mod pool;
mod socket;

pub use addresses::AddressBook;
pub(crate) use body::UpstreamBody;
pub(crate) use pool::Pool;

use super::error::UpstreamFault;
use super::plan::{HttpTarget, ProviderPlan};
use crate::wire::http1::{BodyDecoder, Head};
use bytes::Bytes;
use connection::Fault;
use coo_llm_runtime::timeout;
use http::{Request, Response};
use hyper::ext::ReasonPhrase;
use pool::Lease;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

/// Sends a request to a provider, on a connection that is there or on a new one.
///
/// A connection that turns out closed before anything was sent is passed over; once
/// anything was sent, nothing is sent again.
pub(crate) async fn send(
    pool: &Rc<Pool>,
    provider: &ProviderPlan,
    target: &HttpTarget,
    addresses: &[SocketAddr],
    request: &Request<Bytes>,
) -> Result<Response<UpstreamBody>, UpstreamFault> {
    let wait = provider.timeouts.first_byte.min(provider.timeouts.total);
    while let Some(mut lease) = poll_fn(|cx| Poll::Ready(pool.take(cx))).await {
        match timeout(wait, lease.connection.exchange(request)).await {
            Err(_elapsed) => return Err(UpstreamFault::Timeout),
            Ok(Ok(head)) => return Ok(response(head, lease)),
            Ok(Err(Fault::Unsent(_))) => {}
            // Some of it may have been sent; what came was no answer, not a wrong one.
            Ok(Err(Fault::Broken(_))) => return Err(UpstreamFault::Stale),
            Ok(Err(fault @ Fault::Refused(_))) => return Err(broken(&fault)),
        }
    }
    // Boxed: it is rare, and as a part of each request's future it would be moved with it.
    let connecting = connect::connect(target, addresses);
    let connection = match Box::pin(timeout(provider.timeouts.connect, connecting)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(provider = %provider.id, %error, "cannot connect");
            return Err(UpstreamFault::Connect);
        }
        Err(_elapsed) => {
            tracing::debug!(provider = %provider.id, "no connection in time");
            return Err(UpstreamFault::Connect);
        }
    };
    let mut lease = Lease::new(connection, Rc::clone(pool));
    match timeout(wait, lease.connection.exchange(request)).await {
        Err(_elapsed) => Err(UpstreamFault::Timeout),
        Ok(Ok(head)) => Ok(response(head, lease)),
        Ok(Err(fault)) => Err(broken(&fault)),
    }
}

fn response(head: Head, lease: Lease) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::Http {
        decoder: BodyDecoder::new(head.framing),
        lease: Some(lease),
    });
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    if let Some(Ok(reason)) = head.reason.map(ReasonPhrase::try_from) {
        // As it was, to the client.
        response.extensions_mut().insert(reason);
    }
    response
}

fn broken(fault: &Fault) -> UpstreamFault {
    tracing::debug!(%fault, "the provider's answer breaks off or is no HTTP");
    UpstreamFault::Protocol
}
