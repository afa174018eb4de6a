//! The messages of a chat as a system prompt and turns.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Untranslatable;
use super::blocks::{Block, Message, Role, Source};
use super::fields::{Fields, items, text};

/// Members of a message that are left out: a name of the speaker, and what an answer of
/// the gateway or OpenAI's contained and a client sends back.
const IGNORED: &[&str] = &["name", "annotations", "reasoning_content", "reasoning"];

/// A conversation in Anthropic's words.
pub(super) struct Conversation<'a> {
    /// Every system and developer message, in order: Anthropic has one place for them.
    pub(super) system: Vec<Block<'a>>,
    /// Turns; messages of the same role that follow each other are one.
    pub(super) messages: Vec<Message<'a>>,
}

/// Reads `messages`.
pub(super) fn read_all(value: &RawValue) -> Result<Conversation<'_>, Untranslatable> {
    let mut conversation = Conversation {
        system: Vec::new(),
        messages: Vec::new(),
    };
    for (at, item) in items("messages", value)?.into_iter().enumerate() {
        let fields = Fields::read(item.get().as_bytes(), &format!("messages[{at}]"))?;
        let role = fields.required_text("role")?;
        match &*role {
            "system" | "developer" => {
                only(&fields, &["role", "content"])?;
                let blocks = content(&fields, TEXT_ONLY)?;
                conversation.system.extend(blocks);
            }
            "user" => {
                only(&fields, &["role", "content"])?;
                let blocks = content(&fields, TEXT_AND_MEDIA)?;
                conversation.turn(Role::User, blocks);
            }
            "assistant" => {
                let blocks = assistant(&fields)?;
                conversation.turn(Role::Assistant, blocks);
            }
            "tool" => {
                only(&fields, &["role", "content", "tool_call_id"])?;
                let result = Block::ToolResult {
                    tool_use_id: fields.required_text("tool_call_id")?,
                    content: content(&fields, TEXT_AND_MEDIA)?,
                };
                conversation.turn(Role::User, vec![result]);
            }
            _ => {
                return Err(Untranslatable::new(
                    fields.name("role"),
                    "must be system, developer, user, assistant or tool",
                ));
            }
        }
    }
    Ok(conversation)
}

impl<'a> Conversation<'a> {
    fn turn(&mut self, role: Role, blocks: Vec<Block<'a>>) {
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            _ => self.messages.push(Message {
                role,
                content: blocks,
            }),
        }
    }
}

fn only(fields: &Fields<'_>, names: &[&str]) -> Result<(), Untranslatable> {
    fields.only(&[names, IGNORED].concat())
}

fn assistant<'a>(fields: &Fields<'a>) -> Result<Vec<Block<'a>>, Untranslatable> {
    only(fields, &["role", "content", "refusal", "tool_calls"])?;
    let mut blocks = match fields.optional("content") {
        None => Vec::new(),
        Some(_) => content(fields, TEXT_ONLY)?,
    };
    blocks.extend(fields.optional_text("refusal")?.and_then(text_block));
    let Some(calls) = fields.optional("tool_calls") else {
        return Ok(blocks);
    };
    let name = fields.name("tool_calls");
    for (at, call) in items(&name, calls)?.into_iter().enumerate() {
        let call = Fields::read(call.get().as_bytes(), &format!("{name}[{at}]"))?;
        // `index` is what a client keeps that put a streamed call together.
        call.only(&["id", "type", "function", "index"])?;
        if call
            .optional_text("type")?
            .is_some_and(|kind| kind != "function")
        {
            return Err(Untranslatable::new(call.name("type"), "must be function"));
        }
        let function = call.object("function")?;
        blocks.push(Block::ToolUse {
            id: call.required_text("id")?,
            name: function.required_text("name")?,
            input: input(&function)?,
        });
    }
    Ok(blocks)
}

/// The arguments of a call as the object that they are the text of.
fn input(function: &Fields<'_>) -> Result<Box<RawValue>, Untranslatable> {
    let arguments = function.optional_text("arguments")?.unwrap_or_default();
    let json = match arguments.trim() {
        "" => "{}",
        json => json,
    };
    if !json.starts_with('{') {
        return Err(no_object(function));
    }
    serde_json::from_str(json).map_err(|_| no_object(function))
}

fn no_object(function: &Fields<'_>) -> Untranslatable {
    Untranslatable::new(
        function.name("arguments"),
        "must be the JSON text of an object",
    )
}

/// The kinds of parts that a message may have.
const TEXT_ONLY: &[&str] = &["text", "refusal"];
const TEXT_AND_MEDIA: &[&str] = &["text", "image_url", "file"];

/// The content of a message, a string or parts. An empty text is no block: Anthropic
/// refuses those.
fn content<'a>(fields: &Fields<'a>, kinds: &[&str]) -> Result<Vec<Block<'a>>, Untranslatable> {
    let name = fields.name("content");
    let value = fields.required("content")?;
    if value.get().starts_with('"') {
        return Ok(text_block(text(&name, value)?).into_iter().collect());
    }
    let mut blocks = Vec::new();
    for (at, part) in items(&name, value)?.into_iter().enumerate() {
        let part = Fields::read(part.get().as_bytes(), &format!("{name}[{at}]"))?;
        let kind = part.required_text("type")?;
        if !kinds.contains(&&*kind) {
            return Err(Untranslatable::new(
                part.name("type"),
                format_args!("must be one of {} here", kinds.join(", ")),
            ));
        }
        blocks.extend(block(&part, &kind)?);
    }
    Ok(blocks)
}

/// One part. `cache_control` is Anthropic's own and passes, as other gateways have it.
fn block<'a>(part: &Fields<'a>, kind: &str) -> Result<Option<Block<'a>>, Untranslatable> {
    part.only(&["type", kind, "cache_control"])?;
    let cache_control = part.optional("cache_control");
    Ok(match kind {
        "image_url" => {
            let image = part.object("image_url")?;
            // `detail` says how large to look at it, which Anthropic decides itself.
            image.only(&["url", "detail"])?;
            let source = Source::of(image.required_text("url")?).ok_or_else(|| {
                Untranslatable::new(
                    image.name("url"),
                    "must be a base64 data: URL or an http(s): URL",
                )
            })?;
            Some(Block::Image {
                source,
                cache_control,
            })
        }
        "file" => {
            let file = part.object("file")?;
            file.only(&["file_data", "filename"])?;
            let source = Source::of(file.required_text("file_data")?).ok_or_else(|| {
                Untranslatable::new(file.name("file_data"), "must be a base64 data: URL")
            })?;
            Some(Block::Document {
                source,
                title: file.optional_text("filename")?,
                cache_control,
            })
        }
        kind => match text_block(part.required_text(kind)?) {
            Some(Block::Text { text, .. }) => Some(Block::Text {
                text,
                cache_control,
            }),
            other => other,
        },
    })
}

fn text_block(text: Cow<'_, str>) -> Option<Block<'_>> {
    (!text.is_empty()).then_some(Block::Text {
        text,
        cache_control: None,
    })
}
