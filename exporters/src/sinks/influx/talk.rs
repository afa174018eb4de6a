//! One call of the write API.

use super::{Fault, Influx, Reason};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use std::io::Write as _;
use std::time::Duration;

/// Bytes of an error's text that are kept.
const REASON_BYTES_MAX: usize = 300;

/// What the store says to lines.
#[derive(Debug)]
pub(super) enum Answer {
    Taken,
    /// Not as many at once.
    TooLarge(String),
    /// Some of them, or all, for what they are; others may be in it.
    Refused(String),
}

impl Influx {
    fn write_url(&self) -> Result<Url, Fault> {
        let options = &self.options;
        let base = options.url.trim_end_matches('/');
        let bucket = options.bucket.as_str();
        let url = match &options.org {
            Some(org) => Url::parse_with_params(
                &format!("{base}/api/v2/write"),
                [
                    ("org", org.as_str()),
                    ("bucket", bucket),
                    ("precision", "s"),
                ],
            ),
            None => Url::parse_with_params(
                &format!("{base}/write"),
                [("db", bucket), ("precision", "s")],
            ),
        };
        url.map_err(|error| Fault::new(Reason::Connect, error))
    }

    /// Sends lines in one call.
    pub(super) async fn write(&self, lines: &[String]) -> Result<Answer, Fault> {
        let compressed = gzip(lines).map_err(|error| Fault::new(Reason::Broken, error))?;
        let mut request = self
            .client
            .post(self.write_url()?)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(CONTENT_ENCODING, "gzip");
        if let Some(token) = &self.options.token {
            request = match token.split_once(':') {
                // The v1 API knows users.
                Some((user, password)) if self.options.org.is_none() => {
                    request.basic_auth(user, Some(password))
                }
                _ => request.header(AUTHORIZATION, format!("Token {token}")),
            };
        }
        let response = request.body(compressed).send().await.map_err(|error| {
            let reason = if error.is_timeout() {
                Reason::Timeout
            } else if error.is_connect() {
                Reason::Connect
            } else {
                Reason::Broken
            };
            // Its text has the URL, in which there is no secret, and no cause.
            Fault::new(reason, cause(&error))
        })?;
        let status = response.status();
        if status.is_success() {
            // Read to the end, so that the connection can be used again.
            return match response.bytes().await {
                Ok(_) => Ok(Answer::Taken),
                Err(error) => Err(Fault::new(Reason::Broken, cause(&error))),
            };
        }
        let wait = retry_after(response.headers());
        let text = response.text().await.unwrap_or_default();
        let said = said(status, &text);
        let fault = |reason| Err(Fault::new(reason, &said).after(wait));
        match status {
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::Refused(said)),
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Answer::TooLarge(said)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => fault(Reason::Auth),
            // The database or the bucket is not there: the rows are not at fault.
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                fault(Reason::Refused)
            }
            _ => fault(Reason::Busy),
        }
    }
}

fn gzip(lines: &[String]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for line in lines {
        encoder.write_all(line.as_bytes())?;
        encoder.write_all(b"\n")?;
    }
    encoder.finish()
}

/// The innermost reason of an error.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn said(status: StatusCode, text: &str) -> String {
    let text: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let end = text.floor_char_boundary(REASON_BYTES_MAX);
    format!("{}: {}", status.as_u16(), &text[..end])
}

/// Seconds; a date is not believed to be ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
