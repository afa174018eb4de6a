//! Pages of protobuf, read back by `prost`. Field numbers as in client_model's metrics.proto.

use super::super::spread::Spread;
use super::*;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Single>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Single>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Single {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    created: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    span: Vec<Span>,
    #[prost(sint64, repeated, packed = "true", tag = "13")]
    delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    created: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<ProtoExemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoExemplar {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

fn read(mut page: &[u8]) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    while !page.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut page).expect("a family"));
    }
    families
}

fn labels(metric: &Metric) -> Vec<(String, String)> {
    metric
        .label
        .iter()
        .map(|pair| (pair.name.clone(), pair.value.clone()))
        .collect()
}

/// Every series of the text page with the same value, and none besides.
fn same_as_text(meter: &Meter, extras: &[Extra]) {
    let text = parse(&page(meter, Format::Text, extras), Format::Text);
    let proto = read(&page(meter, Format::Protobuf, extras));
    let with_series: Vec<_> = text
        .iter()
        .filter(|family| !family.samples.is_empty())
        .collect();
    assert_eq!(with_series.len(), proto.len());
    for (text, proto) in with_series.iter().zip(&proto) {
        assert_eq!((&text.name, &text.help), (&proto.name, &proto.help));
        let mut said = Vec::new();
        for metric in &proto.metric {
            let of = labels(metric);
            if let Some(single) = metric.gauge.as_ref().or(metric.counter.as_ref()) {
                said.push((proto.name.clone(), of, single.value));
            } else if let Some(histogram) = &metric.histogram {
                for bucket in &histogram.bucket {
                    let le = bucket.upper_bound.to_string();
                    let mut of = of.clone();
                    of.push(("le".to_owned(), le));
                    let name = format!("{}_bucket", proto.name);
                    said.push((name, of, bucket.cumulative_count as f64));
                }
                said.push((format!("{}_sum", proto.name), of.clone(), histogram.sum));
                said.push((format!("{}_count", proto.name), of, histogram.count as f64));
            }
        }
        assert_eq!(said.len(), text.samples.len(), "{}", text.name);
        for ((name, of, value), sample) in said.iter().zip(&text.samples) {
            assert_eq!(*name, sample.name);
            assert_eq!(*value, sample.value.parse::<f64>().unwrap(), "{sample:?}");
            for ((name, value), (text_name, text_value)) in of.iter().zip(&sample.labels) {
                assert_eq!(name, text_name);
                if name == "le" {
                    let bounds = [value, text_value].map(|le| le.replace("+Inf", "inf"));
                    let [a, b] = bounds.map(|le| le.parse::<f64>().unwrap());
                    assert_eq!(a, b);
                } else {
                    assert_eq!(value, text_value);
                }
            }
        }
    }
}

#[test]
fn protobuf_says_the_same_as_text() {
    same_as_text(&small_meter(), &small_extras());
}

/// Families longer than the lengths of the small page: of three bytes and more.
#[test]
fn a_large_page_says_the_same_as_text() {
    let meter = Meter::new(10_000);
    for n in 0..1_500 {
        let model = format!("model-{}", n % 300);
        meter
            .catalog()
            .route("openai", &model, &format!("openai-{n:08x}"));
        meter.catalog().client(&format!("client-{n}"));
    }
    same_as_text(&meter, &small_extras());
}

/// The encoded labels are kept: a page of a renderer that grew is the page of a new one.
#[test]
fn growth_ends_in_the_same_page() {
    let meter = Meter::new(1_000);
    let mut renderer = Renderer::new(Namespace::default(), UnixMillis(1_700_000_000_123));
    for (at, name) in ["m", "b", "z", "a\n\"\\", "", "b"].iter().enumerate() {
        meter.catalog().route(name, "model", &at.to_string());
        meter.catalog().client(name);
        meter
            .catalog()
            .event(Family::AdminRateLimits, &[&format!("/{name}")]);
        if at % 2 == 0 {
            page_of(&mut renderer, &meter, Format::Text, &[]);
        }
        let grown = page_of(&mut renderer, &meter, Format::Protobuf, &[]);
        assert!(
            grown == page(&meter, Format::Protobuf, &[]),
            "after {name:?}"
        );
    }
}

