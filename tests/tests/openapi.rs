//! Schemathesis asks every operation of `/admin/v1/openapi.json`, with data that fits it and data
//! that does not: no answer is a fault of the gateway, none has a status, a content type or a
//! shape that the document has not, and nothing wrong is taken.
//!
//! Needs the built gateway, `python3` with venv, and PyPI on the first run.

use coo_llm_tests::gateway::ADMIN_KEY;
use coo_llm_tests::python::{openapi_interpreter, script};
use coo_llm_tests::rig::{self, CLIENT, MODEL, PROVIDER, Rig};
use coo_llm_tests::upstream::Script;
use std::process::Command;

/// Test cases that must have been sent, so that an empty run is none.
const CASES_MIN: u64 = 1_000;

#[test]
fn every_answer_is_one_that_the_document_has() {
    let rig = Rig::start_with(|config| {
        config.server.push("admin_req_per_min: none".to_owned());
    });
    let script_of = |status| Script {
        status,
        ..Script::default()
    };
    for status in [None, None, None, Some(500), Some(429)] {
        for body in [
            rig::chat(&script_of(status)),
            rig::stream(&script_of(status)),
        ] {
            assert_eq!(rig.chat(&body).status, status.unwrap_or(200));
        }
    }
    let page = rig.gateway.metrics_after(10);
    assert_eq!(page.count("coo_llm_requests_total", &[]), 10);
    let output = Command::new(openapi_interpreter())
        .arg(script("openapi/ask.py"))
        .arg(format!("http://{}", rig.gateway.admin()))
        .arg(ADMIN_KEY)
        // Names that are known, so that answers are more than 404.
        .args([CLIENT, PROVIDER, MODEL])
        .current_dir(rig.gateway.dir())
        .output()
        .expect("the interpreter runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    let cases = said.lines().find_map(|line| line.strip_prefix("cases: "));
    let cases = cases.and_then(|cases| cases.parse::<u64>().ok());
    assert!(cases >= Some(CASES_MIN), "{cases:?}: {said}\n{errors}");
    let page = rig.gateway.metrics();
    assert_eq!(page.count("coo_llm_task_panics_total", &[]), 0);
    assert_eq!(rig.gateway.ready(), Some(200));
}
