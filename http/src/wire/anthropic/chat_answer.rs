//! A whole message as OpenAI's `chat.completion`.

use std::io::Write;

use bytes::Bytes;

use super::chat_stream::{json_string, string};
use super::chat_usage::ChatUsage;
use super::event::{Block, BlockWire};
use super::stop_reason::{finish_reason, spelled};
use super::usage;
use crate::wire::lenient::Lenient;
use crate::wire::span::Raw;
use crate::wire::sse::FinishReason;
use crate::wire::terms::Terms;
use crate::wire::usage::UsageOutcome;

#[cfg(test)]
mod tests;

/// The completion that says what a message says; `None` if the body is no message.
///
/// Blocks of text become one `content`, thinking `reasoning_content`, tool uses
/// `tool_calls`. What the provider's own tools did is left out. A usage that is not
/// known is left out too.
#[must_use]
pub fn translate(body: &[u8], created_unix_s: u64) -> Option<Bytes> {
    let read: Lenient<MessageWire<'_>> = serde_json::from_slice(body).ok()?;
    let message = read.value;
    let blocks = message.content?;
    let mut content = Text::default();
    let mut reasoning = Text::default();
    let mut tools = String::new();
    for block in blocks {
        match block.value.read() {
            Block::Text(text) => content.add(text),
            Block::Thinking(text) => reasoning.add(text),
            Block::ToolUse { id, name, input } => {
                tools.push_str(if tools.is_empty() { "" } else { "," });
                tools.push_str(&format!(
                    r#"{{"id":{},"type":"function","function":{{"name":{},"arguments":{}}}}}"#,
                    string(id),
                    string(name),
                    json_string(input.some().unwrap_or("{}"))
                ));
            }
            Block::Other => {}
        }
    }
    let reason = message.stop_reason.text().and_then(finish_reason);
    let mut out = Vec::with_capacity(body.len() + 512);
    write!(
        out,
        r#"{{"id":{},"object":"chat.completion","created":{created_unix_s},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant","content":{},"refusal":null"#,
        string(message.id),
        string(message.model),
        content.json().as_deref().unwrap_or("null"),
    )
    .expect("a Vec grows");
    if let Some(reasoning) = reasoning.json() {
        write!(out, r#","reasoning_content":{reasoning}"#).expect("a Vec grows");
    }
    if !tools.is_empty() {
        write!(out, r#","tool_calls":[{tools}]"#).expect("a Vec grows");
    }
    write!(
        out,
        r#"}},"logprobs":null,"finish_reason":"{}"}}]"#,
        spelled(reason.unwrap_or(FinishReason::Stop))
    )
    .expect("a Vec grows");
    let usage = message
        .usage
        .some()
        .map(|json| usage::read(json.as_bytes(), &mut Terms::default()));
    if let Some(UsageOutcome::Reported(tokens)) = usage {
        out.extend_from_slice(br#","usage":"#);
        serde_json::to_writer(&mut out, &ChatUsage::of(&tokens))
            .expect("numbers are JSON and a Vec grows");
    }
    out.push(b'}');
    Some(out.into())
}

/// The insides of JSON strings, put together without being unescaped.
#[derive(Default)]
struct Text(Option<String>);

impl Text {
    fn add(&mut self, json: Raw<'_>) {
        let quoted = string(json);
        let inner = &quoted[1..quoted.len() - 1];
        self.0.get_or_insert_default().push_str(inner);
    }

    fn json(&self) -> Option<String> {
        self.0.as_ref().map(|inner| format!("\"{inner}\""))
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct MessageWire<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
    #[serde(borrow)]
    model: Raw<'a>,
    #[serde(borrow)]
    content: Option<Vec<Lenient<BlockWire<'a>>>>,
    #[serde(borrow)]
    stop_reason: Raw<'a>,
    #[serde(borrow)]
    usage: Raw<'a>,
}
