//! A message's stream as OpenAI's `chat.completion.chunk` events.

use std::io::Write;

use super::chat_usage::ChatUsage;
use super::error;
use super::event::{Block, Delta, Event};
use super::stop_reason::{finish_reason, spelled};
use crate::wire::span::Raw;
use crate::wire::usage::UsageOutcome;

#[cfg(test)]
mod tests;

/// What is sent for a `ping`: a comment, which keeps the connection warm and which every
/// reader of event streams passes over.
const PING: &[u8] = b": ping\n\n";

/// Writes OpenAI's events for Anthropic's, one after the other.
///
/// - Text goes into `content`, thinking into `reasoning_content` (as DeepSeek has it),
///   the input of a tool into the arguments of a tool call. Signatures, citations and
///   what the provider's own tools did have no place and are left out.
/// - The finish reason comes with `message_delta`. With `message_stop` come the usage, if
///   the client asked for it and it is known, and `[DONE]`.
#[derive(Debug)]
pub struct ChatStream {
    created_unix_s: u64,
    include_usage: bool,
    /// The id and the model as JSON strings.
    id: String,
    model: String,
    /// Tool calls that have begun.
    tools: u32,
    open: Option<OpenTool>,
}

/// A tool whose input is coming.
#[derive(Debug)]
struct OpenTool {
    /// Of the block.
    index: u64,
    /// Of the tool call.
    at: u32,
    has_input: bool,
}

impl ChatStream {
    /// The start of a stream; `include_usage` is what the client asked for.
    #[must_use]
    pub fn new(created_unix_s: u64, include_usage: bool) -> Self {
        Self {
            created_unix_s,
            include_usage,
            id: r#""""#.to_owned(),
            model: r#""""#.to_owned(),
            tools: 0,
            open: None,
        }
    }

    /// Writes what an event becomes, perhaps nothing. `usage` is that of the stream up to
    /// and with this event.
    pub(in crate::wire) fn event(
        &mut self,
        event: &Event<'_>,
        usage: &UsageOutcome,
        out: &mut Vec<u8>,
    ) {
        match event {
            Event::Start { id, model, .. } => {
                string(*id).clone_into(&mut self.id);
                string(*model).clone_into(&mut self.model);
                self.delta(out, &[r#""role":"assistant","content":"""#], None);
            }
            Event::BlockStart { index, block } => self.begin(*index, block, out),
            Event::BlockDelta { index, delta } => match delta {
                Delta::Text(text) => self.text("content", *text, out),
                Delta::Thinking(text) => self.text("reasoning_content", *text, out),
                Delta::Input(piece) => self.input(*index, string(*piece), out),
                Delta::Other => {}
            },
            Event::BlockStop { index } => {
                if let Some(tool) = self.open.take_if(|tool| tool.index == *index)
                    && !tool.has_input
                {
                    self.arguments(tool.at, r#""{}""#, out);
                }
            }
            Event::MessageDelta { stop_reason, .. } => {
                let reason = stop_reason.text().and_then(finish_reason);
                if let Some(reason) = reason {
                    self.delta(out, &[], Some(spelled(reason)));
                }
            }
            Event::Stop => {
                if let (true, UsageOutcome::Reported(tokens)) = (self.include_usage, usage) {
                    self.head(out);
                    out.extend_from_slice(br#"[],"usage":"#);
                    serde_json::to_writer(&mut *out, &ChatUsage::of(tokens))
                        .expect("numbers are JSON and a Vec grows");
                    out.extend_from_slice(b"}\n\n");
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
            Event::Ping => out.extend_from_slice(PING),
            Event::Error { error } => {
                out.extend_from_slice(b"data: ");
                error::put_openai(out, error, None);
                out.extend_from_slice(b"\n\n");
            }
            Event::Other => {}
        }
    }

    fn begin(&mut self, index: u64, block: &Block<'_>, out: &mut Vec<u8>) {
        match block {
            Block::Text(text) => self.text("content", *text, out),
            Block::Thinking(text) => self.text("reasoning_content", *text, out),
            Block::ToolUse { id, name, input } => {
                let at = self.tools;
                self.tools += 1;
                self.open = Some(OpenTool {
                    index,
                    at,
                    has_input: false,
                });
                let head = format!(r#""tool_calls":[{{"index":{at},"id":"#);
                let parts = [
                    head.as_str(),
                    string(*id),
                    r#","type":"function","function":{"name":"#,
                    string(*name),
                    r#","arguments":""}}]"#,
                ];
                self.delta(out, &parts, None);
                if input.is_filled() {
                    let json = json_string(input.text().unwrap_or_default());
                    self.input(index, &json, out);
                }
            }
            Block::Other => {}
        }
    }

    fn text(&self, member: &str, text: Raw<'_>, out: &mut Vec<u8>) {
        if text.is_filled() {
            self.delta(out, &["\"", member, "\":", string(text)], None);
        }
    }

    /// A piece of a tool's input; of another block's it is nothing to us.
    fn input(&mut self, index: u64, piece: &str, out: &mut Vec<u8>) {
        let Some(tool) = self.open.as_mut().filter(|tool| tool.index == index) else {
            return;
        };
        if piece != r#""""# {
            tool.has_input = true;
            let at = tool.at;
            self.arguments(at, piece, out);
        }
    }

    fn arguments(&self, at: u32, piece: &str, out: &mut Vec<u8>) {
        let head = format!(r#""tool_calls":[{{"index":{at},"function":{{"arguments":"#);
        self.delta(out, &[&head, piece, "}}]"], None);
    }

    fn head(&self, out: &mut Vec<u8>) {
        write!(
            out,
            r#"data: {{"id":{},"object":"chat.completion.chunk","created":{},"model":{},"choices":"#,
            self.id, self.created_unix_s, self.model
        )
        .expect("a Vec grows");
    }

    /// One chunk with one choice.
    fn delta(&self, out: &mut Vec<u8>, delta: &[&str], finish_reason: Option<&str>) {
        self.head(out);
        out.extend_from_slice(br#"[{"index":0,"delta":{"#);
        for part in delta {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(br#"},"logprobs":null,"finish_reason":"#);
        match finish_reason {
            None => out.extend_from_slice(b"null"),
            Some(reason) => {
                out.push(b'"');
                out.extend_from_slice(reason.as_bytes());
                out.push(b'"');
            }
        }
        out.extend_from_slice(b"}]");
        if self.include_usage {
            out.extend_from_slice(br#","usage":null"#);
        }
        out.extend_from_slice(b"}\n\n");
    }
}

/// A JSON string as it was written; the empty one for anything else.
pub(super) fn string(json: Raw<'_>) -> &str {
    json.text()
        .filter(|text| text.starts_with('"'))
        .unwrap_or(r#""""#)
}

/// A text as a JSON string.
pub(super) fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a str is JSON")
}
