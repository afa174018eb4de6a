use super::*;
use coo_llm_config::{PriceTable, moment};

fn options(from: Option<&str>, to: Option<&str>) -> Options {
    let read = |text: &str| moment(text).expect("a moment");
    Options {
        table: PathBuf::new(),
        from: from.map(read),
        to: to.map(read),
        input: None,
        config: None,
        wish: Wish::default(),
    }
}

/// Reprices under two tables, with the edge at 2026-06-01.
fn reprice_lines(lines: &str, options: &Options) -> (String, Done) {
    let folder = std::env::temp_dir().join(format!(
        "coo-llm-reprice-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("tables.yaml");
    std::fs::write(
        &file,
        "tables:\n  - { from: 2026-01-01, file: a.json }\n  - { from: 2026-06-01, file: b.json }\n",
    )
    .expect("a file");
    let table = |path: &Path| {
        let input = if path.ends_with("a.json") {
            "1e-6"
        } else {
            "2e-6"
        };
        let text = format!(
            r#"{{"openai/gpt": {{"input_cost_per_token": {input}, "output_cost_per_token": 4e-6, "cache_read_input_token_cost": 0,
                "cache_creation_input_token_cost": 3e-6, "cache_creation_input_token_cost_above_1hr": 5e-6,
                "input_cost_per_token_flex": 5e-7, "output_cost_per_token_flex": 1e-6}}}}"#
        );
        PriceTable::parse(text.as_bytes()).map_err(|error| error.to_string())
    };
    let prices = DatedPrices::load(&file, &table).expect("tables");
    std::fs::remove_dir_all(&folder).expect("the folder is there");
    let mut out = Vec::new();
    let done = reprice(lines.as_bytes(), &mut out, options, &prices).expect("memory does not fail");
    (String::from_utf8(out).expect("lines of text"), done)
}

fn line(time: &str, rest: &str) -> String {
    let time = moment(time).expect("a moment").0;
    format!(
        r#"{{"id":"x","time":{time},"provider":"openai","model":"gpt","status":200,"prompt_tokens":1000,"completion_tokens":0{rest}}}"#
    )
}

#[test]
fn both_sides_of_an_edge_have_their_prices() {
    let edge = moment("2026-06-01").expect("a moment").0;
    let before = format!(
        r#"{{"time":{},"provider":"openai","model":"gpt","prompt_tokens":1000,"completion_tokens":1,"cost_usd":0.5}}"#,
        edge - 1
    );
    let after = before.replace(&(edge - 1).to_string(), &edge.to_string());
    let too_early = line("2025-12-31T23:59:59Z", "");
    let (out, done) = reprice_lines(
        &format!("{before}\n{after}\n\n{too_early}"),
        &options(None, None),
    );
    let want = [
        before.replace("0.5", "0.001004"),
        after.replace("0.5", "0.002004"),
        too_early.replace(
            "\"completion_tokens\":0}",
            "\"completion_tokens\":0,\"cost_usd\":null}",
        ),
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), want);
    let total = done.sums.total();
    assert_eq!(
        (total.requests, total.old_unknown, total.new_unknown),
        (3, 1, 1)
    );
    assert_eq!((total.old, total.new), (1_000_000_000, 3_008_000));
    assert_eq!(total.difference, 3_008_000 - 1_000_000_000);
    let summary = summary::of(&done);
    assert!(summary.contains("openai    gpt           3  1.000000000  0.003008000  -0.996992000            1            1\n"), "{summary}");
    assert!(
        summary.ends_with("0 records outside of the time, 0 lines rejected"),
        "{summary}"
    );
}

#[test]
fn the_time_is_half_open() {
    let lines = [
        "2026-01-31T23:59:59Z",
        "2026-02-01",
        "2026-02-02",
        "2026-02-03",
    ]
    .map(|time| line(time, ""));
    let (out, done) = reprice_lines(
        &lines.join("\n"),
        &options(Some("2026-02-01"), Some("2026-02-03")),
    );
    assert_eq!(out.lines().count(), 2);
    assert_eq!((done.sums.total().requests, done.outside), (2, 2));
}

#[test]
fn every_kind_of_token_and_tier_is_billed() {
    let cost = |rest: &str| {
        let (out, done) = reprice_lines(&line("2026-01-01", rest), &options(None, None));
        assert_eq!(done.rejected, 0, "{rest}");
        let value: serde_json::Value = serde_json::from_str(&out).expect("a line of JSON");
        value["cost_usd"].to_string()
    };
    assert_eq!(cost(""), "0.001");
    assert_eq!(cost(r#","cached_tokens":400"#), "0.0006");
    assert_eq!(
        cost(r#","cache_write_tokens":400,"cache_write_1h_tokens":100"#),
        "0.002"
    );
    assert_eq!(cost(r#","service_tier":"flex""#), "0.0005");
    assert_eq!(cost(r#","service_tier":"batch""#), "null");
    assert_eq!(cost(r#","service_tier":"unheard-of""#), "null");
    // A cost that was there is replaced where it stands, whatever comes after it.
    assert_eq!(cost(r#","cost_usd": null ,"more":{"cost_usd":7}"#), "0.001");
}

#[test]
fn no_tokens_cost_nothing_only_where_the_request_failed() {
    let cost = |status: &str| {
        let text = line("2026-01-01", "")
            .replace("1000", "0")
            .replace("200", status);
        reprice_lines(&text, &options(None, None)).0
    };
    assert!(cost("500").ends_with("\"cost_usd\":0}\n"));
    assert!(cost("201").ends_with("\"cost_usd\":null}\n"));
}

#[test]
fn a_line_that_cannot_be_used_is_rejected_and_the_rest_goes_on() {
    let good = line("2026-01-01", "");
    let bad = [
        "[1]".to_owned(),
        "{".to_owned(),
        good.replace("\"model\":\"gpt\",", ""),
        line("2026-01-01", r#","cached_tokens":1001"#),
        line("2026-01-01", r#","cost_usd":"much""#),
        line("2026-01-01", r#","cost_usd":-1"#),
        line("2026-01-01", r#","prompt_tokens":1"#),
        format!("{{\"a\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX as usize)),
    ];
    let (out, done) = reprice_lines(
        &format!("{}\n{good}\n", bad.join("\n")),
        &options(None, None),
    );
    assert_eq!(done.rejected, bad.len() as u64);
    assert_eq!(out.lines().count(), 1);
}
