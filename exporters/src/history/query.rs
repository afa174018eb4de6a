//! Questions to the history, and how rows become answers.

use super::clients::ClientSet;
use super::error::HistoryError;
use super::level::{Level, Piece, cover};
use super::names::Names;
use super::roll;
use super::usage::{COLUMNS, Usage};
use super::waiting::Waiting;
use super::writer::Meta;
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Points of an answer, over all groups.
pub const POINTS_MAX: u64 = 1_000_000;

/// Seconds since 1970, half-open: `[start_s, end_s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first second.
    pub start_s: u64,
    /// The first second after it.
    pub end_s: u64,
}

/// What an answer can be broken down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The provider.
    Provider,
    /// The model.
    Model,
    /// The public id of the provider's key.
    Key,
    /// The client.
    Client,
}

/// What is asked about; `None` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The provider.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The public id of the provider's key.
    pub key: Option<String>,
    /// The client.
    pub client: Option<String>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// When. Its ends are moved back to those of buckets: ten seconds, or what is left of
    /// that time.
    pub window: Window,
    /// The width of a point in seconds, rounded up to tens; without it there is one point.
    pub step_s: Option<u64>,
    /// Of what.
    pub filter: Filter,
    /// By what, from the outermost.
    pub group_by: Vec<Dimension>,
}

/// One group's usage over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// A name for each of [`Query::group_by`].
    pub names: Vec<Arc<str>>,
    /// Usage by the first second of its point, ascending; points without a request are left out.
    pub points: Vec<(u64, Usage)>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What it is about: the window, snapped to buckets, and within the time there is a
    /// history of. Nothing is known of what was asked for outside of it.
    pub window: Window,
    /// The groups in which something happened, by their names.
    pub groups: Vec<Group>,
}

/// Failures by provider and type.
pub type Errors = BTreeMap<(Arc<str>, Arc<str>), u64>;

/// The part of `asked` that there is a history of, snapped.
pub(super) fn snap(asked: Window, meta: &Meta, horizon_s: u64) -> Window {
    // What is past the longest retention is as unknown as what was before the first row.
    let known_from = meta.begins.max(meta.kept.of(Level::Hour)).min(horizon_s);
    let start = meta.kept.snap(asked.start_s.clamp(known_from, horizon_s));
    let end = meta.kept.snap(asked.end_s.clamp(known_from, horizon_s));
    Window {
        start_s: start,
        end_s: end.max(start),
    }
}

