//! PostgreSQL beside `/metrics`, the history and the oracle, read by `psql`.
//!
//! Needs the built gateway, `sqlite3`, and Debian's `postgresql`.

use coo_llm_tests::authority::Authority;
use coo_llm_tests::gateway::Gateway;
use coo_llm_tests::oracle::Oracle;
use coo_llm_tests::patience::poll;
use coo_llm_tests::postgres::{PASSWORD, Postgres};
use coo_llm_tests::rig::{self, CLIENT, MODEL, PROVIDER, Rig};
use coo_llm_tests::upstream::{Script, Upstream};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const SUMS: &str = "client, provider, model, key, sum(requests), sum(errors), sum(input), \
     sum(cached_input), sum(output), sum(reasoning)";

/// What `sqlite3` says of a history's file, with the cost in nano-USD last.
fn in_the_history(folder: &Path) -> Vec<Vec<String>> {
    let columns = SUMS.replacen("client", "client_id", 1);
    let sql = format!(
        "SELECT {columns}, sum(CAST(round(cost_usd * 1e9) AS INTEGER)) FROM history_10s GROUP BY 1, 2, 3, 4"
    );
    let output = Command::new("sqlite3")
        .args(["-readonly", "-separator", "\t"])
        .arg(folder.join("history.db"))
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

fn in_postgres(server: &Postgres) -> Vec<Vec<String>> {
    server.sql(&format!(
        "SELECT {SUMS}, sum(cost_nano_usd) FROM coo_llm.usage GROUP BY 1, 2, 3, 4"
    ))
}

fn storage(folder: &Path, url: &str, more: &str) -> String {
    let folder = folder.display();
    format!(
        "storage: {{ flush_interval: 1s, history: {{ path: \"{folder}/history.db\" }}, \
         spool: {{ path: \"{folder}/spool\" }}, runtime: {{ type: postgres, url: \"{url}\"{more} }} }}"
    )
}

fn folder() -> TempDir {
    TempDir::with_prefix("coo-llm-sink-").expect("a temporary folder")
}

/// Chats until PostgreSQL has rows of this gateway: they go when their ten seconds are over.
fn chat_until(rig: &Rig, oracle: &mut Oracle, what: &str, mut is_enough: impl FnMut() -> bool) {
    let script = Script::default();
    poll(what, || {
        assert_eq!(rig.chat(&rig::chat(&script)).status, 200);
        oracle.record(&rig::success(&script));
        is_enough().then_some(())
    });
}

#[test]
fn it_has_what_metrics_the_history_and_the_oracle_have() {
    let folder = folder();
    let mut server = Postgres::new(&[]);
    let url = server.url("postgres", "?sslmode=disable");
    let mut rig = Rig::start_with(|config| config.top = vec![storage(folder.path(), &url, "")]);
    let mut oracle = Oracle::default();
    let sink = [("sink", "postgres")];
    let refused = [("sink", "postgres"), ("reason", "connect")];
    let page = rig.gateway.metrics_when("it to be found down", |page| {
        page.count("coo_llm_sink_failures_total", &refused) > 0
    });
    assert_eq!(page.count("coo_llm_sink_up", &sink), 0);

    server.launch();
    let rows = |server: &Postgres| {
        server
            .try_sql("SELECT count(*) FROM coo_llm.usage")
            .is_ok_and(|rows| rows.trim() != "0")
    };
    chat_until(&rig, &mut oracle, "rows, live", || rows(&server));
    // Whatever it does just now.
    server.kill();
    chat_until(&rig, &mut oracle, "it to be missed", || {
        let page = rig.gateway.metrics();
        page.count("coo_llm_sink_up", &sink) == 0
    });
    server.launch();
    chat_until(&rig, &mut oracle, "it to be back", || {
        let page = rig.gateway.metrics();
        page.count("coo_llm_sink_up", &sink) == 1
    });
    let page = rig.gateway.metrics_after(oracle.requests());
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));

    let have = in_postgres(&server);
    assert_eq!(have, in_the_history(folder.path()));
    let [row] = have.as_slice() else {
        unreachable!("one client and one route: {have:?}")
    };
    let tokens = |kind| {
        let labels = [("type", kind)];
        page.count("coo_llm_tokens_total", &labels).to_string()
    };
    let key = rig::provider_key_id();
    assert_eq!(row[..4], [CLIENT, PROVIDER, MODEL, key.as_str()]);
    assert_eq!(row[4], oracle.requests().to_string());
    assert_eq!((&row[6], &row[8]), (&tokens("input"), &tokens("output")));
    let cost = page.nano_usd("coo_llm_cost_total", &[]);
    assert_eq!(row[10], cost.to_string());
    let view = server.sql(
        "SELECT client, sum(requests), sum(cost_usd) * 1000000000 \
         FROM coo_llm.cost_by_client_month GROUP BY 1",
    );
    assert_eq!(
        view[0][..2],
        row[..1]
            .iter()
            .chain(&row[4..5])
            .cloned()
            .collect::<Vec<_>>()
    );
    assert_eq!(view[0][2], format!("{cost}.000000000"));
    assert!(
        !rig.gateway.log().contains(&PASSWORD[..6]),
        "a password in the log"
    );
    assert!(!folder.path().join("spool").exists(), "nothing was refused");
}

