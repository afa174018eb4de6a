//! The launchers themselves: each starts the real thing and reads what it says.
//!
//! Needs `prometheus`, `python3` with venv, and PyPI on the first run.

use coo_llm_tests::gateway::free_port;
use coo_llm_tests::patience::poll;
use coo_llm_tests::prometheus::{Prometheus, promtool_check_metrics};
use coo_llm_tests::python;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

#[test]
fn prometheus_answers_queries() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let prometheus = Prometheus::start(nobody);
    let found = prometheus.query("vector(1.5) > 1 # ünïcode & ?", Some(1_700_000_000.25));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].points, [(1_700_000_000.25, 1.5)]);
    let up = poll("the scrape of a port that no one listens on", || {
        prometheus.query("up{job='coo-llm'}[1m]", None).pop()
    });
    assert_eq!((up.labels["__name__"].as_str(), up.value()), ("up", 0.0));
}

#[test]
fn promtool_tells_good_from_bad() {
    let good = "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n";
    let output = promtool_check_metrics(good);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
    let bad = promtool_check_metrics("# TYPE a counter\na 1\n");
    assert!(!bad.status.success());
}

#[test]
fn python_has_the_pinned_sdk() {
    let output = Command::new(python::interpreter())
        .args(["-c", "import openai; print(openai.__version__)"])
        .output()
        .expect("the interpreter runs");
    let version = String::from_utf8(output.stdout).expect("UTF-8");
    let requirements = include_str!("../python/requirements.txt");
    let pinned = format!("openai=={}", version.trim());
    assert!(requirements.lines().any(|line| line == pinned), "{pinned}");
}
