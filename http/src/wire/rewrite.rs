//! Changes the model, or asks for usage, by splicing bytes of a request body.

use bytes::{BufMut, Bytes, BytesMut};

use super::envelope::{Envelope, UsagePlace};
use super::span::Span;

/// The body with another model in it, or with the wish for usage, or as it is.
///
/// `ask_usage` sets `stream_options.include_usage` to true where
/// [`Envelope::can_ask_usage`] says that it can be done, else it does nothing. Each
/// byte outside of the changed values stays; where nothing changes, the same
/// allocation comes back.
///
/// # Panics
/// May panic, or splice at the wrong place, if `envelope` was not parsed from `body`.
#[must_use]
pub fn rewrite(
    body: &Bytes,
    envelope: &Envelope<'_>,
    new_model: Option<&str>,
    ask_usage: bool,
) -> Bytes {
    let model = new_model
        .filter(|model| *model != envelope.model)
        .map(|model| Edit {
            at: envelope.model_span,
            text: Text::Model(model),
        });
    let usage = (ask_usage && envelope.can_ask_usage())
        .then(|| usage_edit(envelope.usage_place))
        .flatten();
    let (first, second) = match (model, usage) {
        (None, None) => return body.clone(),
        (Some(one), None) | (None, Some(one)) => (one, None),
        (Some(a), Some(b)) if a.at.start < b.at.start => (a, Some(b)),
        (Some(a), Some(b)) => (b, Some(a)),
    };

    let mut out =
        BytesMut::with_capacity(body.len() + GROWTH_BYTES + new_model.map_or(0, str::len));
    out.put_slice(&body[..first.at.start]);
    first.text.write(&mut out);
    let mut from = first.at.end;
    if let Some(second) = second {
        out.put_slice(&body[from..second.at.start]);
        second.text.write(&mut out);
        from = second.at.end;
    }
    out.put_slice(&body[from..]);
    out.freeze()
}

/// Room for the longest wish for usage and the quotes of the model.
const GROWTH_BYTES: usize = 48;

struct Edit<'a> {
    at: Span,
    text: Text<'a>,
}

enum Text<'a> {
    Json(&'static str),
    Model(&'a str),
}

impl Text<'_> {
    fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Json(json) => out.put_slice(json.as_bytes()),
            Self::Model(model) => serde_json::to_writer(out.writer(), model)
                .expect("a str is JSON and BytesMut grows"),
        }
    }
}

fn usage_edit(place: UsagePlace) -> Option<Edit<'static>> {
    let insert = |at, json| Edit {
        at: Span { start: at, end: at },
        text: Text::Json(json),
    };
    Some(match place {
        UsagePlace::Asked | UsagePlace::Invalid => return None,
        // A body with an envelope has a model, so a comma is always right.
        UsagePlace::Body { at } => insert(at, r#""stream_options":{"include_usage":true},"#),
        UsagePlace::Null { value } => Edit {
            at: value,
            text: Text::Json(r#"{"include_usage":true}"#),
        },
        UsagePlace::Options { at, is_empty: true } => insert(at, r#""include_usage":true"#),
        UsagePlace::Options {
            at,
            is_empty: false,
        } => insert(at, r#""include_usage":true,"#),
        UsagePlace::Value { value } => Edit {
            at: value,
            text: Text::Json("true"),
        },
    })
}