#[test]
fn two_gateways_by_tls_are_one_total_and_kills_lose_nothing() {
    let authority = Authority::new();
    let leaf = authority.leaf();
    let mut server = Postgres::new(&["ssl=on"]);
    server.write("data/server.crt", &leaf.cert);
    server.write("data/server.key", &leaf.key);
    server.launch();
    let url = server.url("postgres", "?sslmode=verify-full");
    let folders = [folder(), folder()];
    let trusted = folder();
    let [ours, foreign] = [
        ("ours.pem", &authority.pem),
        ("foreign.pem", &Authority::new().pem),
    ]
    .map(|(name, pem)| {
        let path = trusted.path().join(name);
        fs::write(&path, pem).expect("the folder is writable");
        path
    });
    let upstream = Upstream::builder()
        .keys(&[rig::PROVIDER_KEY])
        .models(&[MODEL])
        .start();
    let config = |folder: &TempDir, ca: &Path| {
        let mut config = rig::config(&upstream.base_url());
        let ca = format!(", ca_file: \"{}\"", ca.display());
        config.top = vec![storage(folder.path(), &url, &ca)];
        config
    };
    let start = |folder: &TempDir| Rig {
        upstream: Upstream::builder().start(),
        gateway: Gateway::start(&config(folder, &ours)),
    };

    // One that trusts another authority gets no further than that.
    let stranger = folder();
    let distrusts = Gateway::start(&config(&stranger, &foreign));
    let refused = [("sink", "postgres"), ("reason", "connect")];
    drop(
        distrusts.metrics_when("the certificate to be refused", |page| {
            page.count("coo_llm_sink_failures_total", &refused) > 0
        }),
    );
    assert!(!distrusts.log().contains(&PASSWORD[..6]));
    drop(distrusts);

    let [mut one, two] = [start(&folders[0]), start(&folders[1])];
    let mut oracle = Oracle::default();
    let mut positions = 0;
    chat_until(&one, &mut oracle, "rows of the first", || {
        let rows = server.try_sql("SELECT instance FROM coo_llm.positions");
        positions = rows.map_or(0, |rows| rows.lines().count());
        positions > 0
    });
    let by_tls = server.sql(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name = 'coo-llm'",
    );
    assert_eq!(by_tls, [["t"]]);
    // Killed with -9 while rows go, and started again.
    drop(one.gateway);
    one = start(&folders[0]);
    for rig in [&one, &two] {
        for _ in 0..5 {
            assert_eq!(rig.chat(&rig::chat(&Script::default())).status, 200);
        }
    }
    for rig in [&mut one, &mut { two }] {
        drop(rig.gateway.metrics_after(5));
        rig.gateway.terminate();
        assert_eq!(rig.gateway.wait().code(), Some(0));
    }

    let mut by_instance = server.sql(
        "SELECT sum(requests), sum(cost_nano_usd) FROM coo_llm.usage GROUP BY instance ORDER BY 1, 2",
    );
    let mut expected: Vec<Vec<String>> = folders
        .iter()
        .map(|folder| {
            let rows = in_the_history(folder.path());
            assert_eq!(rows.len(), 1);
            vec![rows[0][4].clone(), rows[0][10].clone()]
        })
        .collect();
    by_instance.sort();
    expected.sort();
    assert_eq!(by_instance, expected);
    let total: u64 = expected
        .iter()
        .map(|row| row[0].parse::<u64>().expect("a number"))
        .sum();
    let view = "SELECT requests FROM coo_llm.cost_by_client_month";
    assert_eq!(server.sql(view), [[total.to_string()]]);
    assert!(
        PASSWORD.contains(&PASSWORD[..6]),
        "what the logs were searched for"
    );
}
