//! Pages are compared to the byte, read back by a strict parser, and shown to promtool.

#[cfg(feature = "prometheus")]
mod collector;
mod parser;
mod protobuf;

use super::*;
use coo_llm_core::record::{Attempt, Record};
use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
use parser::{Family as Parsed, parse};
use proptest::prelude::*;
use std::io::Write;
use std::process::{Command, Stdio};

fn page(meter: &Meter, format: Format, extras: &[Extra]) -> Vec<u8> {
    let mut renderer = Renderer::new(Namespace::default(), UnixMillis(1_700_000_000_123));
    page_of(&mut renderer, meter, format, extras)
}

fn page_of(renderer: &mut Renderer, meter: &Meter, format: Format, extras: &[Extra]) -> Vec<u8> {
    let mut out = b"what was there".to_vec();
    meter.read(|snapshot| renderer.render(format, snapshot, meter.catalog(), extras, &mut out));
    out
}

fn family<'a>(families: &'a [Parsed], name: &str) -> &'a Parsed {
    let found = families.iter().find(|family| family.name == name);
    found.unwrap_or_else(|| panic!("no family {name}"))
}

/// A meter with one success, one failed request with an attempt, and one refusal.
fn small_meter() -> Meter {
    let meter = Meter::new(1000);
    let catalog = meter.catalog();
    let route = catalog.route("openai", "gpt-4o", "openai-1f3a9c02");
    let none = catalog.route(NONE, NONE, NONE);
    let client = catalog.client("client-123");
    let nobody = catalog.client(NONE);
    let event = catalog.event(
        Family::AdminRequests,
        &["/admin/v1/metrics/global", "GET", "200"],
    );
    let mut writer = meter.writer();
    let success = Record {
        route,
        client,
        endpoint: Endpoint::ChatCompletions,
        request_id: Some("req_first"),
        finished: UnixMillis(1_700_000_000_000),
        latency: Micros(500_000),
        overhead: Some(Micros(40)),
        time_to_first_token: Some(Micros(120_001)),
        time_per_output_token: Some(Micros(9_999)),
        tokens: Tokens {
            input: 12,
            output: 34,
            cached_input: 5,
            ..Tokens::default()
        },
        usage: Some(UsageSource::Provider),
        cost: Some(NanoUsd(12_345_678_901)),
        error: None,
        limited: None,
        attempts: &[Attempt {
            route,
            outcome: Outcome::Success,
            latency: Micros(499_960),
            limited: None,
        }],
    };
    writer.record(&success);
    writer.record(&Record {
        latency: Micros(500_001),
        time_to_first_token: None,
        time_per_output_token: None,
        tokens: Tokens::default(),
        usage: Some(UsageSource::Missing),
        cost: None,
        error: Some(ErrorType::RateLimit),
        attempts: &[Attempt {
            route,
            outcome: Outcome::RateLimit,
            latency: Micros(1),
            limited: Some(Limit::Tokens),
        }],
        ..success
    });
    writer.record(&Record {
        route: none,
        client: nobody,
        latency: Micros(90),
        time_to_first_token: None,
        time_per_output_token: None,
        tokens: Tokens::default(),
        usage: None,
        cost: Some(NanoUsd::ZERO),
        error: Some(ErrorType::Auth),
        attempts: &[],
        ..success
    });
    writer.count(event);
    writer.active(route.provider, 1);
    meter
}

fn small_extras() -> Vec<Extra> {
    vec![
        Extra::new(
            Kind::Gauge,
            "provider_up",
            "Whether a \"provider\" answers:\n1 or \\0.",
        )
        .with(&[("provider", "openai")], Value::Count(1))
        .with(&[("provider", "anthropic")], Value::Count(0)),
        Extra::build_info(&[("version", "0.1.0")]),
        Extra::scrape_duration(Some(Micros(3_500))),
        Extra::new(Kind::Counter, "log_lines_dropped", "Lines lost.").with(&[], Value::Count(7)),
    ]
}

#[test]
fn the_text_page_is_exactly_this() {
    let got = page(&small_meter(), Format::Text, &small_extras());
    let want = include_str!("tests/small.txt");
    assert_eq!(String::from_utf8(got).expect("UTF-8"), want);
}

#[test]
fn the_openmetrics_page_is_exactly_this() {
    let got = page(&small_meter(), Format::OpenMetrics, &small_extras());
    let want = include_str!("tests/small.om.txt");
    assert_eq!(String::from_utf8(got).expect("UTF-8"), want);
}

#[test]
fn both_formats_say_the_same() {
    let (meter, extras) = (small_meter(), small_extras());
    let text = parse(&page(&meter, Format::Text, &extras), Format::Text);
    let open = parse(
        &page(&meter, Format::OpenMetrics, &extras),
        Format::OpenMetrics,
    );
    assert_eq!(text.len(), open.len());
    for (text, open) in text.iter().zip(&open) {
        assert_eq!(text.help, open.help);
        assert_eq!(text.samples, open.samples, "{}", text.name);
    }
    let unit = |name| family(&open, name).unit.as_deref();
    assert_eq!(unit("coo_llm_latency_seconds"), Some("seconds"));
    assert_eq!(unit("coo_llm_requests"), None);
}

