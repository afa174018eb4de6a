//! The history's file beside `/metrics`, read by the `sqlite3` of the system.
//!
//! Needs the built gateway and `sqlite3`.

use coo_llm_tests::gateway::{self, Config, Gateway, free_port};
use coo_llm_tests::rig::{self, CLIENT, MODEL, PROVIDER, Rig};
use coo_llm_tests::upstream::{Script, Upstream};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What `sqlite3 -readonly` says, by rows and columns.
fn sql(file: &Path, sql: &str) -> Vec<Vec<String>> {
    let output = Command::new("sqlite3")
        .args(["-readonly", "-separator", "\t"])
        .arg(file)
        .arg(sql)
        .output()
        .expect("sqlite3 is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows = text.lines();
    rows.map(|row| row.split('\t').map(ToOwned::to_owned).collect())
        .collect()
}

fn storage(file: &Path) -> String {
    let file = file.display();
    format!("storage: {{ flush_interval: 1s, history: {{ path: \"{file}\" }} }}")
}

fn requests(file: &Path) -> u64 {
    let rows = sql(file, "SELECT coalesce(sum(requests), 0) FROM usage_1h");
    rows[0][0].parse().expect("a number")
}

#[test]
fn the_file_says_what_metrics_say_while_the_gateway_runs() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("new").join("history.db");
    let mut rig = Rig::start_with(|config| config.top = vec![storage(&file)]);
    let script = Script::default();
    let failing = Script {
        status: Some(500),
        ..Script::default()
    };
    for _ in 0..7 {
        assert_eq!(rig.chat(&rig::chat(&script)).status, 200);
        assert_eq!(rig.chat(&rig::stream(&script)).status, 200);
    }
    assert_eq!(rig.chat(&rig::chat(&failing)).status, 500);
    let stage = |stage| [("stage", stage)];
    let page = rig.gateway.metrics_when("all records in the file", |page| {
        let of = |name| page.count("coo_llm_records_total", &stage(name));
        of("recorded") == 15 && of("persisted") == 15
    });
    assert_eq!(page.count("coo_llm_records_total", &stage("dropped")), 0);
    assert_eq!(page.count("coo_llm_sink_failures_total", &[]), 0);
    assert!(page.count("coo_llm_sink_rows_total", &[]) > 0);

    let key = rig::provider_key_id();
    let tokens = |kind| {
        page.count("coo_llm_tokens_total", &[("type", kind)])
            .to_string()
    };
    let expected = vec![
        PROVIDER.to_owned(),
        MODEL.to_owned(),
        key,
        CLIENT.to_owned(),
        page.count("coo_llm_requests_total", &[]).to_string(),
        page.count("coo_llm_errors_total", &[]).to_string(),
        tokens("input"),
        tokens("output"),
        page.nano_usd("coo_llm_cost_total", &[]).to_string(),
    ];
    for width in ["10s", "1m", "1h"] {
        let rows = sql(
            &file,
            &format!(
                "SELECT provider, model, key, client_id, sum(requests), sum(errors), sum(input), \
                 sum(output), sum(CAST(round(cost_usd * 1e9) AS INTEGER)) FROM history_{width} \
                 GROUP BY 1, 2, 3, 4"
            ),
        );
        assert_eq!(rows, std::slice::from_ref(&expected), "{width}");
    }
    let errors = sql(&file, "SELECT provider, type, sum(requests) FROM errors_1m");
    assert_eq!(errors, [[PROVIDER, "upstream_5xx", "1"]]);

    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));
    assert_eq!(sql(&file, "PRAGMA integrity_check"), [["ok"]]);
    assert_eq!(requests(&file), 15);
}

#[test]
fn a_restart_goes_on_and_a_clean_stop_loses_nothing() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("history.db");
    let upstream = Upstream::builder()
        .keys(&[rig::PROVIDER_KEY])
        .models(&[MODEL])
        .start();
    let config = Config {
        // Longer than the test, so that only the stop can have written.
        top: vec![storage(&file).replace("1s", "1h")],
        ..rig::config(&upstream.base_url())
    };
    let mut sent = 0;
    for chats in [3, 4] {
        let gateway = Gateway::start(&config);
        let mut rig = Rig {
            upstream: Upstream::builder().start(),
            gateway,
        };
        for _ in 0..chats {
            assert_eq!(rig.chat(&rig::chat(&Script::default())).status, 200);
        }
        sent += chats;
        rig.gateway.terminate();
        assert_eq!(rig.gateway.wait().code(), Some(0));
        assert_eq!(requests(&file), sent);
    }
    assert_eq!(sql(&file, "SELECT count(*) FROM clients"), [["1"]]);
}

#[test]
fn a_damaged_history_ends_the_start_with_one_line() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("history.db");
    fs::write(&file, "rows".repeat(5000)).expect("the folder is writable");
    let config = Config {
        top: vec![storage(&file)],
        ..rig::config("http://127.0.0.1:1/v1")
    };
    let yaml = config.yaml(free_port(), 0);
    fs::write(folder.path().join("c.yaml"), yaml).expect("the folder is writable");
    let output = gateway::run(&["serve", "--config", "c.yaml"], folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in ["damaged", "history.db", ".recover", "move"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert_eq!(fs::read(&file).expect("the file").len(), 20_000);
}
