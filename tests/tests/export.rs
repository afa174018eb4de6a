//! `coo-llm export` and `reprice` of the history, read by DuckDB and `sqlite3`, beside `/metrics`.
//!
//! Needs the built gateway, `sqlite3`, and `python3` with PyPI.

use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{self, binary};
use coo_llm_tests::python;
use coo_llm_tests::rig::{self, CLIENT, MODEL, PROVIDER, Rig};
use coo_llm_tests::upstream::{Script, Usage};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// From 2020 on until 2100: everything.
const ALWAYS: [&str; 4] = ["--from", "2020-01-01", "--to", "2100-01-01T00:00:00+01:00"];
const FORMATS: [&str; 3] = ["csv", "jsonl", "parquet"];
const TOKENS: [&str; 7] = [
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
];

fn storage() -> String {
    "storage: { flush_interval: 1s, history: { path: \"./history.db\" } }".to_owned()
}

/// Runs a command beside a configuration, and says what it wrote.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let with_config = [arguments, &["--config", "coo-llm.yaml"]].concat();
    gateway::run(&with_config, folder)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exports everything into a file of the folder.
fn export(folder: &Path, format: &str, name: &str) -> PathBuf {
    let arguments = ["export", "--format", format, "--output", name];
    let output = run(folder, &[&arguments[..], &ALWAYS].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    folder.join(name)
}

/// What DuckDB reads of files: `kinds`, `sums`, `rows` of each.
fn duckdb(files: &[PathBuf]) -> Vec<Value> {
    let output = Command::new(python::export_interpreter())
        .arg(python::script("export/sums.py"))
        .args(files)
        .output()
        .expect("the interpreter runs");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn sql(file: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").arg(file).arg(sql).output();
    let output = output.expect("sqlite3 is installed");
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Decimal USD as nano-USD.
fn nano(usd: &str) -> u64 {
    let (whole, fraction) = usd.split_once('.').unwrap_or((usd, ""));
    format!("{whole}{fraction:0<9}").parse().expect("a decimal")
}

/// A gateway with some requests of each kind in its history's file, and its page.
fn used() -> (Rig, Exposition) {
    let rig = Rig::start_with(|config| config.top = vec![storage()]);
    let cached = Script {
        usage: Usage {
            prompt: 1001,
            completion: 77,
            cached: 400,
            ..Usage::default()
        },
        ..Script::default()
    };
    let failing = Script {
        status: Some(500),
        ..Script::default()
    };
    for script in [&cached, &Script::default()] {
        for _ in 0..5 {
            assert_eq!(rig.chat(&rig::chat(script)).status, 200);
            assert_eq!(rig.chat(&rig::stream(script)).status, 200);
        }
    }
    assert_eq!(rig.chat(&rig::chat(&failing)).status, 500);
    let stage = |stage| [("stage", stage)];
    let page = rig.gateway.metrics_when("all records in the file", |page| {
        let of = |name| page.count("coo_llm_records_total", &stage(name));
        of("recorded") == 21 && of("persisted") == 21
    });
    (rig, page)
}

#[test]
fn every_format_sums_to_what_metrics_and_the_file_say() {
    let (mut rig, page) = used();
    let folder = rig.gateway.dir().to_owned();
    let name = |format: &str, when: &str| format!("{when}.{format}");
    let while_running = FORMATS.map(|format| export(&folder, format, &name(format, "running")));
    // The rows of a clean stop, whose file stands alone.
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));
    let stopped = FORMATS.map(|format| export(&folder, format, &name(format, "stopped")));

    let tokens = |kind| page.count("coo_llm_tokens_total", &[("type", kind)]);
    let cost = page.nano_usd("coo_llm_cost_total", &[]);
    assert!(cost > 0 && tokens("cached_input") == 4000);
    let read = duckdb(&[&while_running[..], &stopped[..]].concat());
    for (export, file) in read.iter().zip(while_running.iter().chain(&stopped)) {
        let sum = |name: &str| export["sums"][name].as_str().expect("a sum").to_owned();
        let count = |name: &str| sum(name).parse::<u64>().expect("a count");
        assert_eq!(
            count("requests"),
            page.count("coo_llm_requests_total", &[]),
            "{file:?}"
        );
        assert_eq!(count("errors"), page.count("coo_llm_errors_total", &[]));
        for kind in TOKENS {
            assert_eq!(count(kind), tokens(kind), "{kind} of {file:?}");
        }
        assert_eq!(nano(&sum("cost_usd")), cost, "{file:?}");
        let unpriced = page.count("coo_llm_unpriced_requests_total", &[]);
        assert_eq!(count("unpriced"), unpriced);
        let in_file = sql(
            &folder.join("history.db"),
            "SELECT sum(requests) || ' ' || sum(cost_nano_usd) FROM usage_10s",
        );
        assert_eq!(in_file, format!("{} {cost}", count("requests")));
        // All formats have the same rows.
        assert_eq!(export["rows"], read[0]["rows"], "{file:?}");
        for row in export["rows"].as_array().expect("rows") {
            assert_eq!(row[1], 10, "the width");
            let names = [&row[2], &row[3], &row[4], &row[5]];
            let expected = [PROVIDER, MODEL, &rig::provider_key_id(), CLIENT];
            assert_eq!(names.map(|name| name.as_str()), expected.map(Some));
        }
    }
    let kinds = &read[2]["kinds"];
    assert_eq!(kinds["cost_usd"], "DECIMAL(18,9)");
    assert_eq!(kinds["time"], "TIMESTAMP WITH TIME ZONE");
    assert_eq!(kinds["requests"], "BIGINT");
    // No file is left under another name.
    let files = fs::read_dir(&folder).expect("the folder");
    let parts = files.filter(|file| {
        let name = file.as_ref().expect("a file").file_name();
        name.to_string_lossy().contains(".part")
    });
    assert_eq!(parts.count(), 0);
}

#[test]
fn what_cannot_be_written_is_said_in_one_line_and_leaves_nothing() {
    let (mut rig, _) = used();
    let folder = rig.gateway.dir().to_owned();
    fs::write(folder.join("there.csv"), "mine").expect("the folder is writable");
    let export = |more: &[&str]| run(&folder, &[&["export"], &ALWAYS[..], more].concat());
    let refused = |output: &Output, code: i32, said: &str| {
        let stderr = stderr(output);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    };
    refused(&export(&["--output", "there.csv"]), 1, "--force");
    let there = || fs::read_to_string(folder.join("there.csv")).expect("the file");
    assert_eq!(there(), "mine");
    refused(&export(&["--output", "no/folder.csv"]), 2, "no/folder.csv");

    // Files may have nothing: as on a full disk, but for the system's word.
    let limited = |command: &str| {
        let command = format!("trap '' XFSZ; ulimit -f 0; exec {command}");
        let output = Command::new("bash")
            .args(["-c", &command])
            .current_dir(&folder)
            .output();
        output.expect("bash is installed")
    };
    let binary = binary().display();
    let always = ALWAYS.join(" ");
    for format in FORMATS {
        let command = format!(
            "{binary} export {always} --config coo-llm.yaml --format {format} --output there.csv --force"
        );
        refused(&limited(&command), 2, "cannot be written: File too large");
        assert_eq!(there(), "mine", "{format}");
        // And on a device that is full.
        let full = File::options().write(true).open("/dev/full");
        let output = Command::new(binary.to_string())
            .args(["export", "--config", "coo-llm.yaml", "--format", format])
            .args(ALWAYS)
            .current_dir(&folder)
            .stdout(full.expect("a device of Linux"))
            .stderr(Stdio::piped())
            .output();
        refused(&output.expect("it runs"), 2, "No space left");
    }
    let files = fs::read_dir(&folder).expect("the folder");
    let names = files.map(|file| file.expect("a file").file_name());
    assert!(
        names
            .into_iter()
            .all(|name| !name.to_string_lossy().contains(".part"))
    );

    // A reader that goes away.
    let piped =
        format!("{binary} export {always} --config coo-llm.yaml | true; exit ${{PIPESTATUS[0]}}");
    let output = Command::new("bash")
        .args(["-c", &piped])
        .current_dir(&folder)
        .output();
    let output = output.expect("bash is installed");
    // It may have been done before its reader left.
    if output.status.code() != Some(0) {
        refused(&output, 2, "the export is not whole");
    }

    refused(&export(&["--to", "2020-01-01"]), 1, "given twice");
    let backwards = ["export", "--from", "2026-01-02", "--to", "2026-01-01"];
    refused(&run(&folder, &backwards), 1, "--from must be before --to");
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));
    fs::rename(folder.join("history.db"), folder.join("away.db")).expect("it is there");
    refused(&export(&[]), 2, "history.db: No such file");
    fs::write(folder.join("history.db"), "rows".repeat(5000)).expect("a file");
    refused(&export(&[]), 2, "damaged");
}

