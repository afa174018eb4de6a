//! Tools, and which of them the model must use.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Untranslatable;
use super::fields::{Fields, items, read, text};

/// A function that the model may call.
#[derive(Serialize)]
pub(super) struct Tool<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    input_schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'a RawValue>,
}

/// What a client wants of its tools.
pub(super) enum ToolChoice<'a> {
    Auto,
    None,
    Any,
    One(Cow<'a, str>),
}

/// The same in Anthropic's words.
#[derive(Serialize)]
pub(super) struct WrittenChoice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

/// Reads `tools`.
pub(super) fn read_all(value: &RawValue) -> Result<Vec<Tool<'_>>, Untranslatable> {
    items("tools", value)?
        .into_iter()
        .enumerate()
        .map(|(at, item)| {
            let tool = Fields::read(item.get().as_bytes(), &format!("tools[{at}]"))?;
            if tool.required_text("type")? != "function" {
                return Err(Untranslatable::new(tool.name("type"), "must be function"));
            }
            tool.only(&["type", "function", "cache_control"])?;
            let function = tool.object("function")?;
            function.only(&["name", "description", "parameters", "strict"])?;
            Ok(Tool {
                name: function.required_text("name")?,
                description: function.optional_text("description")?,
                input_schema: function
                    .optional("parameters")
                    .map_or_else(no_parameters, Cow::Borrowed),
                strict: function
                    .optional("strict")
                    .map(|value| read(&function.name("strict"), value, "a boolean"))
                    .transpose()?,
                cache_control: tool.optional("cache_control"),
            })
        })
        .collect()
}

/// The schema of a function without parameters, which Anthropic requires.
fn no_parameters<'a>() -> Cow<'a, RawValue> {
    let schema = r#"{"type":"object","properties":{}}"#.to_owned();
    Cow::Owned(RawValue::from_string(schema).expect("a literal that is JSON"))
}

/// Reads `tool_choice`.
pub(super) fn read_choice(value: &RawValue) -> Result<ToolChoice<'_>, Untranslatable> {
    const NAME: &str = "tool_choice";
    if value.get().starts_with('"') {
        return match &*text(NAME, value)? {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Any),
            _ => Err(Untranslatable::new(
                NAME,
                "must be auto, none, required or a function",
            )),
        };
    }
    let fields = Fields::read(value.get().as_bytes(), NAME)?;
    if fields.required_text("type")? != "function" {
        return Err(Untranslatable::new(
            fields.name("type"),
            "must be function: Anthropic has no other choice",
        ));
    }
    Ok(ToolChoice::One(
        fields.object("function")?.required_text("name")?,
    ))
}

/// What is written; nothing where it says what Anthropic does anyway, or where there are
/// no tools.
pub(super) fn choice<'a>(
    tools: &[Tool<'a>],
    choice: Option<ToolChoice<'a>>,
    one_at_a_time: bool,
) -> Result<Option<WrittenChoice<'a>>, Untranslatable> {
    let (kind, name) = match choice {
        Some(ToolChoice::Any | ToolChoice::One(_)) if tools.is_empty() => {
            return Err(Untranslatable::new("tool_choice", "needs tools"));
        }
        _ if tools.is_empty() => return Ok(None),
        None if !one_at_a_time => return Ok(None),
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Any) => ("any", None),
        Some(ToolChoice::One(name)) => ("tool", Some(name)),
    };
    Ok(Some(WrittenChoice {
        kind,
        name,
        disable_parallel_tool_use: one_at_a_time && kind != "none",
    }))
}
