//! A month of history, then a spike: found, told, shown, and in `/metrics`.
//!
//! Needs the built gateway. It waits for the end of a minute of the wall clock, as clients are
//! judged when one is over.

use coo_llm_core::record::{Endpoint, Record};
use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
use coo_llm_exporters::history::{History, Options};
use coo_llm_tests::gateway::{self, ClientKey, Config, Gateway};
use coo_llm_tests::patience::{PATIENCE, poll, poll_for};
use coo_llm_tests::rig::{self, CLIENT, CLIENT_KEY, MODEL, PROVIDER};
use coo_llm_tests::upstream::{Script, Upstream};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CHAT: &str = "/v1/chat/completions";
const HEALTH: &str = "/admin/v1/clients/health";
const OTHER: &str = "client-quiet";
const DAY_S: u64 = 86_400;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("before the year 9999")
}

/// Four weeks up to now, written by the real store: two clients with 60 requests an hour that
/// cost 6 US cents.
fn write_weeks(file: &Path) {
    let end_s = now_ms() / 1000;
    let meter = Meter::with_pairs(1000);
    let options = Options {
        path: file.to_owned(),
        retention: [DAY_S, 30 * DAY_S, 730 * DAY_S].map(Duration::from_secs),
        spool_bytes_max: 1 << 20,
    };
    let mut at_s = end_s - 28 * DAY_S;
    let at = |s: u64| UnixMillis(s * 1000);
    let history = History::open(&options, meter.clone(), at(at_s)).expect("a history");
    let catalog = meter.catalog();
    let route = catalog.route(PROVIDER, MODEL, &rig::provider_key_id());
    let clients = [CLIENT, OTHER].map(|id| catalog.client(id));
    let mut writer = meter.writer();
    while at_s < end_s {
        let is_last_day = at_s + DAY_S >= end_s;
        let (requests, step_s) = if is_last_day { (1, 60) } else { (60, 3600) };
        history.drain(at(at_s));
        for client in clients {
            for _ in 0..requests {
                let record = Record::new(
                    route,
                    client,
                    Endpoint::ChatCompletions,
                    at(at_s),
                    Micros(20_000),
                );
                writer.record(&Record {
                    cost: Some(NanoUsd(1_000_000)),
                    ..record
                });
            }
        }
        history.drain(at(at_s));
        at_s += step_s;
    }
    history.close(at(now_ms() / 1000)).expect("room");
}

fn config(upstream: &Upstream, file: &Path) -> Config {
    let file = file.display();
    let history = format!("history: {{ path: \"{file}\" }}");
    let mut config = rig::config(&upstream.base_url());
    config.clients[0] = config.clients[0]
        .clone()
        .line("budget: { usd: 1000, per: month, action: warn }");
    config
        .clients
        .push(ClientKey::new(OTHER, "sk-quiet-0123456789"));
    config.server.push("admin_req_per_min: none".to_owned());
    config.top = vec![
        format!("storage: {{ flush_interval: 1s, {history} }}"),
        "client_health: { sensitivity: normal }".to_owned(),
    ];
    config
}

/// The entry of a client.
fn client<'a>(answer: &'a Value, id: &str) -> &'a Value {
    let clients = answer["clients"].as_array().expect("clients");
    let found = clients.iter().find(|client| client["client_id"] == id);
    found.expect("it is watched")
}

fn kinds(findings: &Value) -> Vec<&str> {
    let findings = findings.as_array().expect("a list").iter();
    findings
        .map(|finding| finding["kind"].as_str().expect("a kind"))
        .collect()
}