/// Since when each series counts, and the exemplars, are those of the OpenMetrics page.
#[test]
fn created_and_exemplars_are_those_of_openmetrics() {
    let (meter, extras) = (small_meter(), small_extras());
    let open = page(&meter, Format::OpenMetrics, &extras);
    let proto = read(&page(&meter, Format::Protobuf, &extras));
    let want: usize = parse(&open, Format::OpenMetrics)
        .iter()
        .map(|family| family.created.len())
        .sum();
    let metrics = || proto.iter().flat_map(|family| &family.metric);
    let created = |metric: &Metric| match (&metric.counter, &metric.histogram) {
        (Some(counter), _) => counter.created.clone(),
        (_, Some(histogram)) => histogram.created.clone(),
        _ => None,
    };
    let created: Vec<_> = metrics().filter_map(created).collect();
    assert_eq!(created.len(), want);
    let started = Timestamp {
        seconds: 1_700_000_000,
        nanos: 123_000_000,
    };
    assert!(created.iter().all(|created| *created == started));

    let mut want = Vec::new();
    for (bucket, exemplar) in parser::exemplars(&open) {
        let [le, value, at] = [bucket.label("le"), &exemplar.value, &exemplar.at]
            .map(|text| text.parse::<f64>().expect("a number"));
        want.push((
            bucket.label("model").to_owned(),
            le,
            exemplar.request_id,
            value,
            at,
        ));
    }
    let mut got = Vec::new();
    for metric in metrics() {
        let buckets = metric
            .histogram
            .iter()
            .flat_map(|histogram| &histogram.bucket);
        for bucket in buckets {
            let Some(exemplar) = &bucket.exemplar else {
                continue;
            };
            let [id] = &*exemplar.label else {
                panic!("{exemplar:?}");
            };
            assert_eq!(id.name, "request_id");
            let model = labels(metric)[1].1.clone();
            let at = exemplar.at.as_ref().expect("a time");
            let at = at.seconds as f64 + f64::from(at.nanos) / 1e9;
            got.push((
                model,
                bucket.upper_bound,
                id.value.clone(),
                exemplar.value,
                at,
            ));
        }
    }
    assert!(!got.is_empty());
    assert_eq!(got, want);
}

/// A meter with a request of each of these latencies in microseconds.
fn meter_of(values: &[u64]) -> Meter {
    let meter = Meter::new(100);
    let route = meter.catalog().route("p", "m", "k");
    let client = meter.catalog().client("c");
    let mut writer = meter.writer();
    for value in values {
        writer.record(&Record {
            route,
            client,
            endpoint: Endpoint::ChatCompletions,
            request_id: None,
            finished: UnixMillis(1),
            latency: Micros(*value),
            overhead: Some(Micros(7)),
            time_to_first_token: None,
            time_per_output_token: None,
            tokens: Tokens::default(),
            usage: Some(UsageSource::Provider),
            cost: Some(NanoUsd::ZERO),
            error: None,
            limited: None,
            attempts: &[],
        });
    }
    drop(writer);
    meter
}

