//! Rows as lines of JSON. `cost_usd` is a text, so that no reader makes a float of it.

use super::moment::rfc3339;
use super::{counts, latencies_ms};
use coo_llm_exporters::decimal::push_usd;
use coo_llm_exporters::history::ArchiveRow;
use std::io::{self, Write};

pub(super) fn row(row: &ArchiveRow<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::with_capacity(512);
    let time = rfc3339(row.start_s);
    write!(line, "{{\"time\":\"{time}\",\"width_s\":{}", row.width_s)?;
    let names = [row.provider, row.model, row.key, row.client_id];
    for (column, name) in super::COLUMNS[2..].iter().zip(names) {
        write!(line, ",\"{column}\":")?;
        serde_json::to_writer(&mut line, name)?;
    }
    for (column, count) in super::COLUMNS[6..].iter().zip(counts(row)) {
        write!(line, ",\"{column}\":{count}")?;
    }
    line.extend_from_slice(b",\"cost_usd\":\"");
    push_usd(&mut line, row.usage.totals.cost);
    write!(line, "\",\"unpriced\":{}", row.usage.totals.unpriced)?;
    let latencies = latencies_ms(&row.usage.latency);
    for (at, column) in super::COLUMNS[17..].iter().enumerate() {
        match latencies {
            Some(all) => write!(line, ",\"{column}\":{:.3}", all[at])?,
            None => write!(line, ",\"{column}\":null")?,
        }
    }
    line.extend_from_slice(b"}\n");
    out.write_all(&line)
}
