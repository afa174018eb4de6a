//! The body of a provider's answer, whoever the provider is.

use super::pool::Lease;
use crate::gateway::error::UpstreamFault;
use crate::gateway::simulated::SimBody;
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

#[derive(Debug)]
pub(crate) enum UpstreamBody {
    Http {
        incoming: Incoming,
        lease: Option<Lease>,
    },
    Simulated(SimBody),
}

impl UpstreamBody {
    /// The next bytes; `None` at the end, after which the connection is free again.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, UpstreamFault>>> {
        let (incoming, lease) = match self {
            Self::Simulated(body) => return body.poll_data(cx).map(|data| data.map(Ok)),
            Self::Http { incoming, lease } => (incoming, lease),
        };
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => Some(Ok(data)),
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => {
                    tracing::debug!(%error, "a provider's answer broke off");
                    lease.take();
                    Some(Err(UpstreamFault::Protocol))
                }
                None => {
                    if let Some(lease) = lease.take() {
                        lease.give_back();
                    }
                    None
                }
            });
        }
    }

    /// The length, where it was announced.
    pub(crate) fn exact_bytes(&self) -> Option<u64> {
        match self {
            Self::Http { incoming, .. } => incoming.size_hint().exact(),
            Self::Simulated(body) => body.exact_bytes(),
        }
    }
}
