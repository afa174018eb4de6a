//! What was used: questions to the history, and its answers as JSON.
//!
//! ```text
//! query --parameters--> Question --Questions::ask--> History --> figures --> answer
//! ```
//! An endpoint a file. [`span`] says what time an answer is about, [`summary`] and
//! [`figures`] what its numbers are.

pub(super) mod client;
pub(super) mod clients;
pub(super) mod global;
pub(super) mod own;
pub(super) mod provider;
pub(super) mod series;
mod span;
pub(super) mod stats;
mod summary;

use super::answer;
use super::parameters::{Asked, BadParameter, Parameters};
use super::questions::{NoAnswer, now};
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use coo_llm_exporters::history::{Filter, Window};
use http::StatusCode;

/// What is shown where `start` is left out.
const DAY_S: u64 = 24 * 3600;

/// What every question has.
#[derive(Clone, Debug)]
struct Question {
    asked: Asked,
    /// What was asked for, with what was left out.
    window: Window,
    filter: Filter,
}

impl Question {
    /// Reads it; a window without a start begins `default_s` before its end.
    fn read(parameters: &Parameters, default_s: u64) -> Result<Self, BadParameter> {
        parameters.scope()?;
        let asked = parameters.times()?;
        Ok(Self {
            asked,
            window: asked.window(default_s, now().0 / 1000)?,
            filter: parameters.filter()?,
        })
    }
}

/// Why there is another answer than numbers.
#[derive(Debug)]
pub(super) enum Failure {
    Parameter(BadParameter),
    NoAnswer(NoAnswer),
    /// The id in the path is no text.
    NoText,
    /// Neither the configuration nor the history knows it.
    Unknown(&'static str),
}

impl From<BadParameter> for Failure {
    fn from(error: BadParameter) -> Self {
        Self::Parameter(error)
    }
}

impl From<NoAnswer> for Failure {
    fn from(error: NoAnswer) -> Self {
        Self::NoAnswer(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Parameter(error) => answer::bad_request(&error.to_string()),
            Self::NoAnswer(error) => error.response(),
            Self::NoText => answer::bad_request("The id in the path is not UTF-8."),
            Self::Unknown(what) => {
                let message =
                    format!("No such {what}: neither the configuration nor the history has it.");
                answer::admin_error(StatusCode::NOT_FOUND, "not_found", &message)
            }
        }
    }
}

/// The id in a path.
fn id(path: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    path.map(|Path(id)| id).map_err(|_| Failure::NoText)
}
