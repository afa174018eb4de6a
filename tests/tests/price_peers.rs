//! What we bill is what LiteLLM's cost function and genai-prices bill, over nearly two
//! thousand models and a dozen shapes of usage, but for the differences that are listed.

use coo_llm_tests::gateway;
use coo_llm_tests::python::{prices_interpreter, script};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Every difference and its reason; a line of it that is no more is a failure too.
const LISTED: &str = include_str!("../python/prices/differences.txt");
/// Costs that must have been compared, so that an empty comparison is none.
const COMPARED_MIN: [(&str, u64); 2] = [("litellm", 15_000), ("genai-prices", 2_000)];

#[test]
fn costs_are_those_of_others() {
    let folder = tempfile::TempDir::with_prefix("coo-llm-").expect("a temporary folder");
    let output = Command::new(prices_interpreter())
        .arg(script("prices/compare.py"))
        .arg(gateway::binary())
        .arg(folder.path())
        .output()
        .expect("the interpreter runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for (peer, costs_min) in COMPARED_MIN {
        let begin = format!("{peer}: ");
        let line = said.lines().find_map(|line| line.strip_prefix(&begin));
        let count = line.and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
        assert!(count >= Some(costs_min), "{peer} {count:?}: {said}");
    }
    let lines = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let found = lines(&String::from_utf8_lossy(&output.stdout));
    let listed = lines(LISTED);
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "not listed: {new:#?}\nlisted and not found: {gone:#?}"
    );
    // The table itself, kept out of the repository, is the one that the list was made with.
    let records = fs::read_to_string(folder.path().join("records.jsonl"));
    assert!(records.is_ok_and(|records| records.lines().count() > 15_000));
}
