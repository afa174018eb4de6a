//! How a provider's answer is read, and what the client gets of it.

use crate::gateway::relay::Reader;
use crate::wire::UsageDialect;
use crate::wire::sse::{SseMode, SseUsage};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::response::Parts;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hearing {
    /// It passes as it is.
    Pass(UsageDialect),
    /// Without the usage that only the gateway asked for.
    HideUsage,
    /// It passes; a stream of it is one JSON array, unless it is an event stream.
    Elements,
    /// The client gets it in another language.
    Translated {
        by: &'static Translation,
        wish: Wish,
    },
}

/// What a client wishes of a translation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Whether a stream shall end with its usage.
    pub(crate) include_usage: bool,
    /// When the answer was made, for those that carry it.
    pub(crate) created_unix_s: u64,
}

/// From a provider's language into that of the client's request.
#[derive(Debug)]
pub(crate) struct Translation {
    /// The language of the provider's usage.
    pub(crate) usage: UsageDialect,
    /// The reader of a stream that forwards it translated.
    pub(crate) stream: fn(Wish) -> SseUsage,
    /// A whole answer; `None` if it is none.
    pub(crate) answer: fn(&[u8], Wish) -> Option<Bytes>,
    /// An error answer, with its status.
    pub(crate) error: fn(u16, &[u8]) -> (u16, Bytes),
}

impl Hearing {
    /// The reader of a stream; `None` if the answer is none.
    pub(crate) fn stream_reader(self, headers: &HeaderMap) -> Option<Reader> {
        if !is_event_stream(headers) {
            return matches!(self, Self::Elements).then(Reader::elements);
        }
        Some(Reader::sse(match self {
            Self::Pass(dialect) => SseUsage::of(dialect),
            Self::HideUsage => SseUsage::new(SseMode::HideUsage),
            Self::Elements => SseUsage::of(UsageDialect::Gemini),
            Self::Translated { by, wish } => (by.stream)(wish),
        }))
    }

    /// The reader of a whole answer.
    pub(crate) fn reader(self, headers: &HeaderMap) -> Reader {
        Reader::json(self.dialect(), headers.contains_key(CONTENT_ENCODING))
    }

    /// Whether a stream has other bytes when it comes to the client.
    pub(crate) const fn changes_stream(self) -> bool {
        matches!(self, Self::HideUsage | Self::Translated { .. })
    }

    /// Whether a whole answer must be there before the client gets any of it.
    pub(crate) const fn translates(self) -> bool {
        matches!(self, Self::Translated { .. })
    }

    /// A whole answer as the client gets it; `None` if it is none that can be translated.
    pub(crate) fn told(self, head: &mut Parts, whole: Bytes, is_error: bool) -> Option<Bytes> {
        let Self::Translated { by, wish } = self else {
            return Some(whole);
        };
        let status = head.status.as_u16();
        let (status, told) = if is_error {
            (by.error)(status, &whole)
        } else {
            (status, (by.answer)(&whole, wish)?)
        };
        head.status = StatusCode::from_u16(status).unwrap_or(head.status);
        head.headers.remove(CONTENT_LENGTH);
        let json = HeaderValue::from_static("application/json");
        head.headers.insert(CONTENT_TYPE, json);
        Some(told)
    }

    const fn dialect(self) -> UsageDialect {
        match self {
            Self::Pass(dialect) => dialect,
            Self::HideUsage => UsageDialect::OpenAi,
            Self::Elements => UsageDialect::Gemini,
            Self::Translated { by, .. } => by.usage,
        }
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.get(..17)
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
    })
}
