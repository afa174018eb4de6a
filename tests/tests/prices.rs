//! A file of prices: what it says is billed, a change of it is taken while requests go on,
//! and a bad one changes nothing.

use coo_llm_tests::client::Reply;
use coo_llm_tests::gateway::{self, Config};
use coo_llm_tests::patience::poll;
use coo_llm_tests::rig::{MODEL, PROVIDER, Rig, chat, config};
use coo_llm_tests::upstream::{Script, Usage};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const INFO: &str = "coo_llm_price_table_info";
const IS_CURRENT: &str = "coo_llm_price_table_last_reload_success";
const UNPRICED: &str = "coo_llm_unpriced_requests_total";

/// A table of one model, with a member `version`.
fn table(version: &str, input: &str) -> String {
    format!(
        r#"{{"version": "{version}", "acme/{MODEL}": {{"litellm_provider": "acme", "mode": "chat",
            "input_cost_per_token": {input}, "output_cost_per_token": 1e-6}}}}"#
    )
}

/// A gateway whose model has no price but what the file says.
fn start(file: &Path) -> Rig {
    Rig::start_with(|config| {
        config.providers[0].models = vec![(MODEL.to_owned(), None)];
        let provider = config.providers.remove(0);
        config.providers.push(provider.line("price_provider: acme"));
        config.top.push(format!("prices: \"{}\"", file.display()));
    })
}

fn ask(rig: &Rig) -> Reply {
    let usage = Usage {
        prompt: 1000,
        completion: 1,
        ..Usage::default()
    };
    let script = Script {
        usage,
        ..Script::default()
    };
    let reply = rig.chat(&chat(&script));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

fn cost(reply: &Reply) -> Option<String> {
    reply.header("x-coo-cost-usd").map(str::to_owned)
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("coo-llm-").expect("a temporary folder");
    let file = folder.path().join("prices.json");
    (folder, file)
}

#[test]
fn prices_change_with_the_file_while_the_gateway_runs() {
    let (_folder, file) = place();
    fs::write(&file, table("one", "1e-6")).expect("the folder is writable");
    let rig = start(&file);
    assert_eq!(cost(&ask(&rig)).as_deref(), Some("0.001001"));
    let page = rig.gateway.metrics();
    assert_eq!(page.count(INFO, &[("version", "one")]), 1);
    assert_eq!(page.count(IS_CURRENT, &[]), 1);

    fs::write(&file, table("two", "25e-7")).expect("the folder is writable");
    poll("the new price", || {
        cost(&ask(&rig)).filter(|cost| cost == "0.002501")
    });
    let page = rig.gateway.metrics();
    assert_eq!(page.count(INFO, &[("version", "two")]), 1);
    assert_eq!(page.count(INFO, &[]), 1, "one table is in use");

    // A bad file: what was in use stays, and it is told where one looks.
    fs::write(&file, table("three", "-25e-7")).expect("the folder is writable");
    let page = rig.gateway.metrics_when("the reload to fail", |page| {
        page.count(IS_CURRENT, &[]) == 0
    });
    assert_eq!(page.count(INFO, &[("version", "two")]), 1);
    assert_eq!(cost(&ask(&rig)).as_deref(), Some("0.002501"));
    let told =
        format!("entry `acme/{MODEL}`, field `input_cost_per_token`: `-25e-7` is below zero");
    poll("the log to say why", || {
        rig.gateway.log().contains(&told).then_some(())
    });

    fs::write(&file, table("four", "3e-6")).expect("the folder is writable");
    poll("the price after it", || {
        cost(&ask(&rig)).filter(|cost| cost == "0.003001")
    });
    let page = rig.gateway.metrics();
    assert_eq!(page.count(IS_CURRENT, &[]), 1);
    assert_eq!(page.count(UNPRICED, &[]), 0);
}

/// A change that neither length nor time of the file tell is read at SIGHUP.
#[test]
fn a_signal_reads_the_file_again() {
    let (folder, file) = place();
    fs::write(&file, table("one", "1e-6")).expect("the folder is writable");
    let written = fs::metadata(&file).and_then(|metadata| metadata.modified());
    let written = written.expect("the file system has times");
    let rig = start(&file);
    let other = folder.path().join("other");
    fs::write(&other, table("two", "2e-6")).expect("the folder is writable");
    let times = File::options().write(true).open(&other);
    let times = times.and_then(|file| file.set_modified(written));
    times.expect("the file is ours");
    fs::rename(&other, &file).expect("the folder is writable");
    rig.gateway.hang_up();
    poll("the new price", || {
        cost(&ask(&rig)).filter(|cost| cost == "0.002001")
    });
}

#[test]
fn a_price_that_is_not_known_is_not_zero() {
    let (_folder, file) = place();
    // A price of another provider, and one that tokens do not tell.
    let text = format!(
        r#"{{"{MODEL}": {{"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}},
        "acme/{MODEL}": {{"litellm_provider": "acme", "mode": "image_generation", "output_cost_per_image": 0.04}}}}"#
    );
    fs::write(&file, text).expect("the folder is writable");
    let rig = start(&file);
    assert_eq!(cost(&ask(&rig)), None);
    let page = rig.gateway.metrics_after(1);
    let labels = [("provider", PROVIDER), ("model", MODEL)];
    assert_eq!(page.count(UNPRICED, &labels), 1);

    // And zero is a price.
    fs::write(&file, table("free", "0.0").replace("1e-6", "0")).expect("the folder is writable");
    poll("the price of zero", || {
        cost(&ask(&rig)).filter(|cost| cost == "0")
    });
}

#[test]
fn a_gateway_does_not_start_with_a_bad_file() {
    let (folder, file) = place();
    fs::write(&file, table("one", "\"1,5\"")).expect("the folder is writable");
    let mut bad: Config = config("http://127.0.0.1:1/v1");
    bad.top.push(format!("prices: \"{}\"", file.display()));
    let yaml = folder.path().join("coo-llm.yaml");
    fs::write(&yaml, bad.yaml(0, 0)).expect("the folder is writable");
    let why = format!(
        "{}: entry `acme/{MODEL}`, field `input_cost_per_token`: is not a decimal number",
        file.display()
    );
    for command in ["serve", "check-config"] {
        let config = yaml.display().to_string();
        let output = gateway::run(&[command, "--config", &config], folder.path());
        assert_eq!(output.status.code(), Some(1), "{command}");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(&why), "{command}: {said}");
    }
}
