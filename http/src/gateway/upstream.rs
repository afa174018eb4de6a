//! Towards providers: addresses, connections, and the bodies that come back.

mod addresses;
mod body;
mod connect;
mod pool;

pub use addresses::AddressBook;
pub(crate) use body::UpstreamBody;
pub(crate) use pool::{Lease, Pool};

use super::error::UpstreamFault;
use super::plan::{HttpTarget, ProviderPlan};
use bytes::Bytes;
use coo_llm_runtime::timeout;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::rc::Rc;

/// Sends a request to a provider, on a connection that is there or on a new one.
///
/// A connection that turns out closed before anything was sent is passed over; once
/// anything was sent, nothing is sent again.
pub(crate) async fn send(
    pool: &Rc<Pool>,
    provider: &ProviderPlan,
    target: &HttpTarget,
    addresses: &[SocketAddr],
    mut request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, Lease), UpstreamFault> {
    let wait = provider.timeouts.first_byte.min(provider.timeouts.total);
    while let Some(mut lease) = pool.take() {
        match timeout(wait, lease.sender().try_send_request(request)).await {
            Err(_elapsed) => return Err(UpstreamFault::Timeout),
            Ok(Ok(response)) => return Ok((response, lease)),
            Ok(Err(mut error)) => match error.take_message() {
                Some(unsent) => request = unsent,
                // Some of it may have been sent; what came was no answer, not a wrong one.
                None if !error.error().is_parse() => return Err(UpstreamFault::Stale),
                None => return Err(broken(error.error())),
            },
        }
    }
    // Boxed: it is rare, and as a part of each request's future it would be moved with it.
    let connecting = connect::connect(pool, target, addresses);
    let mut lease = match Box::pin(timeout(provider.timeouts.connect, connecting)).await {
        Ok(Ok(lease)) => lease,
        Ok(Err(error)) => {
            tracing::debug!(provider = %provider.id, %error, "cannot connect");
            return Err(UpstreamFault::Connect);
        }
        Err(_elapsed) => {
            tracing::debug!(provider = %provider.id, "no connection in time");
            return Err(UpstreamFault::Connect);
        }
    };
    match timeout(wait, lease.sender().try_send_request(request)).await {
        Err(_elapsed) => Err(UpstreamFault::Timeout),
        Ok(Ok(response)) => Ok((response, lease)),
        Ok(Err(error)) => Err(broken(error.error())),
    }
}

fn broken(error: &hyper::Error) -> UpstreamFault {
    tracing::debug!(%error, "the provider's answer breaks off or is no HTTP");
    UpstreamFault::Protocol
}
