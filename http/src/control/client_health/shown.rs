//! A client's report as JSON.

use crate::control::figures::Usd;
use coo_llm_exporters::health::{Episode, Finding, Kind, Severity, Unit};
use coo_llm_exporters::history::Window;
use coo_llm_exporters::watch::{Report, Served};
use serde::Serialize;
use utoipa::ToSchema;

/// Something unusual.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::control) struct Anomaly {
    /// `usage_spike`, `error_rate_rise`, `cost_spike`, `cost_drift`, `budget_overrun` or
    /// `provider_shift`.
    pub(in crate::control) kind: &'static str,
    /// `warning` or `critical`.
    severity: &'static str,
    /// A sentence with the figures.
    text: String,
    /// Since when, unix seconds.
    since: u64,
    /// When it was found first.
    found: u64,
    /// When it was found last.
    seen: u64,
    /// Whether it goes on.
    open: bool,
    /// Of the four figures that follow: `requests`, `rate` (0 to 1), `usd`, `weekly_factor` or
    /// `bits`.
    unit: &'static str,
    /// What was; of `budget_overrun`, what is forecast for the whole period.
    observed: f64,
    /// What is usual; of `budget_overrun`, the budget.
    expected: Option<f64>,
    /// The least and the most that is usual, or the ends of a forecast's or a rate's interval.
    lower: Option<f64>,
    upper: Option<f64>,
    /// How likely it is where nothing is wrong.
    p_value: Option<f64>,
    /// Requests in the window.
    samples: u64,
    /// Requests of them whose cost is not known, where cost is concerned.
    unpriced: Option<u64>,
    /// The window that it was found in, unix seconds.
    window_start: u64,
    window_end: u64,
    /// Of `provider_shift`: parts of the requests. Of `error_rate_rise`: of the failures, and of
    /// the requests as what is expected.
    providers: Vec<Part>,
    /// Of `budget_overrun`: when the money is gone, unix seconds.
    exhausted: Option<u64>,
}

/// A provider's part, 0 to 1.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProviderPart)]
struct Part {
    provider: String,
    observed: f64,
    expected: f64,
}

impl Anomaly {
    fn new(episode: &Episode, open: bool) -> Self {
        let finding: &Finding = &episode.finding;
        let figures = &finding.figures;
        // USD, as everywhere in the admin API.
        let (unit, scale) = match figures.unit {
            Unit::NanoUsd => ("usd", 1e9),
            unit => (unit.name(), 1.0),
        };
        let scaled = |value: f64| value / scale;
        let parts = finding.shares.iter().map(|share| Part {
            provider: share.provider.to_string(),
            observed: share.observed,
            expected: share.expected,
        });
        Self {
            kind: finding.kind.name(),
            severity: finding.severity.name(),
            text: finding.to_string(),
            since: finding.since_s,
            found: episode.found_s,
            seen: episode.seen_s,
            open,
            unit,
            observed: scaled(figures.observed),
            expected: figures.expected.map(scaled),
            lower: figures.lower.map(scaled),
            upper: figures.upper.map(scaled),
            p_value: figures.p_value,
            samples: figures.samples,
            unpriced: figures.unpriced,
            window_start: figures.window_start_s,
            window_end: figures.window_end_s,
            providers: parts.collect(),
            exhausted: finding.spent_at_s,
        }
    }
}

/// Usage of the last hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientUsage)]
struct Usage {
    /// Requests of the last 60 whole minutes.
    requests: u64,
    /// The most that is usual at this time of the week.
    usual_requests: Option<f64>,
    spikes: Vec<Anomaly>,
}

/// Failures of the last hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientErrors)]
struct Errors {
    /// Failures of the last 60 whole minutes.
    errors: u64,
    /// Their part of the requests, 0 to 1.
    rate: Option<f64>,
    usual_rate: Option<f64>,
    rises: Vec<Anomaly>,
}

/// Cost and budget.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientCost)]
struct Cost {
    /// Of the last 24 whole hours that were learned, USD.
    last_day: Option<Usd>,
    /// What is usual for these hours of the week.
    usual_day: Option<Usd>,
    /// Requests of them whose cost is not known.
    unpriced: Option<u64>,
    budget: Option<Budget>,
    overruns: Vec<Anomaly>,
}