#[test]
fn a_spike_after_a_quiet_month_is_in_the_endpoint_and_in_metrics() {
    // Built first: between the last row and the start lies no minute in which nobody looked.
    let _built = gateway::binary();
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("history.db");
    let models = Upstream::builder()
        .keys(&[rig::PROVIDER_KEY])
        .models(&[MODEL]);
    let upstream = models.start();
    write_weeks(&file);
    let mut gateway = Gateway::start(&config(&upstream, &file));

    let quiet = poll("the first look", || {
        let reply = gateway.admin_get(HEALTH);
        (reply.status == 200).then(|| reply.json())
    });
    assert_eq!(quiet["total"], 2);
    for id in [CLIENT, OTHER] {
        let client = client(&quiet, id);
        assert_eq!(client["status"], "ok", "{client}");
        assert!(client["known_hours"].as_u64() >= Some(670), "{client}");
        let usual = client["usage"]["usual_requests"].as_f64().expect("known");
        assert!((40.0..90.0).contains(&usual), "{client}");
        let usual = client["cost"]["usual_day"].as_f64().expect("known");
        assert!((1.2..1.8).contains(&usual), "{client}");
        let shares = &client["providers"]["distribution"][0];
        assert_eq!(
            (&shares["provider"], &shares["usual_share"]),
            (&PROVIDER.into(), &1.0.into())
        );
    }
    let of = |kind| [("client_id", CLIENT), ("kind", kind)];
    let page = gateway.metrics();
    assert_eq!(page.count("coo_llm_client_anomaly", &of("usage_spike")), 0);

    let failing = Script {
        status: Some(500),
        ..Script::default()
    };
    let mut chats = gateway.client();
    for n in 0..400 {
        let script = if n % 4 == 0 {
            &failing
        } else {
            &Script::default()
        };
        let body = rig::chat(script).to_string();
        let reply = chats.post(CHAT, CLIENT_KEY, body.as_bytes());
        assert!(matches!(reply.status, 200 | 500), "{}", reply.text());
    }
    // Not before the minute is over.
    let patience = PATIENCE + Duration::from_secs(75);
    let spiked = poll_for(patience, "the spike to be found", || {
        let answer = gateway.admin_get(&format!("{HEALTH}?unusual=true")).json();
        (answer["total"] == 1).then_some(answer)
    });
    let found = client(&spiked, CLIENT);
    assert_eq!(kinds(&found["usage"]["spikes"]), ["usage_spike"]);
    assert_eq!(kinds(&found["errors"]["rises"]), ["error_rate_rise"]);
    assert_eq!(found["status"], "critical", "{found}");
    let spike = &found["usage"]["spikes"][0];
    let observed = spike["observed"].as_f64().expect("a number");
    assert!((100.0..500.0).contains(&observed), "{spike}");
    let text = spike["text"].as_str().expect("words");
    assert!(
        text.contains(" requests in ") && text.contains(" are usual"),
        "{text}"
    );
    let rise = &found["errors"]["rises"][0];
    assert_eq!(rise["providers"][0]["provider"], PROVIDER);
    let forecast = found["cost"]["budget"]["forecast"].as_f64().expect("known");
    assert!(forecast < 100.0, "{found}");

    // On the client's own page too.
    let own = gateway.admin_get(&format!("/admin/v1/metrics/clients/{CLIENT}"));
    assert_eq!(own.status, 200, "{}", own.text());
    let own = own.json();
    let mut on_page = kinds(&own["anomalies"]);
    on_page.sort_unstable();
    assert_eq!(on_page, ["error_rate_rise", "usage_spike"], "{own}");

    let page = gateway.metrics();
    for kind in ["usage_spike", "error_rate_rise"] {
        assert_eq!(page.count("coo_llm_client_anomaly", &of(kind)), 1, "{kind}");
        let since = page.count("coo_llm_client_anomaly_since_timestamp_seconds", &of(kind));
        assert!(
            since.abs_diff(now_ms() / 1000) < 600,
            "{kind} since {since}"
        );
        let began = page.count("coo_llm_client_anomalies_total", &[("kind", kind)]);
        assert_eq!(began, 1, "{kind}");
    }
    let quiet = [("client_id", OTHER), ("kind", "usage_spike")];
    assert_eq!(page.count("coo_llm_client_anomaly", &quiet), 0);
    let budget = [("client_id", CLIENT)];
    assert_eq!(
        page.matching("coo_llm_client_budget_forecast_usd", &budget)
            .count(),
        1
    );
    let exhausted = "coo_llm_client_budget_exhausted_timestamp_seconds";
    assert_eq!(
        page.matching(exhausted, &budget).count(),
        0,
        "not known is absent"
    );
    let last_run = "coo_llm_client_health_last_run_timestamp_seconds";
    assert_eq!(page.matching(last_run, &[]).count(), 1);
    assert!(gateway.log().contains("usage_spike"), "it is told once");

    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0), "it stops with the rest");
}
