//! Debian's Prometheus scrapes the gateway, and the user's own PromQL gives the right numbers.
//!
//! Needs the built gateway and `prometheus`.

use coo_llm_tests::exposition::{Exposition, labels};
use coo_llm_tests::oracle::cost_nano_usd;
use coo_llm_tests::patience::poll;
use coo_llm_tests::prometheus::{Found, Prometheus, promtool_check_metrics};
use coo_llm_tests::rig::{self, CLIENT, MODEL, PRICING, PROVIDER, Rig, provider_key_id};
use coo_llm_tests::upstream::{Script, TokenCounts, Usage};

const GOOD: u64 = 30;
const BAD: u64 = 10;
const ADMIN: u64 = 5;

/// Seconds of the two windows of the user's examples.
const FIVE_MINUTES: f64 = 300.0;
const ONE_HOUR: f64 = 3600.0;

/// A gateway that was scraped before, while and after it had this traffic.
struct Scene {
    rig: Rig,
    prometheus: Prometheus,
    /// The time of the scrape that saw all of it.
    time: f64,
}

impl Scene {
    fn play() -> Self {
        let rig = Rig::start();
        assert_eq!(
            rig.gateway.admin_get("/admin/v1/metrics/global").status,
            200
        );
        let prometheus = Prometheus::start(rig.gateway.admin());
        poll("the first scrape", || {
            let up = prometheus.query("up{job='coo-llm'} == 1", None);
            let requests = format!("coo_llm_requests_total{{provider=\"{PROVIDER}\"}}");
            let seen = prometheus.query(&requests, None);
            (up.len() == 1 && seen.len() == 1).then_some(())
        });
        for index in 0..GOOD + BAD {
            let mut script = Script {
                usage: usage(index),
                ..Script::default()
            };
            if index >= GOOD {
                script.status = Some(if index % 2 == 0 { 500 } else { 429 });
            }
            let reply = rig.chat(&rig::chat(&script));
            assert_eq!(
                reply.status,
                script.status.unwrap_or(200),
                "{}",
                reply.text()
            );
        }
        for _ in 0..ADMIN {
            assert_eq!(
                rig.gateway.admin_get("/admin/v1/metrics/global").status,
                200
            );
        }
        let points = "coo_llm_requests_total{provider=\"acme\"}[1h]";
        let admin = "coo_llm_admin_requests_total{endpoint=\"/admin/v1/metrics/global\"}[1h]";
        let time = poll("the scrape that sees all requests", || {
            let last = |promql| {
                prometheus
                    .query(promql, None)
                    .first()?
                    .points
                    .last()
                    .copied()
            };
            let (time, requests) = last(points)?;
            let (at, calls) = last(admin)?;
            let all = requests == (GOOD + BAD) as f64 && calls == (ADMIN + 1) as f64;
            (all && time == at).then_some(time)
        });
        Self {
            rig,
            prometheus,
            time,
        }
    }

    fn query(&self, promql: &str) -> Vec<Found> {
        self.prometheus.query(promql, Some(self.time))
    }

    /// The one series with these labels, among what `promql` gives.
    fn one(&self, promql: &str, pairs: &[(&str, &str)]) -> f64 {
        let found = self.query(promql);
        let has = |f: &&Found| {
            labels(pairs)
                .iter()
                .all(|(n, v)| f.labels.get(n) == Some(v))
        };
        let matching: Vec<&Found> = found.iter().filter(has).collect();
        assert_eq!(matching.len(), 1, "{promql} with {pairs:?} in {found:?}");
        matching[0].value()
    }
}

fn usage(index: u64) -> Usage {
    Usage {
        prompt: 100 + index,
        completion: 10 + 2 * index,
        cached: index,
        ..Usage::default()
    }
}

fn near(got: f64, expected: f64, what: &str) {
    let error = (got - expected).abs() / expected.abs().max(1e-30);
    assert!(error < 1e-9, "{what}: got {got}, expected {expected}");
}

/// The quantile of a histogram, interpolated as Prometheus documents it.
fn quantile(page: &Exposition, q: f64) -> f64 {
    let of_model = [("provider", PROVIDER), ("model", MODEL)];
    let buckets = page.matching("coo_llm_latency_seconds_bucket", &of_model);
    let buckets: Vec<(f64, f64)> = buckets
        .map(|s| (s.labels["le"].parse().expect("an edge"), s.value.as_f64()))
        .collect();
    let rank = q * buckets.last().expect("buckets").1;
    let at = buckets
        .iter()
        .position(|(_, count)| *count >= rank)
        .expect("+Inf has all");
    let (low, below) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
    let (high, upto) = buckets[at];
    low + (high - low) * (rank - below) / (upto - below)
}

