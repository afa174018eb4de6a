//! The formats that a real Prometheus negotiates: protobuf with native histograms, and
//! OpenMetrics with exemplars. Both are read back through its own query API.
//!
//! Needs the built gateway and `prometheus`.

use coo_llm_tests::patience::poll;
use coo_llm_tests::prometheus::Prometheus;
use coo_llm_tests::rig::{self, MODEL, Rig};
use coo_llm_tests::upstream::Script;

const REQUESTS: u32 = 25;

/// Starts a gateway, sends it requests, and lets Prometheus see them.
fn scene(features: &[&str], seen: &str) -> (Rig, Prometheus, Vec<String>) {
    let rig = Rig::start();
    let mut ids = Vec::new();
    for _ in 0..REQUESTS {
        let reply = rig.chat(&rig::chat(&Script::default()));
        assert_eq!(reply.status, 200, "{}", reply.text());
        ids.push(
            reply
                .header("x-request-id")
                .expect("every answer has one")
                .to_owned(),
        );
    }
    let prometheus = Prometheus::start_with(rig.gateway.admin(), features);
    poll("a scrape that saw all requests", || {
        let found = prometheus.query(seen, None);
        found
            .first()
            .filter(|found| found.value() == f64::from(REQUESTS))
            .map(|_| ())
    });
    (rig, prometheus, ids)
}

#[test]
fn native_histograms_come_over_protobuf() {
    let of_model = format!("coo_llm_latency_seconds{{model=\"{MODEL}\"}}");
    let count = format!("histogram_count(sum({of_model}))");
    let (rig, prometheus, _) = scene(&["native-histograms"], &count);
    let one = |promql: &str| {
        let found = prometheus.query(promql, None);
        assert_eq!(found.len(), 1, "{promql}");
        found[0].value()
    };
    // The sum is the text page's, to the microsecond.
    let page = rig.gateway.metrics_text();
    let line = page
        .lines()
        .find(|line| line.starts_with("coo_llm_latency_seconds_sum") && line.contains(MODEL))
        .expect("the sum");
    let sum: f64 = line
        .rsplit(' ')
        .next()
        .and_then(|value| value.parse().ok())
        .expect("a number");
    assert!((one(&format!("histogram_sum(sum({of_model}))")) - sum).abs() < 1e-9);
    // Quantiles of a native histogram, which classic buckets of 10 ms could not tell apart.
    let median = one(&format!("histogram_quantile(0.5, sum({of_model}))"));
    let mean = sum / f64::from(REQUESTS);
    assert!(
        median > 0.0 && median < 10.0 * mean,
        "median {median}, mean {mean}"
    );
    // Counters come over the same page.
    assert_eq!(
        one(&format!("sum(coo_llm_requests_total{{model=\"{MODEL}\"}})")),
        f64::from(REQUESTS)
    );
}

#[test]
fn exemplars_come_over_openmetrics() {
    let count = format!("sum(coo_llm_latency_seconds_count{{model=\"{MODEL}\"}})");
    let (_rig, prometheus, ids) = scene(&["exemplar-storage"], &count);
    let series = format!("coo_llm_latency_seconds_bucket{{model=\"{MODEL}\"}}");
    let found = poll("an exemplar", || {
        Some(prometheus.exemplars(&series)).filter(|found| !found.is_empty())
    });
    for (id, value) in found {
        assert!(ids.contains(&id), "{id} is the id of no answer");
        assert!(value > 0.0);
    }
}