#[test]
fn a_million_rows_stream_in_bounded_memory() {
    let (mut rig, _) = used();
    let folder = rig.gateway.dir().to_owned();
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));
    let file = folder.join("history.db");
    // Rows of the hours before those that are there, for which hours alone are kept.
    sql(
        &file,
        "DELETE FROM usage_10s; DELETE FROM usage_1m; DELETE FROM usage_1h;
         UPDATE meta SET value = 1700000000 / 3600 * 3600 WHERE name = 'begins';
         UPDATE meta SET value = 1700000000 / 3600 * 3600 WHERE name = 'kept_from_1h';
         WITH RECURSIVE hours (hour) AS
             (SELECT 0 UNION ALL SELECT hour + 1 FROM hours WHERE hour < 999999)
         INSERT INTO usage_1h SELECT 1700000000 / 3600 * 3600 + hour / 50 * 3600, hour % 50, 0,
             1, 0, 10, 1, 2, 3, 4, 5, 6, 1000000001, 0, 1700000000000, 1, 2000, x'640164017f01'
         FROM hours;
         INSERT INTO clients SELECT value, 'client-' || value FROM generate_series(1, 49);",
    );
    // RLIMIT_DATA: what the process may allocate in all, heap and anonymous maps.
    let kib = 64 * 1024;
    // Lines of JSON go the way of CSV.
    let files = ["csv", "parquet"].map(|format| {
        let name = format!("million.{format}");
        let command = format!(
            "ulimit -d {kib}; exec {} export {} --config coo-llm.yaml --format {format} --output {name}",
            binary().display(),
            ALWAYS.join(" ")
        );
        let output = Command::new("bash").args(["-c", &command]).current_dir(&folder).output();
        let output = output.expect("bash is installed");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stderr(&output).contains("1000000 rows"), "{}", stderr(&output));
        folder.join(name)
    });
    let more = fs::metadata(&files[0]).expect("the file").len() / 1024;
    assert!(more > kib, "the rows would not fit: {more} KiB of CSV");
    for export in duckdb(&files) {
        assert_eq!(export["sums"]["rows"], "1000000");
        assert_eq!(export["sums"]["cost_usd"], "1000000.001000000");
        assert_eq!(export["sums"]["audio_output"], "6000000");
    }
}