/// Each counter and histogram says since when it counts, once a series.
#[test]
fn created_lines_stand_beside_their_series() {
    let (meter, extras) = (small_meter(), small_extras());
    for family in parse(
        &page(&meter, Format::OpenMetrics, &extras),
        Format::OpenMetrics,
    ) {
        let series = family
            .samples
            .iter()
            .filter(|sample| sample.name.ends_with("_total") || sample.name.ends_with("_count"));
        let of_series: Vec<_> = series.map(|sample| sample.labels.clone()).collect();
        let created: Vec<_> = family
            .created
            .iter()
            .map(|(labels, _)| labels.clone())
            .collect();
        if ["counter", "histogram"].contains(&&*family.kind) {
            assert_eq!(created, of_series, "{}", family.name);
        }
        assert!(family.created.iter().all(|(_, at)| at == "1700000000.123"));
    }
}

#[test]
fn exemplars_stand_behind_their_bucket_and_lie_in_it() {
    let meter = small_meter();
    let found = parser::exemplars(&page(&meter, Format::OpenMetrics, &[]));
    assert!(!found.is_empty());
    for (bucket, exemplar) in &found {
        assert_eq!(bucket.name, "coo_llm_latency_seconds_bucket");
        assert_eq!(exemplar.request_id, "req_first");
        let [value, le] = [&*exemplar.value, bucket.label("le")].map(|n| n.parse::<f64>().unwrap());
        assert!(value <= le, "{bucket:?} {exemplar:?}");
        assert!(exemplar.at.parse::<f64>().is_ok());
    }
    assert!(parser::exemplars(&page(&meter, Format::Text, &[])).is_empty());
}

/// The user's own metrics: a scrape of a gateway that has done nothing has each of them.
#[test]
fn an_idle_gateway_has_every_series_that_alerts_need() {
    let meter = Meter::new(1000);
    let catalog = meter.catalog();
    catalog.route("openai", "gpt-4o", "openai-1f3a9c02");
    catalog.route(NONE, NONE, NONE);
    catalog.client("client-123");
    catalog.event(
        Family::AdminRequests,
        &["/admin/v1/metrics/global", "GET", "200"],
    );
    catalog.event(Family::AdminRateLimits, &["/admin/v1/metrics/global"]);
    let families = parse(&page(&meter, Format::Text, &[]), Format::Text);
    let users = [
        "requests_total",
        "tokens_total",
        "cost_total",
        "latency_seconds",
        "errors_total",
        "rate_limits_total",
        "admin_requests_total",
        "admin_rate_limits_total",
        "client_requests_total",
        "client_tokens_total",
        "client_cost_total",
    ];
    for name in users {
        let family = family(&families, &format!("coo_llm_{name}"));
        assert!(!family.samples.is_empty(), "{name}");
        assert!(
            family.samples.iter().all(|sample| sample.value == "0"),
            "{name}"
        );
    }
    let errors = family(&families, "coo_llm_errors_total");
    assert_eq!(errors.samples.len(), 2 * ErrorType::ALL.len());
    let limits = family(&families, "coo_llm_rate_limits_total");
    assert_eq!(limits.samples.len(), 4);
    assert!(
        limits
            .samples
            .iter()
            .all(|sample| sample.label("key") != NONE)
    );
    let overhead = family(&families, "coo_llm_overhead_seconds");
    let routes: Vec<_> = overhead
        .samples
        .iter()
        .filter(|sample| sample.name.ends_with("_count"))
        .map(|sample| sample.label("route"))
        .collect();
    let served = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
    ];
    assert_eq!(routes, served);
}

/// `none` is a key of each provider that was chosen without one: still one series.
#[test]
fn a_key_under_two_providers_is_one_series() {
    let meter = Meter::new(1000);
    let attempts = ["a", "b"].map(|provider| Attempt {
        route: meter.catalog().route(provider, "m", NONE),
        outcome: Outcome::RateLimit,
        latency: Micros(1),
        limited: Some(Limit::Requests),
    });
    let client = meter.catalog().client("c");
    meter.writer().record(&Record {
        route: attempts[0].route,
        client,
        endpoint: Endpoint::Models,
        request_id: None,
        finished: UnixMillis(1),
        latency: Micros(1),
        overhead: Some(Micros(1)),
        time_to_first_token: None,
        time_per_output_token: None,
        tokens: Tokens::default(),
        usage: None,
        cost: None,
        error: Some(ErrorType::RateLimit),
        limited: None,
        attempts: &attempts,
    });
    let families = parse(&page(&meter, Format::Text, &[]), Format::Text);
    let limits = family(&families, "coo_llm_rate_limits_total");
    let [only] = &*limits.samples else {
        panic!("{limits:?}");
    };
    assert_eq!((only.label("key"), &*only.value), (NONE, "2"));
    assert_eq!(only.label("origin"), "provider");
}