/// Holds the native latency histogram of these values to them.
fn native_holds(values: &[u64]) {
    let families = read(&page(&meter_of(values), Format::Protobuf, &[]));
    let family = families
        .iter()
        .find(|family| family.name == "coo_llm_latency_seconds");
    let histogram = family.expect("latency").metric[0]
        .histogram
        .clone()
        .expect("a histogram");
    let zeros = values.iter().filter(|value| **value == 0).count() as u64;
    assert_eq!((histogram.schema, histogram.zero_count), (Some(3), zeros));
    assert_eq!(histogram.count, values.len() as u64);
    // No number of a record counts as more than this.
    let sum = values
        .iter()
        .map(|value| value.min(&coo_llm_core::shard::NUMBER_MAX))
        .sum();
    assert_eq!(histogram.sum, Micros(sum).as_secs_f64());
    let (mut index, mut count, mut deltas) = (0i32, 0i64, histogram.delta.iter());
    let mut cumulative = vec![(histogram.zero_threshold, histogram.zero_count)];
    for (at, span) in histogram.span.iter().enumerate() {
        assert!(at == 0 || span.offset > 0, "spans without a gap between");
        assert!(span.length > 0, "an empty span");
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("a delta a bucket");
            assert!(count > 0, "an empty bucket is left out");
            let last = cumulative.last().map_or(0, |(_, below)| *below);
            let upper = (f64::from(index) * 0.125).exp2();
            cumulative.push((upper, last + count.cast_unsigned()));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    assert_eq!(
        cumulative.last().map(|(_, below)| *below),
        Some(values.len() as u64)
    );
    // Whatever is longer counts where the longest does.
    let longest = coo_llm_core::histogram::VALUE_MAX;
    let below = |bound: f64| {
        let is_below = |value: &&u64| (**value).min(longest) as f64 / 1e6 <= bound;
        values.iter().filter(is_below).count() as u64
    };
    for (upper, count) in cumulative {
        // A cell is at most 1/32 of its value wide and counts where its middle lies, so that
        // a value outside of its bucket is off by at most 1/64.
        assert!(below(upper / (1.0 + 1.0 / 64.0)) <= count, "{upper}");
        assert!(count <= below(upper / (1.0 - 1.0 / 64.0)), "{upper}");
    }
}

#[test]
fn native_histograms_hold_every_value_near_where_it_lies() {
    let cubes = (0..400u64).map(|n| n.pow(3) * 7 + n);
    native_holds(&cubes.collect::<Vec<_>>());
    native_holds(&[]);
    native_holds(&[0]);
}

#[test]
fn without_native_histograms_the_classic_ones_are_there() {
    let mut plain = Renderer::new(Namespace::default(), UnixMillis(0)).native_histograms(false);
    let families = read(&page_of(
        &mut plain,
        &meter_of(&[1, 2]),
        Format::Protobuf,
        &[],
    ));
    let histograms = families.iter().flat_map(|family| &family.metric);
    let mut histograms = histograms.filter_map(|metric| metric.histogram.as_ref());
    assert!(histograms.all(|histogram| histogram.schema.is_none()
        && histogram.zero_threshold == 0.0
        && histogram.span.is_empty()
        && !histogram.bucket.is_empty()));
}

/// Heavy tails: as likely in one octave as in another, and all that is too long to count.
fn latency() -> impl Strategy<Value = u64> {
    let octave = (0u32..44, any::<u64>());
    prop_oneof![
        8 => octave.prop_map(|(octave, bits)| (1 << octave) | (bits & ((1 << octave) - 1))),
        1 => Just(0u64),
        1 => Just(u64::MAX >> 8),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_spread_has_what_its_view_has(values in prop::collection::vec(latency(), 0..100)) {
        let meter = meter_of(&values);
        let snapshot = meter.snapshot();
        let (model, ..) = meter.catalog().models().next().expect("a model");
        let view = snapshot.latency(model);
        let mut spread = Spread::default();
        // Filled with something else before, as on a page.
        spread.fill(snapshot.overhead(Endpoint::ChatCompletions));
        spread.fill(view);
        prop_assert_eq!((spread.count, spread.sum), (view.count(), view.sum()));
        prop_assert!(spread.classic(view.layout()).eq(view.classic()));
        prop_assert!(spread.cells().iter().copied().eq(view.cells()));
    }

    #[test]
    fn native_histograms_hold_any_values(values in prop::collection::vec(latency(), 0..300)) {
        native_holds(&values);
    }

    #[test]
    fn any_label_value_comes_through(provider in ".{0,12}", model in "[\\\\\"\n=,{}a]{0,8}", client in ".{0,6}") {
        let meter = Meter::new(100);
        meter.catalog().route(&provider, &model, "k");
        meter.catalog().client(&client);
        let families = read(&page(&meter, Format::Protobuf, &[]));
        let of = |name: &str| families.iter().find(|family| family.name == name).map(|f| labels(&f.metric[0]));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        prop_assert_eq!(
            of("coo_llm_requests_total"),
            Some(vec![pair("provider", &provider), pair("model", &model), pair("key", "k")])
        );
        prop_assert_eq!(of("coo_llm_client_requests_total"), Some(vec![pair("client_id", &client)]));
    }
}
