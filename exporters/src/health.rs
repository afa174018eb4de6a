//! The health of clients: is what one does unusual for it?
//!
//! It is: pure functions from a client's history, its budget and a time to findings. It is not: a
//! store, a clock, an alarm's delivery.
//!
//! ```text
//! History (hours of 4 weeks) -- learn, once an hour --> Profile
//!                                                         |
//! Recent (minutes of 3 hours) + Budget -- judge, once a minute --> Health: findings, forecast
//!                                                                    |
//!                                         Episodes::update --> what began, what ended
//! ```
//!
//! What is unusual is what neither the last weeks nor the last two days explain. So a lasting
//! change is told once and is usual about a day later, and the way back is no news.
//! `docs/client-health.md` names the methods with their sources, and says how well they do.
//!
//! ```
//! use coo_llm_core::NanoUsd;
//! use coo_llm_exporters::health::{Episodes, History, Kind, Recent, Row, judge, learn};
//!
//! let now_s = 1_795_525_200;
//! let row = |start_s, requests| Row {
//!     start_s,
//!     provider: Some(0),
//!     requests,
//!     cost: NanoUsd(requests * 1_000_000),
//!     ..Row::default()
//! };
//! // 60 requests an hour for four weeks, then 20 a minute.
//! let hours: Vec<Row> = (1..=672).rev().map(|h| row(now_s - h * 3600, 60)).collect();
//! let minutes: Vec<Row> = (1..=15).rev().map(|m| row(now_s - m * 60, 20)).collect();
//!
//! let profile = learn(&History { hours: &hours, minutes: &[], unknown: &[] }, now_s);
//! let recent = Recent { minutes: &minutes, unknown: &[], providers: &["openai"] };
//! let health = judge(&profile, &recent, None, now_s);
//!
//! let spike = &health.findings[0];
//! assert_eq!(spike.kind, Kind::UsageSpike);
//! assert_eq!(spike.since_s, now_s - 15 * 60);
//! assert!(spike.to_string().starts_with("300 requests in 15 minutes, where 15 are usual"));
//! let mut episodes = Episodes::default();
//! episodes.update(health.findings, now_s);
//! assert!(episodes.is_open(Kind::UsageSpike));
//! ```

mod episodes;
mod failures;
mod finding;
mod input;
mod judge;
mod mix;
mod profile;
mod robust;
mod seasonal;
mod sensitivity;
mod spend;
mod tail;
#[cfg(test)]
mod tests;
mod trend;
pub(crate) mod utc;

pub use episodes::{Change, Episode, Episodes, QUIET_S};
pub use finding::{Figures, Finding, Kind, Severity, Share, Unit};
pub use input::{Budget, HISTORY_S, HOUR_S, History, RECENT_S, Recent, Row, WEEKS_MAX};
pub use judge::{Health, judge};
pub use profile::{KNOWN_HOURS_MIN, Profile, Usual, learn, learn_with};
pub use sensitivity::Sensitivity;
pub use spend::Forecast;
