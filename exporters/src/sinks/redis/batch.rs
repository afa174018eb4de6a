//! What one call adds, to which keys.

use super::RedisRetention;
use super::keys::{Keys, Width, route, without_colons};
use super::link::Program;
use crate::history::{NUMBERS, Position, Sealed, Usage};
use redis::Cmd;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// When the last request ended: the later one stays.
pub(super) const LAST: &str = "last_request_ms";

/// The same increments for some keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The set that lists it: 0 for none, or which of the script's keys.
    index: u8,
    name: String,
    last_ms: u64,
    /// Each with the second in which it expires; 0 for never.
    keys: Vec<(String, u64)>,
    fields: Vec<(Cow<'static, str>, u64)>,
}

const NOT_LISTED: u8 = 0;
const CLIENT: u8 = 2;
const ROUTE: u8 = 3;

#[derive(Debug)]
pub(super) struct Batch {
    /// The fence and the two sets.
    first: [String; 3],
    pub(super) groups: Vec<Group>,
}

/// What is added up of rows: requests and more, and when the last one ended.
#[derive(Default)]
struct Sums([u64; NUMBERS.len()], u64);

impl Sums {
    fn add(&mut self, usage: &Usage) {
        for (sum, more) in self.0.iter_mut().zip(usage.numbers()) {
            *sum = sum.saturating_add(more);
        }
        self.1 = self
            .1
            .max(usage.totals.last_request.map_or(0, |last| last.0));
    }

    /// Requests always, so that the key is there; others where they are not 0.
    fn fields(&self) -> Vec<(Cow<'static, str>, u64)> {
        let all = NUMBERS.into_iter().zip(self.0).enumerate();
        all.filter(|(at, (_, n))| *at == 0 || *n > 0)
            // Redis counts to 2^63 - 1, as SQLite does.
            .map(|(_, (name, n))| (Cow::Borrowed(name), n.min(i64::MAX as u64)))
            .collect()
    }
}

/// A bucket that rows go to.
struct Bucket {
    width: Width,
    key: String,
    expires_s: u64,
}

/// The buckets that rows fall into and that have not expired.
fn buckets(rows: &Sealed, retention: &RedisRetention, now_s: u64) -> Vec<Bucket> {
    let kept = |width| -> Duration {
        match width {
            Width::Minute => retention.minute,
            Width::Hour => retention.hour,
            Width::Day => retention.day,
        }
    };
    let widths = Width::ALL.into_iter();
    let finer = widths.filter(|width| rows.width_s <= width.seconds());
    let all = finer.map(|width| {
        let start_s = rows.start_s - rows.start_s % width.seconds();
        Bucket {
            width,
            key: Keys::bucket(width, start_s),
            expires_s: start_s + width.seconds() + kept(width).as_secs(),
        }
    });
    all.filter(|bucket| bucket.expires_s > now_s).collect()
}

impl Batch {
    pub(super) fn new(keys: &Keys, rows: &Sealed, retention: &RedisRetention, now_s: u64) -> Self {
        let mut all = Sums::default();
        let mut routes: BTreeMap<[&str; 3], Sums> = BTreeMap::new();
        let mut clients: BTreeMap<&str, Sums> = BTreeMap::new();
        for row in &rows.rows {
            let of = [&*row.provider, &*row.model, &*row.key];
            all.add(&row.usage);
            routes.entry(of).or_default().add(&row.usage);
            clients.entry(&row.client).or_default().add(&row.usage);
        }
        let buckets = buckets(rows, retention, now_s);
        let group = |index, kind: &str, name: String, sums: &Sums| Group {
            index,
            last_ms: sums.1,
            keys: names(keys, &buckets, index != CLIENT, &format!("{kind}{name}")),
            fields: sums.fields(),
            name,
        };
        let mut groups = vec![group(NOT_LISTED, "total", String::new(), &all)];
        let routes = routes.iter().map(|([provider, model, key], sums)| {
            group(ROUTE, "route:", route(provider, model, key), sums)
        });
        groups.extend(routes);
        let clients = clients.iter();
        groups.extend(clients.map(|(name, sums)| group(CLIENT, "client:", name.to_string(), sums)));
        if !rows.errors.is_empty() {
            let fields = rows.errors.iter().map(|(provider, kind, n)| {
                let name = format!("{}:{kind}", without_colons(provider));
                (Cow::Owned(name), (*n).min(i64::MAX as u64))
            });
            groups.push(Group {
                index: NOT_LISTED,
                name: String::new(),
                last_ms: 0,
                keys: names(keys, &buckets, true, "errors"),
                fields: fields.collect(),
            });
        }
        Self {
            first: [keys.fence(), keys.clients(), keys.routes()],
            groups,
        }
    }

