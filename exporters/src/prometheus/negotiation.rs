//! Content negotiation: which format and which encoding a scraper wants (RFC 9110, 12).
//!
//! What Prometheus sends and expects: <https://prometheus.io/docs/instrumenting/content_negotiation/>.
//!
//! The functions take the values of the headers as text, so that any HTTP library will do:
//!
//! ```
//! use coo_llm_exporters::prometheus::Format;
//! use coo_llm_exporters::prometheus::negotiation::{Encoding, encoding, format};
//!
//! let (format, content_type) = format(["text/html;q=0.9", "application/openmetrics-text;q=0.5"]);
//! assert_eq!(format, Format::OpenMetrics);
//! assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
//! assert_eq!(encoding(["gzip;q=0.2, br"], &[Encoding::Zstd, Encoding::Gzip]), Encoding::Gzip);
//! ```

use super::Format;

/// One element of a list header: its value, its parameters, its weight in thousandths.
#[derive(Debug)]
struct Wish<'a> {
    value: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: u16,
}

/// The elements of all headers of a name. An element that is not understood is no wish.
fn wishes<'a>(values: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Wish<'a>> {
    let elements = values.into_iter().flat_map(|value| value.split(','));
    elements.filter_map(wish)
}

fn wish(element: &str) -> Option<Wish<'_>> {
    let mut pieces = element.split(';').map(str::trim);
    let value = pieces.next().filter(|value| !value.is_empty())?;
    let mut wish = Wish {
        value,
        parameters: Vec::new(),
        weight: 1000,
    };
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if name.eq_ignore_ascii_case("q") {
            wish.weight = weight(value)?;
        } else {
            wish.parameters.push((name, value));
        }
    }
    Some(wish)
}

/// A weight: 0 to 1 with at most three decimals.
fn weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || decimals.len() > 3 {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

impl<'a> Wish<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// The format that it asks for, and how narrowly: type, subtype, version.
    fn format(&self) -> Option<(Format, u8)> {
        let version = |ours: &str| match self.parameter("version") {
            None => Some(2),
            Some(asked) if asked == ours => Some(3),
            Some(_) => None,
        };
        match self.value.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => Some((Format::OpenMetrics, version("1.0.0")?)),
            "application/vnd.google.protobuf" => {
                let is = |name: &str, ours: &str| {
                    let asked = self.parameter(name);
                    asked.is_some_and(|asked| asked.eq_ignore_ascii_case(ours))
                };
                let ours =
                    is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited");
                ours.then_some((Format::Protobuf, 3))
            }
            "text/plain" => Some((Format::Text, version("0.0.4")?)),
            "application/*" => Some((Format::OpenMetrics, 1)),
            "text/*" => Some((Format::Text, 1)),
            "*/*" => Some((Format::Text, 0)),
            _ => None,
        }
    }
}

/// The format to answer in, with its content type: that of the highest weight, the first
/// of equals. Text 0.0.4 where nothing we have is asked for, as Prometheus demands it.
///
/// `accept` is the value of each `Accept` header; none is the same as an empty one.
#[must_use]
pub fn format<'a>(accept: impl IntoIterator<Item = &'a str>) -> (Format, &'static str) {
    // For each format the narrowest wish holds, so that `text/plain;q=0, */*` is no text.
    let mut held: [Option<(u8, u16, usize)>; 3] = [None; 3];
    let mut escaping = None;
    for (at, wish) in wishes(accept).enumerate() {
        let Some((format, narrow)) = wish.format() else {
            continue;
        };
        let held = &mut held[format as usize];
        if held.is_none_or(|(than, ..)| narrow > than) {
            *held = Some((narrow, wish.weight, at));
            if format == Format::OpenMetrics {
                escaping = wish.parameter("escaping");
            }
        }
    }
    let weighed = |format: Format| {
        let (_, weight, at) = held[format as usize]?;
        (weight > 0).then_some((weight, std::cmp::Reverse(at)))
    };
    // Text first: it is the answer where all are equal, which is to say none was asked for.
    let mut best = Format::Text;
    for format in [Format::OpenMetrics, Format::Protobuf] {
        if weighed(format) > weighed(best) {
            best = format;
        }
    }
    // Whoever names a scheme for names is told the one that holds. Ours have nothing to
    // escape, so they are the same in both of these.
    let content_type = match (best, escaping) {
        (Format::OpenMetrics, Some("allow-utf-8")) => {
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
        }
        (Format::OpenMetrics, Some(_)) => {
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
        }
        (format, _) => format.content_type(),
    };
    (best, content_type)
}

