//! Where each sink is, in the file's table `meta`, and what is kept for them.

use super::level::{Level, floor};
use super::sealed::Position;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// The positions of the sinks, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Sinks(BTreeMap<String, Position>);

impl Sinks {
    pub(super) fn load(file: &Connection) -> rusqlite::Result<Self> {
        let mut sinks: BTreeMap<String, Position> = BTreeMap::new();
        let mut statement =
            file.prepare("SELECT name, value FROM meta WHERE name LIKE 'sink.%'")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let value = row.get::<_, i64>(1)?.cast_unsigned();
            let of = |suffix| name.strip_prefix("sink.")?.strip_suffix(suffix);
            if let Some(sink) = of(".second") {
                sinks.entry(sink.to_owned()).or_default().second = value;
            } else if let Some(sink) = of(".rows") {
                sinks.entry(sink.to_owned()).or_default().rows = value;
            }
        }
        Ok(Self(sinks))
    }

    pub(super) fn get(&self, sink: &str) -> Option<Position> {
        self.0.get(sink).copied()
    }

    pub(super) fn put(
        &mut self,
        file: &mut Connection,
        sink: &str,
        position: Position,
    ) -> rusqlite::Result<()> {
        let transaction = file.transaction()?;
        for (what, value) in [("second", position.second), ("rows", position.rows)] {
            transaction.execute(
                "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
                params![format!("sink.{sink}.{what}"), value.cast_signed()],
            )?;
        }
        transaction.commit()?;
        self.0.insert(sink.to_owned(), position);
        Ok(())
    }

    /// Forgets all others.
    pub(super) fn keep(&mut self, file: &mut Connection, wanted: &[&str]) -> rusqlite::Result<()> {
        let gone = self
            .0
            .keys()
            .filter(|sink| !wanted.contains(&sink.as_str()));
        let gone: Vec<_> = gone.cloned().collect();
        let transaction = file.transaction()?;
        for sink in &gone {
            transaction.execute(
                "DELETE FROM meta WHERE name IN (?1, ?2)",
                [format!("sink.{sink}.second"), format!("sink.{sink}.rows")],
            )?;
        }
        transaction.commit()?;
        self.0.retain(|sink, _| !gone.contains(sink));
        Ok(())
    }

    /// The hour of the sink that is furthest behind.
    pub(super) fn hold(&self) -> Option<u64> {
        let hours = self
            .0
            .values()
            .map(|at| floor(at.second, Level::Hour.width()));
        hours.min()
    }

    /// Hours of which some sink has a part: their rows stay as they are.
    pub(super) fn begun(&self) -> impl Iterator<Item = u64> {
        self.0.values().filter_map(|at| {
            let hour = floor(at.second, Level::Hour.width());
            (at.second != hour || at.rows > 0).then_some(hour)
        })
    }
}
