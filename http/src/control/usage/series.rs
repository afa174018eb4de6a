//! `GET /admin/v1/metrics`: what was used over time.

use super::span::Span;
use super::{Failure, Question};
use crate::control::Shared;
use crate::control::answer::{self, ErrorAnswer};
use crate::control::figures::{Usd, cost, millis};
use crate::control::parameters::{
    Asked, BadParameter, Filters, Parameters, Scope, Times, names, quoted,
};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use coo_llm_core::UnixMillis;
use coo_llm_exporters::history::{History, HistoryError, Query, Usage, Window};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

pub(in crate::control) const PATH: &str = "/admin/v1/metrics";

/// What is shown where `start` is left out: an hour.
const DEFAULT_S: u64 = 3600;
/// Points of a series: as many as Prometheus gives. A day by tens is 8,640.
const POINTS_MAX: u64 = 11_000;
/// Points of a series whose step nobody chose.
const POINTS_GOOD: u64 = 240;
/// Steps that people read easily: tens of seconds to a week.
const STEPS: [u64; 12] = [
    10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800,
];
/// The longest step: ten years.
const STEP_MAX: u64 = 315_360_000;

/// Which series, and how fine.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "for the document and for the names; values are read by hand"
)]
struct Which {
    /// Only this series: `latency`, `tokens`, `cost`, `requests` or `errors`.
    #[param(pattern = "^(latency|tokens|cost|requests|errors)$")]
    name: Option<String>,
    /// Seconds of a point, rounded up to those of the history's buckets; without it there are at
    /// most 240 points.
    #[param(minimum = 1, maximum = 315_360_000)]
    step: Option<u64>,
}

/// A series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Latency,
    Tokens,
    Cost,
    Requests,
    Errors,
}

impl Name {
    const ALL: [Self; 5] = [
        Self::Latency,
        Self::Tokens,
        Self::Cost,
        Self::Requests,
        Self::Errors,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
            Self::Requests => "requests",
            Self::Errors => "errors",
        }
    }

    /// A point of it. Of latency there is none where no request was timed.
    fn point(self, timestamp: u64, usage: &Usage) -> Option<Point> {
        let totals = &usage.totals;
        let value = match self {
            Self::Latency => Some(Number::Real(millis(usage.latency.mean_us())?)),
            Self::Tokens => Some(Number::Count(totals.tokens.total())),
            Self::Cost => cost(totals.cost, totals.requests, totals.unpriced).map(Number::Usd),
            Self::Requests => Some(Number::Count(totals.requests)),
            Self::Errors => Some(Number::Count(totals.errors)),
        };
        let output = totals.tokens.total_output();
        let input = totals.tokens.total().saturating_sub(output);
        let is_tokens = self == Self::Tokens;
        let at = |q| (self == Self::Latency).then(|| millis(usage.latency.quantile_us(q)))?;
        Some(Point {
            timestamp,
            value,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            input: is_tokens.then_some(input),
            output: is_tokens.then_some(output),
        })
    }
}

/// A number of any series.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
enum Number {
    Count(u64),
    Real(f64),
    Usd(Usd),
}

/// A point of a series.
#[derive(Debug, Serialize, ToSchema)]
struct Point {
    /// The first second of it, as unix time.
    timestamp: u64,
    /// Of latency the mean in milliseconds; of cost USD, null where no request has a price; of
    /// the others a count.
    #[schema(value_type = Option<f64>)]
    value: Option<Number>,
    /// Of latency, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p95: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<f64>,
    /// Of tokens: those of them that went in.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<u64>,
    /// Of tokens: those of them that came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<u64>,
}

/// Points, ascending. Time without a request has points of 0, but for latency, which has none.
#[derive(Debug, Serialize, ToSchema)]
struct Points {
    points: Vec<Point>,
}

/// Every series.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AllSeries {
    #[serde(flatten)]
    span: Span,
    /// Seconds of a point.
    step: u64,
    latency: Points,
    tokens: Points,
    cost: Points,
    requests: Points,
    errors: Points,
}

/// One series.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneSeries {
    name: &'static str,
    #[serde(flatten)]
    span: Span,
    /// Seconds of a point.
    step: u64,
    #[serde(flatten)]
    points: Points,
}

/// All series, or the one of `name`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Series {
    All(Box<AllSeries>),
    One(OneSeries),
}

/// Usage by the first second of its point, of every point of a window.
#[derive(Debug)]
struct Grid {
    window: Window,
    step: u64,
    usage: BTreeMap<u64, Usage>,
}

impl Grid {
    fn points(&self, name: Name) -> Points {
        let nothing = Usage::default();
        let Window { start_s, end_s } = self.window;
        let times = (start_s..end_s).step_by(usize::try_from(self.step).unwrap_or(usize::MAX));
        let points = times.filter_map(|at| name.point(at, self.usage.get(&at).unwrap_or(&nothing)));
        Points {
            points: points.collect(),
        }
    }
}