/// A content coding of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The page as it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    /// The value of the `Content-Encoding` header; [`Encoding::Identity`] has none.
    #[must_use]
    pub const fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    fn is(self, name: &str) -> bool {
        let names: &[_] = match self {
            Self::Identity => &["identity"],
            Self::Gzip => &["gzip", "x-gzip"],
            Self::Zstd => &["zstd"],
        };
        names.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    }
}

/// The encoding to answer in: that of the highest weight; of equals one that is named
/// before one that `*` stands for, then the first of `offered`.
///
/// `accept_encoding` is the value of each `Accept-Encoding` header, `offered` what the caller
/// can make beside [`Encoding::Identity`], the best first. The page goes as it is where none
/// of them may be, even if the client refuses that too: RFC 9110, 12.5.3, leaves it open.
#[must_use]
pub fn encoding<'a>(
    accept_encoding: impl IntoIterator<Item = &'a str>,
    offered: &[Encoding],
) -> Encoding {
    let wishes: Vec<_> = wishes(accept_encoding).collect();
    let weight = |is: &dyn Fn(&str) -> bool| {
        let first = wishes.iter().find(|wish| is(wish.value));
        first.map(|wish| wish.weight)
    };
    let any = weight(&|name| name == "*");
    // A page as it is goes last among equals. Unless it is named it may always be.
    let identity = weight(&|name| Encoding::Identity.is(name)).or(any);
    let mut best = (identity.unwrap_or(0), 0, Encoding::Identity);
    for encoding in offered {
        let named = weight(&|name| encoding.is(name)).map(|weight| (weight, 2));
        let Some((weight, rank)) = named.or(any.map(|weight| (weight, 1))) else {
            continue;
        };
        if weight > 0 && (weight, rank) > (best.0, best.1) {
            best = (weight, rank, *encoding);
        }
    }
    best.2
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{OpenMetrics, Protobuf, Text};

    #[test]
    fn formats_are_negotiated() {
        // What Prometheus sends (the first is 2.42's), a browser, curl, and corners of the grammar.
        let table = [
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                // Prometheus 3.
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                // Prometheus 2.49 to 2.55: weights for all, by their number.
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                // Prometheus 3.0: the scheme at each protocol.
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2",
                Protobuf,
            ),
            (
                // Prometheus 3 with a version of text alone that we do not have.
                "text/plain;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5",
                Text,
            ),
            (
                // protobuf of another message.
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricSet;encoding=delimited;q=0.6,*/*;q=0.1",
                Text,
            ),
            (
                // Prometheus 3 with scrape_protocols: [PrometheusText0.0.4].
                "text/plain;version=0.0.4;q=0.6,*/*;q=0.5",
                Text,
            ),
            (
                "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5",
                Text,
            ),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Text,
            ),
            (
                // Prometheus 2.42 with --enable-feature=native-histograms.
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Protobuf,
            ),
            (
                // Prometheus 3 with native histograms: PrometheusProto before its defaults.
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Protobuf,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
                Text,
            ),
            ("application/vnd.google.protobuf", Text),
            ("*/*", Text),
            ("", Text),
            ("application/json", Text),
            ("application/openmetrics-text", OpenMetrics),
            (
                "APPLICATION/OpenMetrics-Text; VERSION=\"1.0.0\"",
                OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/openmetrics-text;q=0", Text),
            (
                "text/plain;q=0, application/openmetrics-text;q=0.001",
                OpenMetrics,
            ),
            (
                "text/plain;q=0, */*, application/openmetrics-text;q=0.2",
                OpenMetrics,
            ),
            ("application/openmetrics-text, text/plain", OpenMetrics),
            ("text/plain, application/openmetrics-text", Text),
            ("application/openmetrics-text;q=2", Text),
            ("application/openmetrics-text;q=0.0001", Text),
            ("application/openmetrics-text;;q=1.000", OpenMetrics),
            ("application/*;q=0.2, text/*;q=0.1", OpenMetrics),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain;version=0.0.4;q=0.5",
                Protobuf,
            ),
        ];
        for (accept, want) in table {
            assert_eq!(format([accept]).0, want, "{accept}");
        }
        assert_eq!(format([]).0, Text);
    }

    #[test]
    fn the_scheme_of_names_is_told_to_who_asks_for_one() {
        let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let table = [
            ("", ""),
            (";escaping=allow-utf-8", "; escaping=allow-utf-8"),
            (";escaping=underscores", "; escaping=underscores"),
            (";escaping=dots", "; escaping=underscores"),
            (";ESCAPING=\"allow-utf-8\"", "; escaping=allow-utf-8"),
        ];
        for (asked, told) in table {
            let accept = format!("application/openmetrics-text;version=1.0.0{asked};q=0.5");
            let (_, content_type) = format([&*accept]);
            assert_eq!(content_type, format!("{open}{told}"));
        }
        let text = "text/plain;version=0.0.4,application/openmetrics-text;escaping=dots;q=0.1";
        let (_, content_type) = format([text]);
        assert_eq!(content_type, Text.content_type());
    }

    #[test]
    fn encodings_are_negotiated_by_weight() {
        use Encoding::{Gzip, Identity, Zstd};
        let table = [
            // Prometheus, a browser, Python's requests with zstandard, and the grammar's corners.
            ("gzip", Gzip),
            ("gzip, deflate, br, zstd", Zstd),
            ("gzip, deflate, zstd", Zstd),
            ("zstd", Zstd),
            ("ZSTD;q=0.5, deflate", Zstd),
            ("GZIP;q=0.5, deflate", Gzip),
            ("zstd;q=0.5, gzip", Gzip),
            ("zstd;q=0.5, gzip;q=0.501", Gzip),
            ("zstd;q=0.7, x-gzip;q=0.5", Zstd),
            ("zstd;q=0, gzip", Gzip),
            ("zstd;q=0.000", Identity),
            ("zstd;q=0, gzip;q=0.000, *", Identity),
            ("gzip;q=0, *", Zstd),
            ("gzip, *", Gzip),
            ("gzip;q=0.5, *", Zstd),
            ("gzip;q=0.5, *;q=0.4", Gzip),
            ("*", Zstd),
            ("*;q=0", Identity),
            ("*;q=0, gzip;q=0.001", Gzip),
            ("identity, br", Identity),
            ("identity, gzip;q=0.5", Identity),
            ("identity;q=0.5, gzip;q=0.5", Gzip),
            ("identity;q=0.4, gzip;q=0.5", Gzip),
            ("identity;q=0", Identity),
            ("identity;q=0, *", Zstd),
            ("gzip;q=2", Identity),
            ("gzip;q=0, gzip", Identity),
            ("", Identity),
        ];
        for (accept, want) in table {
            assert_eq!(encoding([accept], &[Zstd, Gzip]), want, "{accept}");
        }
        assert_eq!(encoding([], &[Zstd, Gzip]), Identity);
        assert_eq!(encoding(["zstd;q=0.1", "gzip"], &[Zstd, Gzip]), Gzip);
        assert_eq!(encoding(["zstd, gzip;q=0.1"], &[Gzip]), Gzip);
        assert_eq!(encoding(["zstd, gzip"], &[Gzip, Zstd]), Gzip);
        assert_eq!(encoding(["zstd, gzip"], &[]), Identity);
        assert_eq!(encoding(["gzip;q=0.3, *;q=0.5"], &[Gzip]), Identity);
    }
}
