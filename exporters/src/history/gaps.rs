//! Spans in which no process filled the history: rows `off_FROM` of the table `meta`.
//!
//! A gap is what lies between the last stamp of a file and the moment it is opened again. It is
//! no time without traffic: who learns what is usual leaves it out.

use rusqlite::{Connection, params};

/// A shorter one, as of a restart, is none.
const GAP_S_MIN: u64 = 60;
/// How long gaps are remembered.
const KEPT_S: u64 = 35 * 86_400;
/// The last ones, so that a process that restarts all day fills no file.
const GAPS_MAX: usize = 256;

/// Seconds since 1970, half-open.
pub(super) type Gap = (u64, u64);

/// Notes the gap before `now_s`, if there is one; all that are remembered, by time.
pub(super) fn note(connection: &Connection, last_s: u64, now_s: u64) -> rusqlite::Result<Vec<Gap>> {
    if now_s.saturating_sub(last_s) >= GAP_S_MIN {
        connection.execute(
            "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
            params![format!("off_{last_s}"), now_s as i64],
        )?;
    }
    let mut statement =
        connection.prepare("SELECT name, value FROM meta WHERE name GLOB 'off_[0-9]*'")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    });
    let mut gaps = Vec::new();
    for row in rows? {
        let (name, until) = row?;
        let from = name.strip_prefix("off_").and_then(|from| from.parse().ok());
        gaps.extend(from.map(|from: u64| (from, until.cast_unsigned())));
    }
    gaps.sort_unstable();
    let is_old = |gap: &Gap| gap.1.saturating_add(KEPT_S) < now_s;
    let old = gaps
        .partition_point(is_old)
        .max(gaps.len().saturating_sub(GAPS_MAX));
    for (from, _) in gaps.drain(..old) {
        connection.execute("DELETE FROM meta WHERE name = ?1", [format!("off_{from}")])?;
    }
    Ok(gaps)
}
