//! One event of a message's stream, borrowed from its data.

use crate::wire::lenient::Lenient;
use crate::wire::span::Raw;

/// What an event says. Texts are JSON as they were written, quotes included.
#[derive(Debug)]
pub(in crate::wire) enum Event<'a> {
    /// `message_start`: the id, the model and the first usage.
    Start {
        id: Raw<'a>,
        model: Raw<'a>,
        usage: Raw<'a>,
    },
    /// `content_block_start`.
    BlockStart { index: u64, block: Block<'a> },
    /// `content_block_delta`.
    BlockDelta { index: u64, delta: Delta<'a> },
    /// `content_block_stop`.
    BlockStop { index: u64 },
    /// `message_delta`: the reason of the end, and the usage up to here.
    MessageDelta {
        stop_reason: Raw<'a>,
        usage: Raw<'a>,
    },
    /// `message_stop`.
    Stop,
    /// `ping`.
    Ping,
    /// `error`.
    Error { error: ErrorText<'a> },
    /// Something new.
    Other,
}

/// The begin of a block.
#[derive(Debug)]
pub(in crate::wire) enum Block<'a> {
    Text(Raw<'a>),
    Thinking(Raw<'a>),
    ToolUse {
        id: Raw<'a>,
        name: Raw<'a>,
        input: Raw<'a>,
    },
    /// A block that OpenAI's chat has no place for, such as a search of the provider's.
    Other,
}

/// More of a block.
#[derive(Debug)]
pub(in crate::wire) enum Delta<'a> {
    Text(Raw<'a>),
    Thinking(Raw<'a>),
    /// A piece of the JSON text of a tool's input.
    Input(Raw<'a>),
    /// A signature, a citation.
    Other,
}

/// An error's type and message.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(in crate::wire) struct ErrorText<'a> {
    #[serde(borrow, rename = "type")]
    pub(in crate::wire) kind: Raw<'a>,
    #[serde(borrow)]
    pub(in crate::wire) message: Raw<'a>,
}

impl<'a> Event<'a> {
    /// Reads the data of an event; `None` if it is not a JSON object.
    pub(in crate::wire) fn read(data: &'a [u8]) -> Option<Self> {
        let parsed: Lenient<EventWire<'a>> = serde_json::from_slice(data).ok()?;
        if parsed.is_wrong_type {
            return None;
        }
        let wire = parsed.value;
        let index = wire
            .index
            .text()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        Some(match wire.kind.text().unwrap_or_default() {
            r#""message_start""# => {
                let MessageWire { id, model, usage } = wire.message.value;
                Self::Start { id, model, usage }
            }
            r#""content_block_start""# => Self::BlockStart {
                index,
                block: wire.content_block.value.read(),
            },
            r#""content_block_delta""# => Self::BlockDelta {
                index,
                delta: wire.delta.value.read(),
            },
            r#""content_block_stop""# => Self::BlockStop { index },
            r#""message_delta""# => Self::MessageDelta {
                stop_reason: wire.delta.value.stop_reason,
                usage: wire.usage,
            },
            r#""message_stop""# => Self::Stop,
            r#""ping""# => Self::Ping,
            _ if wire.error.text().is_some_and(|text| text != "null") => Self::Error {
                error: error_text(wire.error),
            },
            r#""error""# => Self::Error {
                error: ErrorText::default(),
            },
            _ => Self::Other,
        })
    }

    /// Whether it has content, reasoning or input of a tool.
    pub(in crate::wire) fn is_filled_delta(&self) -> bool {
        match self {
            Self::BlockStart {
                block: Block::Text(text) | Block::Thinking(text),
                ..
            }
            | Self::BlockDelta {
                delta: Delta::Text(text) | Delta::Thinking(text) | Delta::Input(text),
                ..
            } => text.is_filled(),
            Self::BlockStart {
                block: Block::ToolUse { input, .. },
                ..
            } => input.is_filled(),
            _ => false,
        }
    }
}

fn error_text(json: Raw<'_>) -> ErrorText<'_> {
    json.text()
        .and_then(|text| serde_json::from_str::<Lenient<ErrorText<'_>>>(text).ok())
        .map_or_else(ErrorText::default, |read| read.value)
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct EventWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    index: Raw<'a>,
    #[serde(borrow)]
    message: Lenient<MessageWire<'a>>,
    #[serde(borrow)]
    content_block: Lenient<BlockWire<'a>>,
    #[serde(borrow)]
    delta: Lenient<DeltaWire<'a>>,
    #[serde(borrow)]
    usage: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct MessageWire<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
    #[serde(borrow)]
    model: Raw<'a>,
    #[serde(borrow)]
    usage: Raw<'a>,
}

/// A block, at its start in a stream or whole in an answer.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct BlockWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    text: Raw<'a>,
    #[serde(borrow)]
    thinking: Raw<'a>,
    #[serde(borrow)]
    id: Raw<'a>,
    #[serde(borrow)]
    name: Raw<'a>,
    #[serde(borrow)]
    input: Raw<'a>,
}

impl<'a> BlockWire<'a> {
    pub(super) fn read(&self) -> Block<'a> {
        match self.kind.text().unwrap_or_default() {
            r#""text""# => Block::Text(self.text),
            r#""thinking""# => Block::Thinking(self.thinking),
            r#""tool_use""# => Block::ToolUse {
                id: self.id,
                name: self.name,
                input: self.input,
            },
            _ => Block::Other,
        }
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct DeltaWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    text: Raw<'a>,
    #[serde(borrow)]
    thinking: Raw<'a>,
    #[serde(borrow)]
    partial_json: Raw<'a>,
    #[serde(borrow)]
    stop_reason: Raw<'a>,
}

impl<'a> DeltaWire<'a> {
    fn read(&self) -> Delta<'a> {
        match self.kind.text().unwrap_or_default() {
            r#""text_delta""# => Delta::Text(self.text),
            r#""thinking_delta""# => Delta::Thinking(self.thinking),
            r#""input_json_delta""# => Delta::Input(self.partial_json),
            _ => Delta::Other,
        }
    }
}