/// The costs of all widths, which must be the same.
fn costs(file: &Path) -> u64 {
    let of = |table: &str| sql(file, &format!("SELECT sum(cost_nano_usd) FROM {table}"));
    let first = of("usage_1h");
    for table in [
        "usage_10s",
        "usage_1m",
        "route_usage_10s",
        "route_usage_1m",
        "route_usage_1h",
    ] {
        assert_eq!(of(table), first, "{table}");
    }
    first.parse().expect("a sum")
}

#[test]
fn the_history_is_priced_anew_when_no_gateway_holds_it() {
    let (mut rig, page) = used();
    let folder = rig.gateway.dir().to_owned();
    let file = folder.join("history.db");
    let tokens = |kind| page.count("coo_llm_tokens_total", &[("type", kind)]);
    let old = page.nano_usd("coo_llm_cost_total", &[]);
    let table = |name: &str, more: &str| {
        let text = format!(
            "tables:\n  - from: 2020-01-01\n    pricing: {{ {PROVIDER}: {{ {MODEL}: {{ input_per_million: 2, \
             cached_input_per_million: 1, output_per_million: 4{more} }} }} }}\n"
        );
        fs::write(folder.join(name), text).expect("the folder is writable");
    };
    table("plain.yaml", "");
    table(
        "tiers.yaml",
        ", flex: { input_per_million: 1, output_per_million: 2 }",
    );
    let new = 2000 * tokens("input")
        + 1000 * tokens("cached_input")
        + 4000 * (tokens("output") + tokens("reasoning"));

    // A report, beside the gateway, which changes nothing.
    let report =
        |table: &str, more: &[&str]| run(&folder, &[&["reprice", "--table", table], more].concat());
    let output = report("plain.yaml", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        lines[0][..5],
        ["month", "provider", "model", "client_id", "requests"]
    );
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[1][1..5], [PROVIDER, MODEL, CLIENT, "21"]);
    assert_eq!(nano(lines[1][5]), old);
    assert_eq!(nano(lines[1][6]), new);
    assert_eq!(nano(lines[1][7].trim_start_matches('-')), new.abs_diff(old));
    assert_eq!(lines[1][9], "0", "unclear");
    assert_eq!(costs(&file), old);

    let output = report("plain.yaml", &["--write"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("stop the gateway"),
        "{}",
        stderr(&output)
    );
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));

    // A price that depends on what is not in the history is not guessed.
    let output = report("tiers.yaml", &["--write"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("nothing was written") && said.contains("service tier"),
        "{said}"
    );
    assert_eq!(costs(&file), old);
    let output = report("tiers.yaml", &["--write", "--leave-unclear"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(costs(&file), old, "all of them are left");

    for arguments in [&["--write"][..], &["--write", "--assume-standard"]] {
        let table = if arguments.len() == 1 {
            "plain.yaml"
        } else {
            "tiers.yaml"
        };
        let output = report(table, arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(costs(&file), new);
    }
    assert_eq!(
        sql(&file, "SELECT value FROM meta WHERE name = 'reprices'"),
        "3"
    );
    assert_eq!(sql(&file, "PRAGMA integrity_check"), "ok");
    // And an export says it.
    let export = duckdb(&[export(&folder, "parquet", "new.parquet")]);
    assert_eq!(
        nano(export[0]["sums"]["cost_usd"].as_str().expect("a sum")),
        new
    );
}