#[test]
fn the_users_examples_give_the_right_numbers() {
    let scene = Scene::play();
    let key = provider_key_id();
    let route = [
        ("provider", PROVIDER),
        ("model", MODEL),
        ("key", key.as_str()),
    ];

    // All series start at 0 before the traffic and are read at the time of a sample,
    // so `rate` is the exact increase over the window's length.
    let rate = scene.one("rate(coo_llm_requests_total[5m])", &route);
    near(rate, (GOOD + BAD) as f64 / FIVE_MINUTES, "request rate");

    let (mut input, mut cached, mut output, mut nano_usd) = (0, 0, 0, 0);
    for index in 0..GOOD {
        let tokens = TokenCounts::from_usage(&usage(index));
        input += tokens.input;
        cached += tokens.cached_input;
        output += tokens.output;
        nano_usd += cost_nano_usd(&PRICING, &tokens);
    }
    for (kind, count) in [("input", input), ("output", output)] {
        let of_kind = [route.as_slice(), &[("type", kind)]].concat();
        let rate = scene.one("rate(coo_llm_tokens_total[1h])", &of_kind);
        near(rate, count as f64 / ONE_HOUR, kind);
    }
    // This type was first seen in the middle: its total is right, its first step has no rate.
    let of_kind = [route.as_slice(), &[("type", "cached_input")]].concat();
    near(
        scene.one("coo_llm_tokens_total", &of_kind),
        cached as f64,
        "cached_input",
    );

    let cost = "sum(rate(coo_llm_cost_total[1h])) by (provider)";
    let rate = scene.one(cost, &[("provider", PROVIDER)]);
    near(rate, nano_usd as f64 / 1e9 / ONE_HOUR, "cost");

    let top = "topk(10, rate(coo_llm_client_requests_total[1h]))";
    let rate = scene.one(top, &[("client_id", CLIENT)]);
    near(rate, (GOOD + BAD) as f64 / ONE_HOUR, "client requests");

    let p95 = "histogram_quantile(0.95, rate(coo_llm_latency_seconds_bucket[5m]))";
    let of_model = [("provider", PROVIDER), ("model", MODEL)];
    let page = scene.rig.gateway.metrics();
    near(scene.one(p95, &of_model), quantile(&page, 0.95), "p95");

    let endpoint = [("endpoint", "/admin/v1/metrics/global"), ("method", "GET")];
    let rate = scene.one("rate(coo_llm_admin_requests_total[5m])", &endpoint);
    assert!(
        rate > 0.0 && rate <= (ADMIN + 1) as f64 / FIVE_MINUTES,
        "{rate}"
    );
    let steps = scene.one("increase(coo_llm_admin_requests_total[5m])", &endpoint);
    assert!(
        steps >= ADMIN as f64 && steps <= (ADMIN + 1) as f64,
        "{steps}"
    );

    let limits = scene.query("rate(coo_llm_admin_rate_limits_total[5m])");
    assert!(!limits.is_empty(), "initialised at 0");
    assert!(limits.iter().all(|series| series.value() == 0.0));
}

#[test]
fn the_alert_on_errors_works_in_its_right_form_only() {
    let scene = Scene::play();
    // Errors have a type and requests have a model and a key: no pair matches.
    let original = "rate(coo_llm_errors_total[5m]) / rate(coo_llm_requests_total[5m])";
    assert!(scene.query(original).is_empty());
    assert!(scene.query(&format!("{original} > 0.1")).is_empty());

    let working = "sum by (provider) (rate(coo_llm_errors_total[5m])) \
                   / sum by (provider) (rate(coo_llm_requests_total[5m]))";
    let of_provider = [("provider", PROVIDER)];
    near(scene.one(working, &of_provider), 0.25, "error rate");
    let fired = scene.query(&format!("{working} > 0.1"));
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].labels, labels(&of_provider));

    let slow = "histogram_quantile(0.95, rate(coo_llm_latency_seconds_bucket[5m])) > 10";
    assert!(scene.query(slow).is_empty(), "no request took 10 s");

    for (kind, status) in [("upstream_5xx", 500), ("rate_limit", 429)] {
        let labels = [("provider", PROVIDER), ("type", kind)];
        let rate = scene.one("rate(coo_llm_errors_total[5m])", &labels);
        near(rate, (BAD / 2) as f64 / FIVE_MINUTES, &status.to_string());
    }
}

#[test]
fn promtool_finds_nothing_to_say() {
    let rig = Rig::start();
    for script in [
        Script::default(),
        Script {
            status: Some(429),
            ..Script::default()
        },
    ] {
        let reply = rig.chat(&rig::chat(&script));
        assert_eq!(reply.status, script.status.unwrap_or(200));
    }
    drop(rig.gateway.metrics_after(2));
    let output = promtool_check_metrics(&rig.gateway.metrics_text());
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
    assert_eq!(String::from_utf8_lossy(&said), "");
}