/// A budget, and what becomes of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientBudgetForecast)]
struct Budget {
    /// USD a period.
    usd: Usd,
    spent: Usd,
    /// The period, unix seconds.
    start: u64,
    end: u64,
    /// What the period will have cost, as expected; 5 of 100 cost less than `lower`, and 5 more
    /// than `upper`.
    forecast: Option<Usd>,
    lower: Option<Usd>,
    upper: Option<Usd>,
    /// When it will be spent, where that is within the period.
    exhausted: Option<u64>,
}

/// Who served the last hour's requests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientProviders)]
struct Providers {
    /// The most requests first, then those that are usual and had none.
    distribution: Vec<Provider>,
    shifts: Vec<Anomaly>,
}

/// A provider's part.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientProvider)]
struct Provider {
    provider: String,
    /// Of the last 60 whole minutes.
    requests: u64,
    errors: u64,
    /// Its part of the requests that reached any, 0 to 1.
    share: Option<f64>,
    usual_share: Option<f64>,
}

/// How a client is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientHealth {
    client_id: String,
    /// `ok`, `warning` or `critical`: the worst of what goes on.
    status: &'static str,
    /// Whole hours of the last four weeks since its first request: what is usual is learned from
    /// them, and nothing is before 24.
    known_hours: usize,
    usage: Usage,
    errors: Errors,
    cost: Cost,
    providers: Providers,
}

/// What was found of a client in a window, the last ones first.
pub(super) fn within(report: &Report, window: Window, kind: Option<Kind>) -> Vec<Anomaly> {
    let mut found: Vec<Anomaly> = episodes(report, window, kind)
        .map(|(episode, open)| Anomaly::new(episode, open))
        .collect();
    found.sort_by_key(|it| std::cmp::Reverse((it.open, it.seen)));
    found
}

/// Whether anything was.
pub(super) fn is_any(report: &Report, window: Window, kind: Option<Kind>) -> bool {
    episodes(report, window, kind).next().is_some()
}

fn episodes(
    report: &Report,
    window: Window,
    kind: Option<Kind>,
) -> impl Iterator<Item = (&Episode, bool)> {
    let open = report.open.iter().map(|open| (open, true));
    let ended = report.ended.iter().map(|it| (&it.episode, false));
    open.chain(ended).filter(move |(episode, open)| {
        let is_kind = kind.is_none_or(|kind| kind == episode.finding.kind);
        // What goes on reaches up to now.
        let ends_after = *open || episode.seen_s >= window.start_s;
        is_kind && episode.finding.since_s < window.end_s && ends_after
    })
}

impl ClientHealth {
    pub(super) fn new(report: &Report, window: Window, kind: Option<Kind>) -> Self {
        let worst = report.open.iter().map(|open| open.finding.severity).max();
        let mut all = within(report, window, kind);
        let mut of = |kinds: &[Kind]| -> Vec<Anomaly> {
            let is_of = |it: &mut Anomaly| kinds.iter().any(|kind| kind.name() == it.kind);
            all.extract_if(.., is_of).collect()
        };
        let provider = |it: &Served| Provider {
            provider: it.provider.to_string(),
            requests: it.requests,
            errors: it.errors,
            share: it.share,
            usual_share: it.usual_share,
        };
        let cost = &report.cost;
        let forecast = cost.forecast.as_ref();
        let budget = cost.budget.map(|budget| Budget {
            usd: Usd(budget.amount),
            spent: Usd(budget.spent),
            start: budget.start_s,
            end: budget.end_s,
            forecast: forecast.map(|it| Usd(it.expected)),
            lower: forecast.map(|it| Usd(it.lower)),
            upper: forecast.map(|it| Usd(it.upper)),
            exhausted: forecast.and_then(|it| it.spent_at_s),
        });
        Self {
            client_id: report.client.to_string(),
            status: worst.map_or("ok", Severity::name),
            known_hours: report.known_hours,
            usage: Usage {
                requests: report.requests.observed,
                usual_requests: report.requests.expected,
                spikes: of(&[Kind::UsageSpike]),
            },
            errors: Errors {
                errors: report.failures.errors,
                rate: report.failures.observed,
                usual_rate: report.failures.expected,
                rises: of(&[Kind::ErrorRateRise]),
            },
            cost: Cost {
                last_day: cost.observed.map(Usd),
                usual_day: cost.expected.map(Usd),
                unpriced: cost.unpriced,
                budget,
                overruns: of(&[Kind::CostSpike, Kind::CostDrift, Kind::BudgetOverrun]),
            },
            providers: Providers {
                distribution: report.providers.iter().map(provider).collect(),
                shifts: of(&[Kind::ProviderShift]),
            },
        }
    }
}
