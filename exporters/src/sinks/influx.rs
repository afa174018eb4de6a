//! InfluxDB: points that overwrite themselves.
//!
//! A sealed row is one point: its names are tags, the bucket's first second is the time. A
//! point with the same measurement, tags and time replaces the one before, so rows can be
//! sent again and the store need not know where it is. The history notes that.

mod line;
mod talk;
#[cfg(test)]
mod tests;

use super::{Applied, Fault, Reason, SetAside, Sink, Stored};
use crate::history::{Position, Sealed};
use reqwest::Client;
use std::fmt;
use std::time::Duration;
use talk::Answer;

/// How to reach an InfluxDB, or what speaks its write API.
#[derive(Clone)]
pub struct Options {
    /// The base URL, such as `http://localhost:8086`.
    pub url: String,
    /// The API token (v2), or `user:password` (v1).
    pub token: Option<String>,
    /// The organisation; without one it is the v1 API.
    pub org: Option<String>,
    /// The bucket, or the database of the v1 API.
    pub bucket: String,
    /// Whom to trust for `https`.
    pub tls: rustls::ClientConfig,
    /// How long a call may take.
    pub patience: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("org", &self.org)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

/// The sink.
#[derive(Debug)]
pub struct Influx {
    client: Client,
    options: Options,
}

impl Influx {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(options: Options) -> Result<Self, Fault> {
        let client = Client::builder()
            .user_agent(concat!("coo-llm/", env!("CARGO_PKG_VERSION")))
            .timeout(options.patience)
            // The store must be asked, and not whom it names.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(options.tls.clone())
            .build()
            .map_err(|error| Fault::new(Reason::Connect, error))?;
        Ok(Self { client, options })
    }

    /// Sends lines; those that the store refuses for what they are, by halving until each
    /// stands alone. What was taken meanwhile is sent again with no effect.
    async fn send(&self, lines: &[String]) -> Result<Vec<SetAside>, Fault> {
        let mut refused = Vec::new();
        let mut left = vec![lines];
        while let Some(part) = left.pop() {
            match self.write(part).await? {
                Answer::Taken => {}
                Answer::TooLarge(_) | Answer::Refused(_) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    left.extend([second, first]);
                }
                Answer::TooLarge(reason) | Answer::Refused(reason) => {
                    let row = part.first().cloned().unwrap_or_default();
                    refused.push(SetAside { row, reason });
                }
            }
        }
        match refused.first() {
            // A bucket or its schema that takes nothing of ours is no fault of the rows.
            Some(SetAside { reason, .. }) if refused.len() == lines.len() && lines.len() > 1 => {
                let detail = format!("it refuses every row: {reason}");
                Err(Fault::new(Reason::Refused, detail))
            }
            _ => Ok(refused),
        }
    }
}

impl Sink for Influx {
    async fn position(&mut self, _instance: u64) -> Result<Stored, Fault> {
        Ok(Stored::Unknown)
    }

    async fn apply(
        &mut self,
        instance: u64,
        _at: Option<Position>,
        rows: &Sealed,
    ) -> Result<Applied, Fault> {
        let lines = line::lines(instance, rows);
        if lines.is_empty() {
            return Ok(Applied::Taken(Vec::new()));
        }
        self.send(&lines).await.map(Applied::Taken)
    }
}