/// A hash of ids and times, which nobody chooses to collide: a row of 180,000 is found in a
/// tenth of the time that SipHash takes.
#[derive(Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    /// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014), halfway.
    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// A query under way: groups by the numbers of their names.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    query: &'a Query,
    pub(super) window: Window,
    step: Option<u64>,
    /// The group of each route; `None` where the filter leaves it out.
    route_groups: Vec<Option<u32>>,
    /// The names of those groups.
    group_names: Vec<Vec<Arc<str>>>,
    /// The client that is asked about; an outer `None` is any, an inner one is none at all.
    client: Option<Option<u32>>,
    by_client: bool,
    /// By group, client and point; at most [`POINTS_MAX`].
    found: HashMap<(u32, u32, u64), Usage, BuildHasherDefault<Mixed>>,
    is_too_much: bool,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(
        query: &'a Query,
        window: Window,
        names: &Names,
    ) -> Result<Self, HistoryError> {
        let step = query.step_s.map(|step| step.max(1).next_multiple_of(10));
        let points = step.map_or(1, |step| (window.end_s - window.start_s).div_ceil(step));
        if points > POINTS_MAX {
            return Err(HistoryError::TooManyPoints { points });
        }
        let filter = &query.filter;
        let wanted = [&filter.provider, &filter.model, &filter.key];
        let mut group_names: Vec<Vec<Arc<str>>> = Vec::new();
        let mut places = HashMap::new();
        let route_groups = names.routes().iter().map(|route| {
            let fits = |(name, wanted): (&Arc<str>, &&Option<String>)| {
                wanted.as_ref().is_none_or(|wanted| **wanted == **name)
            };
            route.iter().zip(&wanted).all(fits).then(|| {
                let of = query
                    .group_by
                    .iter()
                    .filter_map(|dimension| match dimension {
                        Dimension::Provider => Some(Arc::clone(&route[0])),
                        Dimension::Model => Some(Arc::clone(&route[1])),
                        Dimension::Key => Some(Arc::clone(&route[2])),
                        Dimension::Client => None,
                    });
                let of: Vec<_> = of.collect();
                *places.entry(of.clone()).or_insert_with(|| {
                    group_names.push(of);
                    group_names.len() as u32 - 1
                })
            })
        });
        let route_groups = route_groups.collect();
        Ok(Self {
            query,
            window,
            step,
            route_groups,
            group_names,
            client: filter.client.as_ref().map(|name| names.client_id(name)),
            by_client: query.group_by.contains(&Dimension::Client),
            found: HashMap::default(),
            is_too_much: false,
        })
    }

    /// Where usage of a client and route in a bucket goes.
    fn place(&mut self, bucket: u64, client: u32, route: u32) -> Option<&mut Usage> {
        let group = self.route_groups.get(route as usize).copied().flatten()?;
        let client = if self.by_client { client } else { 0 };
        let start = self.window.start_s;
        let point = match self.step {
            Some(step) => start + (bucket - start) / step * step,
            None => start,
        };
        let is_full = self.found.len() as u64 >= POINTS_MAX;
        if is_full && !self.found.contains_key(&(group, client, point)) {
            self.is_too_much = true;
            return None;
        }
        Some(self.found.entry((group, client, point)).or_default())
    }

    pub(super) fn add_waiting(&mut self, waiting: &Waiting, meta: &Meta) {
        let Window { start_s, end_s } = self.window;
        for (bucket, rows) in waiting.within(start_s, end_s, meta.writes) {
            for ((client, route), usage) in &rows.usage {
                if self.client.is_none_or(|wanted| wanted == Some(*client))
                    && let Some(place) = self.place(bucket, *client, *route)
                {
                    place.add(usage);
                }
            }
        }
    }

    /// Adds what the file has.
    pub(super) fn add_stored(&mut self, file: &Connection, meta: &Meta) -> rusqlite::Result<()> {
        let Window { start_s, end_s } = self.window;
        for piece in cover(meta.kept, start_s, end_s, self.step) {
            self.add_piece(file, piece)?;
        }
        Ok(())
    }

    fn add_piece(&mut self, file: &Connection, piece: Piece) -> rusqlite::Result<()> {
        let Piece { level, start, end } = piece;
        let suffix = level.suffix();
        match self.client {
            Some(None) => Ok(()),
            Some(Some(client)) => {
                let sql = format!(
                    "SELECT bucket, client, route, {COLUMNS} FROM usage_{suffix} \
                     WHERE bucket = ?1 AND client = ?2"
                );
                let mut statement = file.prepare_cached(&sql)?;
                for bucket in (start..end).step_by(level.width() as usize) {
                    let mut rows = statement.query([bucket as i64, client.into()])?;
                    while let Some(row) = rows.next()? {
                        self.add_row(row)?;
                    }
                }
                Ok(())
            }
            None => {
                let table = if self.by_client {
                    format!("client, route, {COLUMNS} FROM usage_{suffix}")
                } else {
                    format!("0, route, {COLUMNS} FROM route_usage_{suffix}")
                };
                let sql = format!("SELECT bucket, {table} WHERE bucket >= ?1 AND bucket < ?2");
                let mut statement = file.prepare_cached(&sql)?;
                let mut rows = statement.query([start as i64, end as i64])?;
                while let Some(row) = rows.next()? {
                    self.add_row(row)?;
                }
                Ok(())
            }
        }
    }

    fn add_row(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let number = |at| row.get::<_, u32>(at);
        let bucket: i64 = row.get(0)?;
        match self.place(bucket as u64, number(1)?, number(2)?) {
            Some(place) => place.add_row(row, 3),
            None => Ok(()),
        }
    }

    /// The answer; `client_name` says what a client is called.
    ///
    /// # Errors
    /// Where there are more than [`POINTS_MAX`] points.
    pub(super) fn answer(
        self,
        client_name: impl Fn(u32) -> Option<Arc<str>>,
    ) -> Result<Answer, HistoryError> {
        if self.is_too_much {
            let points = POINTS_MAX + 1;
            return Err(HistoryError::TooManyPoints { points });
        }
        let mut groups: BTreeMap<Vec<Arc<str>>, BTreeMap<u64, Usage>> = BTreeMap::new();
        for ((group, client, point), usage) in self.found {
            let mut names = self.group_names[group as usize].clone();
            if let Some(at) = self
                .query
                .group_by
                .iter()
                .position(|d| *d == Dimension::Client)
            {
                // Each id of a row was given with a name.
                names.insert(at, client_name(client).unwrap_or_else(|| "unknown".into()));
            }
            groups.entry(names).or_default().insert(point, usage);
        }
        let groups = groups.into_iter().map(|(names, points)| Group {
            names,
            points: points.into_iter().collect(),
        });
        Ok(Answer {
            window: self.window,
            groups: groups.collect(),
        })
    }
}

/// Failures of a window that a view of the file does not have.
pub(super) fn waiting_errors(waiting: &Waiting, meta: &Meta, window: Window, found: &mut Errors) {
    for (_, bucket) in waiting.within(window.start_s, window.end_s, meta.writes) {
        for ((provider, error), n) in &bucket.errors {
            let key = (Arc::clone(provider), Arc::from(*error));
            *found.entry(key).or_default() += n;
        }
    }
}

/// The clients of the pieces of a window.
pub(super) fn clients(
    file: &Connection,
    meta: &Meta,
    window: Window,
    found: &mut ClientSet,
) -> rusqlite::Result<()> {
    for Piece { level, start, end } in cover(meta.kept, window.start_s, window.end_s, None) {
        // Hours have sets up to where they were rolled, and all days that are asked.
        let has_sets = matches!(level, Level::Hour | Level::Day);
        let sets_end = if has_sets {
            meta.kept.rolled_to.clamp(start, end)
        } else {
            start
        };
        for bucket in (start..sets_end).step_by(level.width() as usize) {
            roll::add_set(file, level, bucket, found)?;
        }
        roll::add_active(file, level, sets_end, end, found)?;
    }
    Ok(())
}

/// Failures in the pieces of a window.
pub(super) fn errors(
    file: &Connection,
    meta: &Meta,
    window: Window,
    found: &mut Errors,
) -> rusqlite::Result<()> {
    for Piece { level, start, end } in cover(meta.kept, window.start_s, window.end_s, None) {
        let sql = format!(
            "SELECT provider, type, sum(requests) FROM errors_{} \
             WHERE bucket >= ?1 AND bucket < ?2 GROUP BY provider, type",
            level.suffix()
        );
        let mut statement = file.prepare_cached(&sql)?;
        let mut rows = statement.query([start as i64, end as i64])?;
        while let Some(row) = rows.next()? {
            let text = |at| row.get::<_, String>(at).map(Arc::from);
            let n: i64 = row.get(2)?;
            *found.entry((text(0)?, text(1)?)).or_default() += n.cast_unsigned();
        }
    }
    Ok(())
}