/// The step of a window of so many seconds, made of buckets of so many.
fn step(wanted: Option<u64>, seconds: u64, bucket: u64) -> u64 {
    let good = |step: &u64| seconds.div_ceil(*step) <= POINTS_GOOD;
    let longest = STEPS[STEPS.len() - 1];
    let step = wanted.unwrap_or_else(|| STEPS.into_iter().find(good).unwrap_or(longest));
    step.next_multiple_of(bucket.max(1))
}

/// What is known of a question, point by point.
fn gather(
    history: &History,
    question: &Question,
    wanted: Option<u64>,
    now: UnixMillis,
) -> Result<Result<Grid, BadParameter>, HistoryError> {
    let (known, bucket) = history.known(question.window, now)?;
    let seconds = known.end_s - known.start_s;
    let step = step(wanted, seconds, bucket);
    let points = seconds.div_ceil(step);
    if points > POINTS_MAX {
        let least = seconds.div_ceil(POINTS_MAX).next_multiple_of(bucket.max(1));
        return Ok(Err(BadParameter::TooFine { points, least }));
    }
    let mut window = question.window;
    if question.asked.start.is_none() {
        // Nobody chose it: points then stay where they are from one question to the next.
        window.start_s -= window.start_s % step;
    }
    let query = Query {
        window,
        step_s: Some(step),
        filter: question.filter.clone(),
        group_by: Vec::new(),
    };
    let answer = history.query(&query, now)?;
    let usage = answer.groups.into_iter().flat_map(|group| group.points);
    Ok(Ok(Grid {
        window: answer.window,
        step,
        usage: usage.collect(),
    }))
}

fn name(parameters: &Parameters) -> Result<Option<Name>, BadParameter> {
    let Some(text) = parameters.text("name")? else {
        return Ok(None);
    };
    let found = Name::ALL.into_iter().find(|name| name.as_str() == text);
    found.map(Some).ok_or_else(|| BadParameter::NotOneOf {
        name: "name",
        value: quoted(text),
        known: "latency, tokens, cost, requests, errors",
    })
}

fn shown(name: Option<Name>, grid: &Grid, asked: Asked, wanted: Window) -> Series {
    let span = Span::new(asked, wanted, grid.window);
    let points = |name| grid.points(name);
    match name {
        Some(name) => Series::One(OneSeries {
            name: name.as_str(),
            span,
            step: grid.step,
            points: points(name),
        }),
        None => Series::All(Box::new(AllSeries {
            span,
            step: grid.step,
            latency: points(Name::Latency),
            tokens: points(Name::Tokens),
            cost: points(Name::Cost),
            requests: points(Name::Requests),
            errors: points(Name::Errors),
        })),
    }
}

/// Latency, tokens, cost, requests and failures over time; the last hour without `start`.
#[utoipa::path(
    get, path = PATH, tag = "metrics",
    params(Times, Which, Filters, Scope),
    responses(
        (status = 200, description = "The series.", body = Series),
        (status = 400, description = "A parameter is wrong, or there would be too many points.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn series(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let known = [
        names::<Times>(),
        names::<Which>(),
        names::<Filters>(),
        names::<Scope>(),
    ];
    let parameters = Parameters::read(query.as_deref(), &known.concat())?;
    let name = name(&parameters)?;
    let step = parameters.number("step", 1, STEP_MAX)?;
    let question = Question::read(&parameters, DEFAULT_S)?;
    let (asked, wanted) = (question.asked, question.window);
    // Made into JSON over there too: it may have 55,000 points.
    let ask = shared.questions.ask(move |history, now| {
        let grid = gather(history, &question, step, now)?;
        Ok(grid.map(|grid| answer::value(&shown(name, &grid, asked, wanted))))
    });
    Ok(ask.await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_whole_buckets_and_few() {
        let hour = 3600;
        let table = [
            ((None, hour, 10), 30),
            ((None, 24 * hour, 10), 600),
            ((None, 30 * 24 * hour, 60), 10_800),
            ((None, 2 * 365 * 24 * hour, 3600), 604_800),
            ((None, 100 * 365 * 24 * hour, 3600), 604_800),
            ((Some(1), hour, 10), 10),
            ((Some(61), hour, 60), 120),
            ((Some(7), hour, 3600), 3600),
            ((None, 0, 10), 10),
        ];
        for ((wanted, seconds, bucket), want) in table {
            assert_eq!(step(wanted, seconds, bucket), want, "{wanted:?} {seconds}");
        }
    }

    #[test]
    fn time_without_a_request_is_zero_and_has_no_latency() {
        let (start_s, end_s) = (100, 135);
        let grid = Grid {
            window: Window { start_s, end_s },
            step: 10,
            usage: BTreeMap::new(),
        };
        let json = |name| serde_json::to_value(grid.points(name)).expect("JSON");
        let counts = json(Name::Requests);
        assert_eq!(
            counts["points"],
            serde_json::json!(
                [100, 110, 120, 130].map(|at| serde_json::json!({"timestamp": at, "value": 0}))
            )
        );
        assert_eq!(json(Name::Latency)["points"], serde_json::json!([]));
        assert_eq!(json(Name::Cost)["points"][0]["value"], 0);
    }
}
