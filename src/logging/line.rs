//! The JSON of one log line: `timestamp`, `level`, `target`, `message`, then the fields.

use super::rfc3339::Rfc3339;
use coo_llm_core::NanoUsd;
use coo_llm_http::gateway::RequestLine;
use coo_llm_http::wire::json_text::quote;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// The level a request is logged at: by its status.
pub(crate) fn request_level(request: &RequestLine) -> Level {
    match request.status {
        500.. => Level::ERROR,
        400..500 => Level::WARN,
        _ => Level::INFO,
    }
}

/// The line of a finished request, with its line end.
pub(crate) fn render_request(request: &RequestLine) -> String {
    let mut line = Line::start(
        request.finished.0,
        request_level(request),
        "coo_llm::request",
    );
    line.text("message", "request");
    line.text("request_id", request.request_id.as_str());
    line.text("provider", &request.provider);
    line.text("model", &request.model);
    let latency_us = request.latency.0;
    line.raw(
        "latency_ms",
        format_args!("{}.{:03}", latency_us / 1000, latency_us % 1000),
    );
    line.raw("tokens_used", format_args!("{}", request.tokens_used));
    line.text("client_key", &request.client_key);
    line.text("client_id", &request.client_id);
    line.raw("status", format_args!("{}", request.status));
    match request.cost {
        // Exact: nine decimals, no binary fraction.
        Some(NanoUsd(nano)) => {
            let (usd, rest) = (nano / NanoUsd::PER_USD, nano % NanoUsd::PER_USD);
            line.raw("cost_usd", format_args!("{usd}.{rest:09}"));
        }
        None => line.raw("cost_usd", format_args!("null")),
    }
    line.raw("stream", format_args!("{}", request.stream));
    if let Some(error) = request.error {
        line.text("error_type", error.as_str());
    }
    line.end()
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use coo_llm_core::record::ErrorType;
    use coo_llm_core::{Micros, UnixMillis};
    use coo_llm_http::wire::request_id::RequestId;
    use serde_json::{Value, json};

    pub(crate) fn request(status: u16) -> RequestLine {
        RequestLine {
            finished: UnixMillis(951_782_400_007),
            request_id: RequestId::from_client(b"req-1").expect("an id"),
            provider: "openai".into(),
            model: "gpt\u{1b}[2J\n\"\\é\u{9b}".into(),
            client_id: "client-123".into(),
            client_key: "0123abcd".into(),
            status,
            latency: Micros(12_034),
            tokens_used: 42,
            cost: Some(NanoUsd(1_000_000_230)),
            stream: true,
            error: (status >= 400).then_some(ErrorType::Upstream5xx),
        }
    }

    #[test]
    fn a_request_is_one_line_of_json() {
        let text = render_request(&request(502));
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
        assert_eq!(request_level(&request(200)), Level::INFO);
        assert_eq!(request_level(&request(404)), Level::WARN);
        assert_eq!(request_level(&request(500)), Level::ERROR);
        let unpriced = RequestLine {
            cost: None,
            ..request(200)
        };
        let value: Value = serde_json::from_str(&render_request(&unpriced)).expect("JSON");
        assert_eq!(value["cost_usd"], Value::Null);
        assert_eq!(value.get("error_type"), None);
    }
}
