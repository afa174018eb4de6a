//! What a registry of the `prometheus` crate shows of a meter is compared with our own page.

use super::*;
use ::prometheus::core::Collector;
use ::prometheus::{Encoder, Error, IntCounter, Registry, TextEncoder};
use std::collections::{BTreeMap, HashMap};

/// A sample: its name, its labels, `le` as a number, its value.
type Samples = BTreeMap<(String, Vec<(String, String)>), f64>;

fn registry(meter: &Meter) -> Registry {
    let registry = Registry::new();
    let collector = MeterCollector::new(meter.clone(), Namespace::default());
    let registered = registry.register(Box::new(collector));
    registered.expect("an empty registry takes it");
    registry
}

/// The crate's own page, read by our strict parser.
fn their_page(registry: &Registry) -> Vec<Parsed> {
    let mut out = Vec::new();
    let encoded = TextEncoder::new().encode(&registry.gather(), &mut out);
    encoded.expect("a page");
    parse(&out, Format::Text)
}

fn our_page(meter: &Meter) -> Vec<Parsed> {
    let mut families = parse(&page(meter, Format::Text, &[]), Format::Text);
    // Theirs has no head of what has no series, and sorts by name.
    families.retain(|family| !family.samples.is_empty());
    families.sort_by(|a, b| a.name.cmp(&b.name));
    families
}

fn samples(family: &Parsed) -> Samples {
    let samples = family.samples.iter().map(|sample| {
        let labels = sample.labels.iter().map(|(name, value)| {
            let number = || value.parse::<f64>().expect("a bound").to_string();
            let value = if name == "le" {
                number()
            } else {
                value.clone()
            };
            (name.clone(), value)
        });
        let value = sample.value.parse().expect("a number");
        ((sample.name.clone(), labels.collect()), value)
    });
    samples.collect()
}

fn assert_same(ours: &[Parsed], theirs: &[Parsed]) {
    let head = |family: &Parsed| {
        (
            family.name.clone(),
            family.kind.clone(),
            family.help.clone(),
        )
    };
    let heads = |families: &[Parsed]| families.iter().map(head).collect::<Vec<_>>();
    assert_eq!(heads(ours), heads(theirs));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.samples.len(), theirs.samples.len(), "{}", ours.name);
        assert_eq!(samples(ours), samples(theirs), "{}", ours.name);
    }
}

#[test]
fn a_registry_shows_what_our_page_shows() {
    let meter = small_meter();
    let registry = registry(&meter);
    let ours = our_page(&meter);
    for kind in ["counter", "gauge", "histogram"] {
        assert!(ours.iter().any(|family| family.kind == kind), "{kind}");
    }
    assert_same(&ours, &their_page(&registry));
    // Series that come between two scrapes.
    meter.catalog().route("new \"provider\"", "m\\\n", "k");
    meter
        .catalog()
        .event(Family::Retries, &["openai", "timeout"]);
    assert_same(&our_page(&meter), &their_page(&registry));
}

#[test]
fn the_registrys_own_prefix_and_labels_are_put_on_top() {
    let labels = HashMap::from([("cell".to_owned(), "a".to_owned())]);
    let registry = Registry::new_custom(Some("edge".to_owned()), Some(labels));
    let registry = registry.expect("a registry");
    let namespace = Namespace::parse("llm").expect("a namespace");
    let collector = MeterCollector::new(small_meter(), namespace);
    let registered = registry.register(Box::new(collector));
    registered.expect("an empty registry takes it");
    let page = their_page(&registry);
    let requests = family(&page, "edge_llm_requests_total");
    assert_eq!(requests.samples[0].label("cell"), "a");
}

#[test]
fn a_name_is_taken_once() {
    let meter = small_meter();
    let namespace = |text| Namespace::parse(text).expect("a namespace");
    let taken = registry(&meter);
    let second = MeterCollector::new(Meter::new(1), Namespace::default());
    let refused = taken.register(Box::new(second));
    assert!(matches!(refused, Err(Error::AlreadyReg)), "{refused:?}");
    // A family that has no series yet has its name all the same.
    let counter = IntCounter::new("coo_llm_fallbacks_total", "Mine.").expect("a counter");
    assert!(taken.register(Box::new(counter)).is_err());
    let other = MeterCollector::new(meter, namespace("other"));
    taken.register(Box::new(other)).expect("other names");
}