    /// The call of the script that adds it.
    pub(super) fn call(&self, apply: &Program, at: Option<Position>, to: Position) -> Cmd {
        let keys = self.groups.iter().flat_map(|group| &group.keys);
        let mut call = apply.call(self.first.len() + keys.clone().count());
        for key in self.first.iter().chain(keys.map(|(key, _)| key)) {
            call.arg(key);
        }
        match at {
            Some(at) => call.arg(at.second).arg(at.rows),
            None => call.arg("").arg(""),
        };
        call.arg(to.second).arg(to.rows);
        for group in &self.groups {
            call.arg(group.index)
                .arg(&group.name)
                .arg(group.keys.len())
                .arg(group.fields.len())
                .arg(group.last_ms);
            for (_, expires_s) in &group.keys {
                call.arg(*expires_s);
            }
            for (name, n) in &group.fields {
                call.arg(name.as_ref()).arg(*n);
            }
        }
        call
    }
}

/// The key of a total, and those of the buckets; clients have none by the minute, of which
/// there would be 1,440 a client and day.
fn names(keys: &Keys, buckets: &[Bucket], by_minute: bool, rest: &str) -> Vec<(String, u64)> {
    let total = (keys.of(rest), 0);
    let buckets = buckets
        .iter()
        .filter(|bucket| by_minute || bucket.width != Width::Minute)
        .map(|bucket| (keys.of(&format!("{}{rest}", bucket.key)), bucket.expires_s));
    std::iter::once(total).chain(buckets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::SealedRow;
    use std::sync::Arc;

    const NOON_S: u64 = 1_795_521_600;

    fn sealed(width_s: u64) -> Sealed {
        let row = |model: &str, client: &str, n: u64| {
            let mut usage = Usage::default();
            usage.totals.requests = n;
            usage.totals.cost.0 = 10 * n;
            usage.totals.last_request = Some(coo_llm_core::UnixMillis(n));
            SealedRow {
                provider: "p".into(),
                model: model.into(),
                key: "p-1".into(),
                client: client.into(),
                usage,
            }
        };
        Sealed {
            from: Position::default(),
            to: Position::default(),
            start_s: NOON_S,
            width_s,
            rows: vec![row("a", "web", 1), row("b", "web", 2), row("b", "app", 4)],
            errors: vec![(Arc::from("p"), Arc::from("timeout"), 3)],
        }
    }

    fn batch(width_s: u64, now_s: u64) -> Batch {
        let hours = |n: u64| Duration::from_secs(3600 * n);
        let retention = RedisRetention {
            minute: hours(1),
            hour: hours(2),
            day: hours(24),
        };
        Batch::new(&Keys::new("coo", 1), &sealed(width_s), &retention, now_s)
    }

    #[test]
    fn rows_are_added_up_by_key() {
        let batch = batch(10, NOON_S);
        let sums: Vec<_> = batch
            .groups
            .iter()
            .map(|group| (group.index, &*group.name, group.last_ms, group.fields[0].1))
            .collect();
        assert_eq!(
            sums,
            [
                (NOT_LISTED, "", 4, 7),
                (ROUTE, "p:a:p-1", 1, 1),
                (ROUTE, "p:b:p-1", 4, 6),
                (CLIENT, "app", 4, 4),
                (CLIENT, "web", 2, 3),
                (NOT_LISTED, "", 0, 3),
            ]
        );
        let fields = ["requests", "cost_nano_usd"].map(Cow::Borrowed);
        assert_eq!(
            batch.groups[4].fields,
            fields.into_iter().zip([3, 30]).collect::<Vec<_>>()
        );
        assert_eq!(batch.groups[5].fields, [(Cow::Borrowed("p:timeout"), 3)]);
        let tag = "{coo:0000000000000001}:";
        let keys = |group: &Group| -> Vec<(String, u64)> {
            let keys = group.keys.iter();
            keys.map(|(key, at)| (key.replace(tag, ""), at.saturating_sub(NOON_S)))
                .collect()
        };
        let pair = |key: &str, at| (key.to_owned(), at);
        assert_eq!(
            keys(&batch.groups[0]),
            [
                pair("total", 0),
                pair("minute:2026-11-24T12:00:total", 60 + 3600),
                pair("hour:2026-11-24T12:total", 3600 + 7200),
                pair("day:2026-11-24:total", 43_200 + 86_400),
            ]
        );
        assert_eq!(
            keys(&batch.groups[4]),
            [
                pair("client:web", 0),
                pair("hour:2026-11-24T12:client:web", 3600 + 7200),
                pair("day:2026-11-24:client:web", 43_200 + 86_400),
            ]
        );
    }

    #[test]
    fn buckets_that_are_finer_than_rows_or_expired_are_left_out() {
        let count = |width_s, now_s| batch(width_s, now_s).groups[0].keys.len();
        assert_eq!(count(60, NOON_S), 4);
        assert_eq!(count(3600, NOON_S), 3);
        assert_eq!(count(10, NOON_S + 60 + 3600 - 1), 4);
        assert_eq!(count(10, NOON_S + 60 + 3600), 3);
        assert_eq!(count(10, NOON_S + 86_400 * 3), 1);
    }
}
