//! Rows as Parquet, in groups of so many: all that is in memory of them.

use super::output::Output;
use super::{counts, latencies_ms};
use coo_llm_exporters::history::ArchiveRow;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

/// Rows of a group: some 15 MB before they are encoded.
const GROUP_ROWS: usize = 50_000;

/// The columns of [`COLUMNS`](super::COLUMNS). Money is a decimal of 18 digits, nine of them
/// behind the point: exact, and a billion USD a row.
const SCHEMA: &str = "message usage {
    REQUIRED INT64 time (TIMESTAMP(MILLIS, true));
    REQUIRED INT32 width_s;
    REQUIRED BYTE_ARRAY provider (STRING);
    REQUIRED BYTE_ARRAY model (STRING);
    REQUIRED BYTE_ARRAY key (STRING);
    REQUIRED BYTE_ARRAY client_id (STRING);
    REQUIRED INT64 requests;
    REQUIRED INT64 errors;
    REQUIRED INT64 input;
    REQUIRED INT64 cached_input;
    REQUIRED INT64 cache_write;
    REQUIRED INT64 output;
    REQUIRED INT64 reasoning;
    REQUIRED INT64 audio_input;
    REQUIRED INT64 audio_output;
    REQUIRED INT64 cost_usd (DECIMAL(18, 9));
    REQUIRED INT64 unpriced;
    OPTIONAL DOUBLE avg_latency_ms;
    OPTIONAL DOUBLE p50_latency_ms;
    OPTIONAL DOUBLE p95_latency_ms;
    OPTIONAL DOUBLE p99_latency_ms;
}";
const COST_MAX: u64 = 999_999_999_999_999_999;

/// The rows of a group, by columns.
#[derive(Default)]
struct Group {
    time_ms: Vec<i64>,
    width_s: Vec<i32>,
    names: [Vec<ByteArray>; 4],
    counts: [Vec<i64>; 9],
    cost: Vec<i64>,
    unpriced: Vec<i64>,
    /// Of the rows that have them.
    latencies_ms: [Vec<f64>; 4],
    /// 1 where a row has them.
    has_latencies: Vec<i16>,
}

/// A file under way.
pub(super) struct Sheet<'o> {
    writer: SerializedFileWriter<&'o mut Output>,
    group: Group,
}

impl<'o> Sheet<'o> {
    pub(super) fn begin(output: &'o mut Output) -> Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("coo-llm ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        Ok(Self {
            writer: SerializedFileWriter::new(output, schema, Arc::new(properties))?,
            group: Group::default(),
        })
    }

    pub(super) fn row(&mut self, row: &ArchiveRow<'_>) -> Result<()> {
        self.group.add(row)?;
        if self.group.time_ms.len() < GROUP_ROWS {
            return Ok(());
        }
        self.write_group()
    }

    pub(super) fn finish(mut self) -> Result<()> {
        if !self.group.time_ms.is_empty() {
            self.write_group()?;
        }
        self.writer.close()?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        let mut rows = self.writer.next_row_group()?;
        self.group.write(&mut rows)?;
        rows.close()?;
        self.group.clear();
        Ok(())
    }
}

fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Group {
    fn add(&mut self, row: &ArchiveRow<'_>) -> Result<()> {
        let cost = row.usage.totals.cost.0;
        if cost > COST_MAX {
            let line = format!("a row costs {cost} nano-USD, more than DECIMAL(18, 9) holds");
            return Err(ParquetError::General(line));
        }
        self.time_ms.push(integer(row.start_s * 1000));
        self.width_s.push(row.width_s as i32);
        let names = [row.provider, row.model, row.key, row.client_id];
        for (column, name) in self.names.iter_mut().zip(names) {
            // Of a name that is the one before it, as most are, one copy is kept.
            let last = column.last().filter(|last| last.data() == name.as_bytes());
            column.push(last.cloned().unwrap_or_else(|| name.into()));
        }
        for (column, count) in self.counts.iter_mut().zip(counts(row)) {
            column.push(integer(count));
        }
        self.cost.push(integer(cost));
        self.unpriced.push(integer(row.usage.totals.unpriced));
        let latencies = latencies_ms(&row.usage.latency);
        self.has_latencies.push(latencies.is_some().into());
        let columns = self.latencies_ms.iter_mut();
        for (column, ms) in columns.zip(latencies.into_iter().flatten()) {
            column.push(ms);
        }
        Ok(())
    }

    /// In the order of [`SCHEMA`].
    fn write(&self, rows: &mut SerializedRowGroupWriter<'_, &mut Output>) -> Result<()> {
        let missing = || ParquetError::General("the schema lacks a column".to_owned());
        macro_rules! column {
            ($kind:ty, $values:expr, $levels:expr) => {{
                let mut column = rows.next_column()?.ok_or_else(missing)?;
                column
                    .typed::<$kind>()
                    .write_batch($values, $levels, None)?;
                column.close()?;
            }};
        }
        column!(Int64Type, &self.time_ms, None);
        column!(Int32Type, &self.width_s, None);
        for names in &self.names {
            column!(ByteArrayType, names, None);
        }
        for counts in &self.counts {
            column!(Int64Type, counts, None);
        }
        column!(Int64Type, &self.cost, None);
        column!(Int64Type, &self.unpriced, None);
        for latencies in &self.latencies_ms {
            column!(DoubleType, latencies, Some(&self.has_latencies));
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.time_ms.clear();
        self.width_s.clear();
        self.names.iter_mut().for_each(Vec::clear);
        self.counts.iter_mut().for_each(Vec::clear);
        self.cost.clear();
        self.unpriced.clear();
        self.latencies_ms.iter_mut().for_each(Vec::clear);
        self.has_latencies.clear();
    }
}