/// A page of an empty meter: no family without series, which their encoder would refuse.
#[test]
fn what_has_no_series_is_left_out() {
    let collector = MeterCollector::new(Meter::new(10), Namespace::default());
    let families = collector.collect();
    assert!(families.len() < collector.desc().len());
    assert!(
        families
            .iter()
            .all(|family| !family.get_metric().is_empty())
    );
    let page = TextEncoder::new().encode_to_string(&families);
    assert!(
        page.expect("a page")
            .contains("coo_llm_series{family=\"route\"} 0")
    );
}

/// Where `f64` ends: ours stays exact, theirs is the nearest double.
#[test]
fn above_two_to_the_53_the_registry_rounds() {
    let meter = small_meter();
    let route = meter.catalog().route("big", "m", "k");
    let mut writer = meter.writer();
    let mut used = |input| {
        writer.record(&Record {
            route,
            client: meter.catalog().client("big"),
            endpoint: Endpoint::Completions,
            request_id: None,
            finished: UnixMillis(1),
            latency: Micros(1),
            overhead: None,
            time_to_first_token: None,
            time_per_output_token: None,
            tokens: Tokens {
                input,
                ..Tokens::default()
            },
            usage: Some(UsageSource::Provider),
            cost: Some(NanoUsd(input)),
            error: None,
            limited: None,
            attempts: &[],
        });
    };
    for _ in 0..1 << 13 {
        used(1 << 40);
    }
    let registry = registry(&meter);
    assert_same(&our_page(&meter), &their_page(&registry));
    used(1);
    let value = |page: &[Parsed], name: &str| {
        let samples = family(page, name).samples.iter();
        let mut of_big = samples.filter(|sample| sample.label("provider") == "big");
        of_big.next().expect("a sample").value.clone()
    };
    let (ours, theirs) = (our_page(&meter), their_page(&registry));
    assert_eq!(value(&ours, "coo_llm_tokens_total"), "9007199254740993");
    assert_eq!(value(&theirs, "coo_llm_tokens_total"), "9007199254740992");
    assert_eq!(value(&theirs, "coo_llm_requests_total"), "8193");
}

fn any_tokens() -> impl Strategy<Value = (u64, u64, u64, u64)> {
    let number = || prop_oneof![0u64..100, 0u64..=1 << 40];
    (number(), number(), number(), number())
}

proptest! {
    #[test]
    fn any_labels_and_values_are_the_same_in_both(
        requests in prop::collection::vec(
            (label_value(), label_value(), label_value(), any_tokens()),
            1..20,
        ),
    ) {
        let meter = Meter::new(1000);
        let registry = registry(&meter);
        let mut writer = meter.writer();
        for (provider, model, key, (input, output, nanos, micros)) in &requests {
            let route = meter.catalog().route(provider, model, key);
            writer.record(&Record {
                route,
                client: meter.catalog().client(key),
                endpoint: Endpoint::Embeddings,
                request_id: Some("req"),
                finished: UnixMillis(1_700_000_000_000),
                latency: Micros(*micros),
                overhead: Some(Micros(*micros % 1_000)),
                time_to_first_token: Some(Micros(*nanos % 10_000_000)),
                time_per_output_token: None,
                tokens: Tokens { input: *input, reasoning: *output, ..Tokens::default() },
                usage: None,
                cost: (input % 3 > 0).then_some(NanoUsd(*nanos)),
                error: (output % 2 > 0).then_some(ErrorType::Timeout),
                limited: None,
                attempts: &[Attempt {
                    route,
                    outcome: Outcome::Success,
                    latency: Micros(*micros),
                    limited: None,
                }],
            });
            writer.active(route.provider, (*input % 5) as i64 - 2);
        }
        assert_same(&our_page(&meter), &their_page(&registry));
    }
}
