//! Rows as CSV (RFC 4180, but for line ends of one byte).

use super::moment::rfc3339;
use super::{COLUMNS, counts, latencies_ms};
use coo_llm_exporters::decimal::push_usd;
use coo_llm_exporters::history::ArchiveRow;
use std::io::{self, Write};

pub(super) fn header(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))
}

pub(super) fn row(row: &ArchiveRow<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::with_capacity(256);
    write!(line, "{},{}", rfc3339(row.start_s), row.width_s)?;
    for name in [row.provider, row.model, row.key, row.client_id] {
        line.push(b',');
        push_text(&mut line, name);
    }
    for count in counts(row) {
        write!(line, ",{count}")?;
    }
    line.push(b',');
    push_usd(&mut line, row.usage.totals.cost);
    write!(line, ",{}", row.usage.totals.unpriced)?;
    match latencies_ms(&row.usage.latency) {
        Some(all) => {
            for ms in all {
                write!(line, ",{ms:.3}")?;
            }
        }
        None => line.extend_from_slice(b",,,,"),
    }
    line.push(b'\n');
    out.write_all(&line)
}

/// Appends a field, quoted where it has to be.
pub(crate) fn push_text(line: &mut Vec<u8>, text: &str) {
    if !text.contains([',', '"', '\n', '\r']) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    line.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_the_marks_of_csv_is_quoted() {
        let text = |text| {
            let mut line = Vec::new();
            push_text(&mut line, text);
            String::from_utf8(line).expect("text")
        };
        assert_eq!(text("gpt-4o"), "gpt-4o");
        assert_eq!(text("a,b"), "\"a,b\"");
        assert_eq!(text("a\"b\n"), "\"a\"\"b\n\"");
    }
}
