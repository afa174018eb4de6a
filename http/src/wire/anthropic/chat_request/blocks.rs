//! Messages and blocks as Anthropic has them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

/// A turn.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: Role,
    pub(super) content: Vec<Block<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
}

/// A part of a turn.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Box<RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
    },
}

/// Where the bytes of an image or a document are.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Source<'a> {
    Base64 {
        media_type: Cow<'a, str>,
        data: Cow<'a, str>,
    },
    Url {
        url: Cow<'a, str>,
    },
}

impl<'a> Source<'a> {
    /// Of a URL: the bytes of a `data:` URL, or an `http(s):` URL as it is.
    pub(super) fn of(url: Cow<'a, str>) -> Option<Self> {
        if url.starts_with("https://") || url.starts_with("http://") {
            return Some(Self::Url { url });
        }
        let split = |url: &str| -> Option<(usize, usize)> {
            let head_end = url.find(',')?;
            let media = url[..head_end].strip_prefix("data:")?;
            let media = media.strip_suffix(";base64")?;
            // Parameters such as `;charset=` are none of Anthropic's media types.
            let media_end = media.find(';').unwrap_or(media.len());
            (media_end > 0).then_some(("data:".len() + media_end, head_end + 1))
        };
        let (media_end, data_start) = split(&url)?;
        let media = "data:".len()..media_end;
        Some(match url {
            Cow::Borrowed(url) => Self::Base64 {
                media_type: Cow::Borrowed(&url[media]),
                data: Cow::Borrowed(&url[data_start..]),
            },
            Cow::Owned(url) => Self::Base64 {
                media_type: Cow::Owned(url[media].to_owned()),
                data: Cow::Owned(url[data_start..].to_owned()),
            },
        })
    }
}
