use super::*;

const PAGE: &str = "\
# HELP a_total Things.
# TYPE a_total counter
a_total{x=\"1\",y=\"q\\\"\\\\\\n\"} 3
a_total{x=\"2\",y=\"\"} 1e2
# HELP cost_total Money.
# TYPE cost_total counter
cost_total 0.0000375
# HELP h_seconds Time.
# TYPE h_seconds histogram
h_seconds_bucket{le=\"0.5\"} 1
h_seconds_bucket{le=\"+Inf\"} 2
h_seconds_sum 10.5
h_seconds_count 2
";

#[test]
fn a_good_page_is_read() {
    let page = Exposition::parse(PAGE).expect("the page is well formed");
    assert_eq!(page.count("a_total", &[]), 103);
    assert_eq!(page.count("a_total", &[("x", "1")]), 3);
    assert_eq!(page.nano_usd("cost_total", &[]), 37_500);
    let first = &page.samples[0];
    assert_eq!(first.labels, labels(&[("x", "1"), ("y", "q\"\\\n")]));
    assert_eq!(page.label_names("h_seconds"), BTreeSet::new());
}

#[test]
fn broken_pages_are_refused() {
    let cases = [
        ("no end", "# HELP a A.\n# TYPE a gauge\na 1"),
        ("no type", "a 1\n"),
        ("no help", "# TYPE a gauge\na 1\n"),
        ("twice", "# HELP a A.\n# TYPE a gauge\na 1\na 1\n"),
        (
            "two blocks",
            "# HELP a A.\n# TYPE a gauge\na 1\n# TYPE a gauge\n",
        ),
        ("below zero", "# HELP a A.\n# TYPE a counter\na -1\n"),
        ("escape", "# HELP a A.\n# TYPE a gauge\na{x=\"\\t\"} 1\n"),
        ("no value", "# HELP a A.\n# TYPE a gauge\na{x=\"1\"}\n"),
        ("word", "# HELP a A.\n# TYPE a gauge\na inf\n"),
        ("other block", "# HELP a A.\n# TYPE a gauge\nb 1\n"),
        (
            "comma",
            "# HELP a A.\n# TYPE a gauge\na{x=\"1\"y=\"2\"} 1\n",
        ),
    ];
    for (what, text) in cases {
        assert!(Exposition::parse(text).is_err(), "{what}: {text:?}");
    }
}

#[test]
fn histograms_have_to_add_up() {
    for (from, to) in [
        ("le=\"0.5\"} 1", "le=\"0.5\"} 3"),
        ("h_seconds_count 2", "h_seconds_count 3"),
        ("h_seconds_sum 10.5\n", ""),
        ("le=\"+Inf\"} 2", "le=\"0.1\"} 2"),
    ] {
        let text = PAGE.replace(from, to);
        assert!(Exposition::parse(&text).is_err(), "{text}");
    }
}

#[test]
fn decimals_scale_without_a_float() {
    let scaled = |text, digits| Decimal::parse(text).and_then(|d| d.scaled(digits));
    assert_eq!(scaled("0.1", 9), Some(100_000_000));
    assert_eq!(scaled("1.5e-7", 9), Some(150));
    assert_eq!(scaled("12", 0), Some(12));
    assert_eq!(scaled("12.000", 0), Some(12));
    assert_eq!(scaled("1e3", 0), Some(1000));
    assert_eq!(scaled("0", 9), Some(0));
    assert_eq!(scaled("0.0", 0), Some(0));
    assert_eq!(scaled("0.0000000001", 9), None);
    assert_eq!(scaled("1.5", 0), None);
    assert_eq!(scaled("NaN", 0), None);
    assert_eq!(scaled("-1", 0), None);
    assert_eq!(scaled("9007199254740993", 0), Some(9_007_199_254_740_993));
    for text in ["", "inf", "1_0", "0x1", "nan", "Inf"] {
        assert_eq!(Decimal::parse(text), None, "{text}");
    }
}
