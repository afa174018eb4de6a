//! Rows as line protocol.

use crate::history::{NUMBERS, Sealed, SealedRow};
use std::fmt::Write as _;

/// A line for each row, and for each kind of failure.
pub(super) fn lines(instance: u64, rows: &Sealed) -> Vec<String> {
    let usage = rows.rows.iter().map(|row| usage(instance, rows, row));
    let errors = rows.errors.iter().map(|(provider, kind, requests)| {
        let mut line = String::from("coo_llm_errors");
        tags(
            &mut line,
            &[
                ("instance", &format!("{instance:016x}")),
                ("provider", provider),
                ("type", kind),
            ],
        );
        let _infallible = write!(
            line,
            " requests={requests}i,width_s={}i {}",
            rows.width_s, rows.start_s
        );
        line
    });
    usage.chain(errors).collect()
}

fn usage(instance: u64, rows: &Sealed, row: &SealedRow) -> String {
    let mut line = String::from("coo_llm_usage");
    tags(
        &mut line,
        &[
            ("client_id", &row.client),
            ("instance", &format!("{instance:016x}")),
            ("key", &row.key),
            ("model", &row.model),
            ("provider", &row.provider),
        ],
    );
    let numbers = NUMBERS.into_iter().zip(row.usage.numbers());
    let mut between = ' ';
    for (name, number) in numbers.chain([("width_s", rows.width_s)]) {
        // Integers of the store end where ours do: i64.
        let number = number.min(i64::MAX as u64);
        let _infallible = write!(line, "{between}{name}={number}i");
        between = ',';
    }
    // A percentile of a bucket, for graphs; they cannot be added up.
    for (name, q) in [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)] {
        if let Some(us) = row.usage.latency.quantile_us(q) {
            let _infallible = write!(line, ",{name}={}", us / 1000.0);
        }
    }
    let _infallible = write!(line, " {}", rows.start_s);
    line
}

/// Appends tags, in the order of their names, as the store wants it. An empty value is none.
fn tags(line: &mut String, tags: &[(&str, &str)]) {
    for (name, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
        let _infallible = write!(line, ",{name}=");
        for c in value.chars() {
            match c {
                ',' | '=' | ' ' => line.extend(['\\', c]),
                // A backslash escapes what follows it, and there is no way to write a line's end.
                // The percent sign too, so that no two names become one.
                '\\' | '%' => percent(line, c),
                c if c.is_control() => percent(line, c),
                c => line.push(c),
            }
        }
    }
}

fn percent(line: &mut String, c: char) {
    let mut bytes = [0; 4];
    for byte in c.encode_utf8(&mut bytes).bytes() {
        let _infallible = write!(line, "%{byte:02X}");
    }
}
