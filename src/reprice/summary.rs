//! The sums of a repricing, for people and for tests.

use super::Done;
use coo_llm_exporters::reprice::Costs;
use std::fmt::Write as _;

/// A line a model, and one for all.
pub(super) fn of(done: &Done) -> String {
    let mut rows = vec![
        [
            "provider",
            "model",
            "requests",
            "old USD",
            "new USD",
            "difference",
            "old unknown",
            "new unknown",
        ]
        .map(str::to_owned),
    ];
    let row = |provider: &str, model: &str, costs: Costs| {
        [
            provider.to_owned(),
            model.to_owned(),
            costs.requests.to_string(),
            usd(i128::try_from(costs.old).unwrap_or(i128::MAX)),
            usd(i128::try_from(costs.new).unwrap_or(i128::MAX)),
            usd(costs.difference),
            costs.old_unknown.to_string(),
            costs.new_unknown.to_string(),
        ]
    };
    rows.extend(
        done.sums
            .models()
            .map(|(provider, model, costs)| row(provider, model, costs)),
    );
    rows.push(row("total", "", done.sums.total()));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..8).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        for (column, (text, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            let written = match column {
                0 => write!(out, "{text:<width$}"),
                1 => write!(out, "  {text:<width$}"),
                _ => write!(out, "  {text:>width$}"),
            };
            written.expect("a String takes everything");
        }
        out.push('\n');
    }
    let (outside, rejected) = (done.outside, done.rejected);
    write!(
        out,
        "{outside} records outside of the time, {rejected} lines rejected"
    )
    .expect("a String takes everything");
    out
}

/// Nano-USD as USD, exact, with nine decimals so that points stand in line.
fn usd(nano: i128) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let nano = nano.unsigned_abs();
    format!("{sign}{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}
