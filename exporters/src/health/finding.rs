//! What was found, with its figures, as a sentence.

use super::utc::Utc;
use std::fmt;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// More requests than weeks and the last two days explain.
    UsageSpike,
    /// More of them fail.
    ErrorRateRise,
    /// More cost in hours than usual.
    CostSpike,
    /// Cost that grows week by week.
    CostDrift,
    /// More cost than the budget has, already or by the end of its period.
    BudgetOverrun,
    /// Other providers than usual.
    ProviderShift,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::UsageSpike,
        Self::ErrorRateRise,
        Self::CostSpike,
        Self::CostDrift,
        Self::BudgetOverrun,
        Self::ProviderShift,
    ];

    /// As a label of a metric and a value in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UsageSpike => "usage_spike",
            Self::ErrorRateRise => "error_rate_rise",
            Self::CostSpike => "cost_spike",
            Self::CostDrift => "cost_drift",
            Self::BudgetOverrun => "budget_overrun",
            Self::ProviderShift => "provider_shift",
        }
    }
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// To be looked at.
    Warning,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// As a value in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests in the window.
    Requests,
    /// A part of the requests in the window, 0 to 1.
    Rate,
    /// Money in nano-USD; exact up to 2^53.
    NanoUsd,
    /// What the cost of a week is to that of the week before.
    WeeklyFactor,
    /// Jensen-Shannon divergence, 0 to 1 bit.
    Bits,
}

impl Unit {
    /// As a value in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Rate => "rate",
            Self::NanoUsd => "nano_usd",
            Self::WeeklyFactor => "weekly_factor",
            Self::Bits => "bits",
        }
    }
}

/// The figures behind a finding. What is not known is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Of `observed`, `expected`, `lower` and `upper`.
    pub unit: Unit,
    /// What was; of [`Kind::BudgetOverrun`], what is forecast for the whole period.
    pub observed: f64,
    /// What is usual; of [`Kind::BudgetOverrun`], the budget.
    pub expected: Option<f64>,
    /// The least that is usual or, of a forecast and a rate, the lower end of its interval.
    pub lower: Option<f64>,
    /// The most that is usual or, of a forecast and a rate, the upper end of its interval.
    pub upper: Option<f64>,
    /// How likely this or more is where nothing is wrong. Not of a budget.
    pub p_value: Option<f64>,
    /// Requests in the window.
    pub samples: u64,
    /// Requests of them whose cost is not known, where cost is concerned.
    pub unpriced: Option<u64>,
    /// When the window begins, unix seconds.
    pub window_start_s: u64,
    /// When it ends.
    pub window_end_s: u64,
}

/// The part of a provider in a client's requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Its name, or `#N` of one that the names leave out.
    pub provider: Box<str>,
    /// In the window, 0 to 1.
    pub observed: f64,
    /// What is usual.
    pub expected: f64,
}

/// What was found of one client.
///
/// Its [`Display`](fmt::Display) is a sentence for an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// Since when, unix seconds. No earlier than the rows that it was found in;
    /// [`Episodes`](super::Episodes) remembers longer.
    pub since_s: u64,
    /// The figures.
    pub figures: Figures,
    /// Of [`Kind::ProviderShift`]: the providers, by how much they changed, most first. Of
    /// [`Kind::ErrorRateRise`]: the parts of the failures, and of all requests as what is expected.
    pub shares: Vec<Share>,
    /// Of [`Kind::BudgetOverrun`]: when the money is or will be gone, unix seconds; `None` where
    /// it was gone before this was looked at.
    pub spent_at_s: Option<u64>,
}

/// `3 minutes`, `2 hours`.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, unit) = match self.0 {
            s if s > 0 && s % 86_400 == 0 => (s / 86_400, "day"),
            s if s > 0 && s % 3600 == 0 => (s / 3600, "hour"),
            s => (s / 60, "minute"),
        };
        write!(f, "{n} {unit}{}", if n == 1 { "" } else { "s" })
    }
}

fn usd(nano: f64) -> String {
    format!("{:.2} USD", nano / 1e9)
}

fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if percent >= 10.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        let span = Span(figures.window_end_s.saturating_sub(figures.window_start_s));
        let since = Utc(self.since_s);
        let observed = figures.observed;
        match self.kind {
            Kind::UsageSpike => {
                write!(f, "{observed:.0} requests in {span}")?;
                if let (Some(expected), Some(upper)) = (figures.expected, figures.upper) {
                    write!(
                        f,
                        ", where {expected:.0} are usual and up to {upper:.0} happen"
                    )?;
                }
                write!(f, "; since {since}")
            }
            Kind::ErrorRateRise => {
                let (rate, n) = (percent(observed), figures.samples);
                write!(f, "{rate} of {n} requests in {span} failed")?;
                if let Some(expected) = figures.expected {
                    write!(f, ", where {} is usual", percent(expected))?;
                }
                if let Some(most) = self.shares.first() {
                    let (part, name) = (percent(most.observed), &most.provider);
                    write!(f, "; {part} of the failures at {name}")?;
                }
                write!(f, "; since {since}")
            }
            Kind::CostSpike => {
                write!(f, "{} in {span}", usd(observed))?;
                if let (Some(expected), Some(upper)) = (figures.expected, figures.upper) {
                    let (expected, upper) = (usd(expected), usd(upper));
                    write!(f, ", where {expected} is usual and up to {upper} happens")?;
                }
                unpriced(f, figures)?;
                write!(f, "; since {since}")
            }
            Kind::CostDrift => {
                let growth = percent(observed - 1.0);
                write!(f, "cost grows by {growth} a week, over {span}")?;
                unpriced(f, figures)
            }
            Kind::BudgetOverrun => {
                let budget = figures.expected.map_or_else(String::new, usd);
                match self.spent_at_s {
                    Some(at) if at > figures.window_end_s => {
                        write!(f, "the budget of {budget} will be spent by {}", Utc(at))?;
                        write!(f, ": {} by the end of its period", usd(observed))?;
                        if let (Some(lower), Some(upper)) = (figures.lower, figures.upper) {
                            write!(f, " ({} to {})", usd(lower), usd(upper))?;
                        }
                    }
                    _ => {
                        write!(f, "the budget of {budget} is spent")?;
                        if figures.lower.is_some() {
                            write!(f, ": {} by the end of its period", usd(observed))?;
                        }
                    }
                }
                unpriced(f, figures)
            }
            Kind::ProviderShift => {
                let n = figures.samples;
                write!(f, "of {n} requests in {span}")?;
                for (at, share) in self.shares.iter().take(3).enumerate() {
                    let Share {
                        provider,
                        observed,
                        expected,
                    } = share;
                    let comma = if at == 0 { "" } else { "," };
                    let (now, usual) = (percent(*observed), percent(*expected));
                    write!(f, "{comma} {now} went to {provider} (usual: {usual})")?;
                }
                write!(f, "; since {since}")
            }
        }
    }
}

/// Says that cost is missing.
fn unpriced(f: &mut fmt::Formatter<'_>, figures: &Figures) -> fmt::Result {
    match figures.unpriced {
        Some(n) if n > 0 => write!(f, "; without {n} requests whose cost is not known"),
        _ => Ok(()),
    }
}
