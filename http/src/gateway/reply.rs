//! The body of an answer to a client.

use super::error::UpstreamFault;
use super::relay::Relay;
use super::server::Watch;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

#[derive(Debug)]
enum Content {
    Whole(Option<Bytes>),
    Relay(Box<Relay>),
}

/// Bytes that are there, or that pass through.
///
/// When it is dropped the connection waits for its next request.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    content: Content,
    /// The length, where it is known before the body is.
    bytes: Option<u64>,
    watch: Option<Rc<Watch>>,
}

impl ReplyBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        Self {
            content: Content::Whole(Some(bytes)),
            bytes: length,
            watch: None,
        }
    }

    pub(crate) fn relay(relay: Relay, bytes: Option<u64>) -> Self {
        Self {
            content: Content::Relay(Box::new(relay)),
            bytes,
            watch: None,
        }
    }

    pub(crate) fn watched(mut self, watch: Rc<Watch>) -> Self {
        self.watch = Some(watch);
        self
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = UpstreamFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamFault>>> {
        Poll::Ready(match &mut self.content {
            Content::Whole(bytes) => bytes
                .take()
                .filter(|bytes| !bytes.is_empty())
                .map(|bytes| Ok(Frame::data(bytes))),
            Content::Relay(relay) => ready!(relay.poll_data(cx)).map(|data| data.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Content::Relay(relay) => relay.is_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Relay(_) => self
                .bytes
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.answered();
        }
    }
}
