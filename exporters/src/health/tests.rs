//! What the whole says of histories that are short, have gaps, or none.

use super::*;
use coo_llm_core::NanoUsd;

const NOW_S: u64 = 1_795_525_200;

fn row(start_s: u64, requests: u64) -> Row {
    Row {
        start_s,
        provider: Some(0),
        requests,
        cost: NanoUsd(requests * 10_000_000),
        ..Row::default()
    }
}

fn hours(n: u64, requests: impl Fn(u64) -> u64) -> Vec<Row> {
    let ago = (1..=n).rev();
    ago.map(|h| row(NOW_S - h * HOUR_S, requests(h))).collect()
}

/// The last quarter of an hour.
fn quarter(a_minute: u64) -> Vec<Row> {
    (1..=15)
        .rev()
        .map(|m| row(NOW_S - m * 60, a_minute))
        .collect()
}

fn health(
    hours: &[Row],
    minutes: &[Row],
    unknown: &[(u64, u64)],
    budget: Option<&Budget>,
) -> Health {
    let history = History {
        hours,
        minutes: &[],
        unknown,
    };
    let recent = Recent {
        minutes,
        unknown,
        providers: &["openai"],
    };
    judge(&learn(&history, NOW_S), &recent, budget, NOW_S)
}

fn kinds(health: &Health) -> Vec<Kind> {
    health.findings.iter().map(|finding| finding.kind).collect()
}

fn budget() -> Budget {
    Budget {
        amount: NanoUsd(1000 * NanoUsd::PER_USD),
        start_s: NOW_S - 86_400,
        end_s: NOW_S + 86_400,
        spent: NanoUsd(1),
    }
}

#[test]
fn nothing_is_unusual_for_a_client_of_which_nothing_is_known() {
    let none = health(&[], &[], &[], Some(&budget()));
    assert!(none.findings.is_empty());
    assert_eq!(none.forecast, None, "not known is not zero");
    let first_day = health(&hours(20, |_| 10), &quarter(100), &[], Some(&budget()));
    assert!(first_day.findings.is_empty());
    assert_eq!(first_day.forecast, None);
}

#[test]
fn a_new_client_whose_requests_fail_is_found_at_once() {
    let mut failing = quarter(4);
    failing.iter_mut().for_each(|row| row.errors = 3);
    let found = health(&[], &failing, &[], None);
    assert_eq!(kinds(&found), [Kind::ErrorRateRise]);
    let text = found.findings[0].to_string();
    assert!(
        text.starts_with("75 % of 60 requests in 15 minutes failed, where 1.0 % is usual"),
        "{text}"
    );
    assert!(
        text.contains("; 100 % of the failures at openai; since "),
        "{text}"
    );
}

#[test]
fn no_traffic_is_no_spike_and_the_way_back_neither() {
    let usual = hours(672, |_| 600);
    assert!(health(&usual, &[], &[], None).findings.is_empty());
    let idle = hours(672, |ago| if ago <= 60 { 0 } else { 600 });
    assert!(health(&idle, &quarter(10), &[], None).findings.is_empty());
    assert_eq!(
        kinds(&health(&usual, &quarter(60), &[], None)),
        [Kind::UsageSpike]
    );
}

#[test]
fn a_new_level_is_told_for_a_day_and_is_usual_then() {
    let since = |hours_ago| hours(672, move |ago| if ago <= hours_ago { 1800 } else { 600 });
    let is_spike = |hours_ago| {
        let found = health(&since(hours_ago), &quarter(30), &[], None);
        kinds(&found).contains(&Kind::UsageSpike)
    };
    // In a quarter of an hour alone three times is within what a client of unknown bursts does.
    let minutes: Vec<Row> = (1..=60).rev().map(|m| row(NOW_S - m * 60, 40)).collect();
    let early = health(&since(6), &minutes, &[], None);
    assert!(kinds(&early).contains(&Kind::UsageSpike), "{early:?}");
    assert!(!is_spike(30));
}

#[test]
fn what_is_not_known_is_left_out() {
    let lost = (NOW_S - 40 * HOUR_S, NOW_S - 5 * HOUR_S);
    let mut rows = hours(672, |_| 600);
    rows.retain(|row| row.start_s < lost.0 || row.start_s >= lost.1);
    let found = health(&rows, &quarter(10), &[lost], Some(&budget()));
    assert!(found.findings.is_empty(), "{found:?}");
    assert!(found.forecast.is_some());
    // Of a window that is not whole nothing is said.
    let now = (NOW_S - 120, NOW_S);
    assert!(
        health(&rows, &quarter(100), &[lost, now], None)
            .findings
            .is_empty()
    );
}

#[test]
fn rows_of_the_future_and_times_before_all_history_do_no_harm() {
    let ahead = [row(NOW_S + 86_400, 5)];
    assert!(health(&ahead, &ahead, &[], None).findings.is_empty());
    let history = History {
        hours: &ahead,
        minutes: &ahead,
        unknown: &[],
    };
    assert_eq!(learn(&history, 0).known_hours, 0);
}

#[test]
fn a_rise_of_few_requests_shows_in_two_hours() {
    let mut usual = hours(672, |_| 60);
    usual.iter_mut().step_by(2).for_each(|row| row.errors = 1);
    // One failure in twelve requests, one request a minute.
    let failing: Vec<Row> = (1..=120)
        .rev()
        .map(|m| Row {
            errors: u64::from(m % 12 == 0),
            ..row(NOW_S - m * 60, 1)
        })
        .collect();
    let found = health(&usual, &failing, &[], None);
    assert_eq!(kinds(&found), [Kind::ErrorRateRise]);
    let figures = found.findings[0].figures;
    assert_eq!(figures.window_end_s - figures.window_start_s, 2 * HOUR_S);
    let hour = health(&usual, &failing[60..], &[], None);
    assert!(hour.findings.is_empty(), "{hour:?}");
}