#[test]
fn extras_of_one_name_are_one_family() {
    let up = |provider| {
        Extra::new(Kind::Gauge, "up", "Up.").with(&[("provider", provider)], Value::Float(0.5))
    };
    let mut special = Extra::new(Kind::Gauge, "special", "Floats.");
    for (n, x) in [
        ("a", f64::NAN),
        ("b", f64::INFINITY),
        ("c", f64::NEG_INFINITY),
    ] {
        special = special.with(&[("n", n)], Value::Float(x));
    }
    let extras = [up("b"), special, up("a")];
    let families = parse(&page(&Meter::new(10), Format::Text, &extras), Format::Text);
    let samples = &family(&families, "coo_llm_up").samples;
    let providers: Vec<_> = samples
        .iter()
        .map(|sample| sample.label("provider"))
        .collect();
    assert_eq!(providers, ["a", "b"]);
    let samples = &family(&families, "coo_llm_special").samples;
    let values: Vec<_> = samples.iter().map(|sample| &*sample.value).collect();
    assert_eq!(values, ["NaN", "+Inf", "-Inf"]);
}

#[test]
fn stages_of_stores_stand_beside_recorded() {
    let persisted = [("stage", "persisted")];
    let extra = Extra::new(Kind::Counter, "records", "Others.").with(&persisted, Value::Count(2));
    for format in [Format::Text, Format::OpenMetrics] {
        let families = parse(
            &page(&small_meter(), format, std::slice::from_ref(&extra)),
            format,
        );
        let name = match format {
            Format::Text => "coo_llm_records_total",
            _ => "coo_llm_records",
        };
        let samples = &family(&families, name).samples;
        let stages = samples.iter().map(|it| (it.label("stage"), &*it.value));
        assert_eq!(
            stages.collect::<Vec<_>>(),
            [("persisted", "2"), ("recorded", "3")]
        );
    }
}

#[test]
fn process_families_parse_and_have_no_namespace() {
    let families = process::families();
    let parsed = parse(
        &page(&Meter::new(10), Format::OpenMetrics, &families),
        Format::OpenMetrics,
    );
    let cpu = family(&parsed, "process_cpu_seconds");
    assert_eq!(cpu.created, [(Vec::new(), "1700000000.123".to_owned())]);
    assert_eq!(
        (&*cpu.kind, cpu.unit.as_deref()),
        ("counter", Some("seconds"))
    );
}

/// promtool is the judge of names and types. It does not read OpenMetrics.
#[test]
fn promtool_has_nothing_to_say() {
    let mut extras = small_extras();
    extras.extend(process::families());
    extras.push(Extra::config_last_reload_success(true));
    let page = page(&small_meter(), Format::Text, &extras);
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool must be installed: apt-get install prometheus");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&page).expect("promtool reads all of it");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.is_empty(),
        "promtool says: {said}"
    );
}

fn label_value() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        '"',
        '\\',
        '\n',
        '\r',
        '{',
        '}',
        ',',
        '=',
        ' ',
        'n',
        '\u{e4}',
        '\u{1f980}',
        '\0',
    ]);
    let chars = prop_oneof![special, any::<char>()];
    prop::collection::vec(chars, 0..8).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn any_label_value_reads_back(
        sets in prop::collection::vec((label_value(), label_value(), label_value()), 1..6),
        help in label_value(),
        open: bool,
    ) {
        let format = if open { Format::OpenMetrics } else { Format::Text };
        let meter = Meter::new(1000);
        let mut renderer = Renderer::new(Namespace::default(), UnixMillis(1_700_000_000_123));
        let mut want: Vec<[&str; 3]> = Vec::new();
        let mut rendered = Vec::new();
        for (provider, model, key) in &sets {
            meter.catalog().route(provider, model, key);
            meter.catalog().client(key);
            want.push([provider, model, key]);
            // Rendered at each step: growth from scrape to scrape must end in the same page.
            rendered = page_of(&mut renderer, &meter, format, &[]);
        }
        want.sort_unstable();
        want.dedup();
        prop_assert_eq!(&rendered, &page(&meter, format, &[]));
        let families = parse(&rendered, format);
        let name = if open { "coo_llm_requests" } else { "coo_llm_requests_total" };
        let got: Vec<_> = family(&families, name)
            .samples
            .iter()
            .map(|sample| ["provider", "model", "key"].map(|name| sample.label(name)))
            .collect();
        prop_assert_eq!(got, want);
        let mut extra = Extra::new(Kind::Gauge, "x", "").with(&[], Value::Signed(-1));
        extra.help = format!("help {help}").into();
        let families = parse(&page(&meter, format, &[extra.clone()]), format);
        prop_assert_eq!(&*family(&families, "coo_llm_x").help, &*extra.help);
    }
}
