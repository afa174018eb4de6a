//! The JSON of one log line: `timestamp`, `level`, `target`, `message`, then the fields.

use super::rfc3339::Rfc3339;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// What is logged about one finished request. A worker fills it in and sends it
/// off; the log thread makes the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine {
    /// When it finished, unix milliseconds.
    pub(crate) time_ms: u64,
    /// The `x-request-id` of the answer.
    pub(crate) request_id: Arc<str>,
    /// The provider's id, or `none`.
    pub(crate) provider: Arc<str>,
    /// The model's name.
    pub(crate) model: Arc<str>,
    /// The client's id, or empty where nobody was recognised.
    pub(crate) client_id: Arc<str>,
    /// A hash of the client's key, never the key.
    pub(crate) client_key: Arc<str>,
    /// The HTTP status of the answer.
    pub(crate) status: u16,
    /// How long it took, microseconds.
    pub(crate) latency_us: u64,
    /// Tokens in all.
    pub(crate) tokens_used: u64,
    /// The cost in nano-USD; `None` where no price is known.
    pub(crate) cost_nano_usd: Option<u64>,
    /// Whether the answer was a stream.
    pub(crate) stream: bool,
    /// The error type of the metrics, where there was an error.
    pub(crate) error_type: Option<&'static str>,
}

impl RequestLine {
    /// The level it is logged at: by the status.
    pub(crate) fn level(&self) -> Level {
        match self.status {
            500.. => Level::ERROR,
            400..500 => Level::WARN,
            _ => Level::INFO,
        }
    }

    /// The line with its line end.
    pub(crate) fn render(&self) -> String {
        let mut line = Line::start(self.time_ms, self.level(), "coo_llm::request");
        line.text("message", "request");
        line.text("request_id", &self.request_id);
        line.text("provider", &self.provider);
        line.text("model", &self.model);
        let ms = format_args!("{}.{:03}", self.latency_us / 1000, self.latency_us % 1000);
        line.raw("latency_ms", ms);
        line.raw("tokens_used", format_args!("{}", self.tokens_used));
        line.text("client_key", &self.client_key);
        line.text("client_id", &self.client_id);
        line.raw("status", format_args!("{}", self.status));
        match self.cost_nano_usd {
            // Exact: nine decimals, no binary fraction.
            Some(nano) => {
                let (usd, rest) = (nano / 1_000_000_000, nano % 1_000_000_000);
                line.raw("cost_usd", format_args!("{usd}.{rest:09}"));
            }
            None => line.raw("cost_usd", format_args!("null")),
        }
        line.raw("stream", format_args!("{}", self.stream));
        if let Some(error) = self.error_type {
            line.text("error_type", error);
        }
        line.end()
    }
}

/// The line of a `tracing` event.
pub(crate) fn render_event(time_ms: u64, event: &Event<'_>) -> String {
    let metadata = event.metadata();
    let mut line = Line::start(time_ms, *metadata.level(), metadata.target());
    event.record(&mut line);
    line.end()
}

/// A JSON object in the making.
struct Line(String);

impl Line {
    fn start(time_ms: u64, level: Level, target: &str) -> Self {
        let timestamp = Rfc3339(time_ms);
        let mut line = Self(format!(
            "{{\"timestamp\":\"{timestamp}\",\"level\":\"{level}\""
        ));
        line.text("target", target);
        line
    }

    fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(&mut self.0, value);
    }

    fn raw(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.name(name);
        // Writing to a String cannot fail.
        let _infallible = self.0.write_fmt(value);
    }

    fn name(&mut self, name: &str) {
        self.0.push(',');
        quote(&mut self.0, name);
        self.0.push(':');
    }

    /// A field of an event; one that is named like a fixed part of the line gets a `_`.
    fn field_name(field: &Field) -> String {
        let name = field.name().trim_start_matches("r#");
        match name {
            "timestamp" | "level" | "target" => format!("{name}_"),
            _ => name.into(),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(&Self::field_name(field), &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(&Self::field_name(field), value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(&Self::field_name(field), format_args!("{value}"));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(&Self::field_name(field), format_args!("{value}"));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(&Self::field_name(field), format_args!("{value}"));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        if value.is_finite() {
            self.raw(&Self::field_name(field), format_args!("{value}"));
        } else {
            self.text(&Self::field_name(field), &value.to_string());
        }
    }
}

/// Appends `text` as a JSON string. Control characters are escaped, so that no
/// client can start a line of its own or move a terminal's cursor.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub(crate) fn request(status: u16) -> RequestLine {
        RequestLine {
            time_ms: 951_782_400_007,
            request_id: "req-1".into(),
            provider: "openai".into(),
            model: "gpt\u{1b}[2J\n\"\\é\u{9b}".into(),
            client_id: "client-123".into(),
            client_key: "0123abcd".into(),
            status,
            latency_us: 12_034,
            tokens_used: 42,
            cost_nano_usd: Some(1_000_000_230),
            stream: true,
            error_type: (status >= 400).then_some("upstream_5xx"),
        }
    }

    #[test]
    fn a_request_is_one_line_of_json() {
        let text = request(502).render();
        assert!(
            text.ends_with("}\n") && !text.trim_end().contains(char::is_control),
            "{text}"
        );
        assert!(text.contains("\"latency_ms\":12.034,"), "{text}");
        assert!(text.contains("\"cost_usd\":1.000000230,"), "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            value,
            json!({
                "timestamp": "2000-02-29T00:00:00.007Z", "level": "ERROR",
                "target": "coo_llm::request", "message": "request", "request_id": "req-1",
                "provider": "openai", "model": "gpt\u{1b}[2J\n\"\\é\u{9b}", "latency_ms": 12.034,
                "tokens_used": 42, "client_key": "0123abcd", "client_id": "client-123",
                "status": 502, "cost_usd": 1.000_000_23, "stream": true,
                "error_type": "upstream_5xx",
            })
        );
    }

    #[test]
    fn the_level_follows_the_status_and_no_price_is_null() {
        assert_eq!(request(200).level(), Level::INFO);
        assert_eq!(request(404).level(), Level::WARN);
        assert_eq!(request(500).level(), Level::ERROR);
        let unpriced = RequestLine {
            cost_nano_usd: None,
            ..request(200)
        };
        let value: Value = serde_json::from_str(&unpriced.render()).expect("JSON");
        assert_eq!(value["cost_usd"], Value::Null);
        assert_eq!(value.get("error_type"), None);
    }
}
