//! The history as the source of a repricing: buckets, of which only sums are known.
//!
//! What sums do not tell is not guessed: such requests are counted under the reason, and keep
//! the cost that they have.

use crate::export::rfc3339;
use crate::gateway::now;
use coo_llm_config::DatedPrices;
use coo_llm_core::price::Untold;
use coo_llm_core::{NanoUsd, UnixMillis};
use coo_llm_exporters::decimal::push_usd;
use coo_llm_exporters::history::{Archive, ArchiveRow, HistoryError, Rewrite, Window};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

/// What to do with the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Write the new costs to it.
    pub(crate) write: bool,
    /// Write them too where some requests have none.
    pub(crate) leave_unclear: bool,
    /// Take what the history does not tell as usual: the standard tier, cache writes for five
    /// minutes, and nothing but the price missing where there was none.
    pub(crate) are_standard: bool,
}

/// Why the requests of a bucket keep their cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unclear {
    /// The table has no price of the model then.
    Price,
    /// The price changes inside of the bucket.
    Change,
    /// Some of them had no cost, perhaps because what they used was not known.
    Unpriced,
    /// They had a cost without any tokens: another gateway's own.
    NoUsage,
    /// What they used does not tell.
    Usage(Untold),
}

impl Unclear {
    pub(super) fn name(self) -> String {
        match self {
            Self::Price => "price".to_owned(),
            Self::Change => "change".to_owned(),
            Self::Unpriced => "unpriced".to_owned(),
            Self::NoUsage => "no_usage".to_owned(),
            Self::Usage(why) => why.to_string(),
        }
    }
}

/// Costs of some requests, old and new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Costs {
    pub(super) requests: u64,
    /// Of all of them that had one.
    pub(super) old: u128,
    /// With the old cost where the new one is not clear.
    pub(super) new: u128,
    /// Requests that had no cost and have one now; the difference has it too.
    pub(super) newly_priced: u64,
    pub(super) unclear: BTreeMap<Unclear, u64>,
}

impl Costs {
    fn add(&mut self, row: &ArchiveRow<'_>, new: Result<NanoUsd, Unclear>) {
        let totals = &row.usage.totals;
        self.requests += totals.requests;
        self.old += u128::from(totals.cost.0);
        self.new += u128::from(new.unwrap_or(totals.cost).0);
        match new {
            Ok(_) => self.newly_priced += totals.unpriced,
            Err(why) => *self.unclear.entry(why).or_default() += totals.requests,
        }
    }

    fn unclear(&self) -> u64 {
        self.unclear.values().sum()
    }
}

/// Month, provider, model and client.
type Key = [String; 4];

/// The report.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) groups: BTreeMap<Key, Costs>,
    pub(super) total: Costs,
}

impl Report {
    fn add(&mut self, row: &ArchiveRow<'_>, new: Result<NanoUsd, Unclear>) {
        let month = &rfc3339(row.start_s)[..7];
        let key = [month, row.provider, row.model, row.client_id].map(ToOwned::to_owned);
        self.groups.entry(key).or_default().add(row, new);
        self.total.add(row, new);
    }

    /// As CSV.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "month,provider,model,client_id,requests,old_usd,new_usd,difference_usd,newly_priced,\
             unclear,why_unclear"
        )?;
        for (key, costs) in &self.groups {
            let mut line = Vec::new();
            for name in key {
                crate::export::push_text(&mut line, name);
                line.push(b',');
            }
            let why: Vec<_> = costs
                .unclear
                .iter()
                .map(|(why, n)| format!("{}:{n}", why.name()))
                .collect();
            let [old, new] = [costs.old, costs.new].map(|n| usd(n.cast_signed()));
            let difference = usd(costs.new.cast_signed() - costs.old.cast_signed());
            writeln!(
                line,
                "{},{old},{new},{difference},{},{},{}",
                costs.requests,
                costs.newly_priced,
                costs.unclear(),
                why.join(" ")
            )?;
            out.write_all(&line)?;
        }
        Ok(())
    }

    /// For people.
    pub(super) fn summary(&self) -> String {
        let Costs {
            requests,
            old,
            new,
            newly_priced,
            unclear,
        } = &self.total;
        let [old, new] = [*old, *new].map(u128::cast_signed);
        let mut text = format!(
            "{requests} requests: {} USD were {} USD, difference {} USD",
            usd(new),
            usd(old),
            usd(new - old)
        );
        if *newly_priced > 0 {
            let _infallible = write!(text, ", {newly_priced} of them had no price before");
        }
        for (why, n) in unclear {
            let _infallible = write!(text, "\n  {n} keep their cost: {}", explain(*why));
        }
        text
    }
}

fn explain(why: Unclear) -> &'static str {
    match why {
        Unclear::Price => "the table has no price of their model then",
        Unclear::Change => "the price changes inside of their bucket",
        Unclear::Unpriced => {
            "some of their bucket had no cost, perhaps without known usage (--assume-standard takes it as known)"
        }
        Unclear::NoUsage => "they had a cost without tokens",
        Unclear::Usage(Untold::Length) => "the price depends on the length of each request",
        Unclear::Usage(Untold::Tier) => {
            "the price depends on the service tier (--assume-standard takes the standard one)"
        }
        Unclear::Usage(Untold::CacheWrite) => {
            "the price depends on how long a write is cached (--assume-standard takes the shorter)"
        }
    }
}

/// Why it ended.
#[derive(Debug)]
pub(super) enum Failure {
    History(HistoryError),
    /// Some requests have no new cost, and nothing was written.
    Unclear(u64),
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

/// Prices the history anew; `tell` gets the report before anything is written.
pub(super) fn run(
    path: &Path,
    asked: Window,
    prices: &DatedPrices,
    wish: Wish,
    tell: impl FnOnce(&Report),
) -> Result<(), Failure> {
    let mut report = Report::default();
    let mut price = |row: &ArchiveRow<'_>| {
        let new = cost(row, prices, wish.are_standard);
        report.add(row, new);
        new.ok()
    };
    if !wish.write {
        let archive = Archive::open(path)?;
        archive.read(archive.window(asked), |row| {
            price(row);
            Ok::<_, HistoryError>(())
        })?;
        tell(&report);
        return Ok(());
    }
    let mut rewrite = Rewrite::begin(path)?;
    let window = rewrite.archive().window(asked);
    rewrite.rewrite(window, price)?;
    tell(&report);
    let unclear = report.total.unclear();
    if unclear > 0 && !wish.leave_unclear {
        return Err(Failure::Unclear(unclear));
    }
    rewrite.commit(window, now())?;
    Ok(())
}

/// The new cost of a bucket's requests.
pub(super) fn cost(
    row: &ArchiveRow<'_>,
    prices: &DatedPrices,
    are_standard: bool,
) -> Result<NanoUsd, Unclear> {
    let totals = &row.usage.totals;
    if totals.tokens.total() == 0 && totals.unpriced == 0 {
        // Nothing used costs nothing, whatever the price.
        return if totals.cost == NanoUsd::ZERO {
            Ok(NanoUsd::ZERO)
        } else {
            Err(Unclear::NoUsage)
        };
    }
    let millis = |second: u64| UnixMillis(second * 1000);
    let (start, end) = (millis(row.start_s), millis(row.start_s + row.width_s));
    let list = prices
        .find_during(start, end, row.provider, row.model)
        .ok_or(Unclear::Change)?
        .ok_or(Unclear::Price)?;
    if totals.unpriced > 0 && !are_standard {
        return Err(Unclear::Unpriced);
    }
    list.cost_of_sum(totals.requests, &totals.tokens, are_standard)
        .map_err(Unclear::Usage)
}

/// Nano-USD as USD, exact.
fn usd(nano: i128) -> String {
    let mut text = Vec::new();
    if nano < 0 {
        text.push(b'-');
    }
    let nano = u64::try_from(nano.unsigned_abs()).unwrap_or(u64::MAX);
    push_usd(&mut text, NanoUsd(nano));
    String::from_utf8_lossy(&text).into_owned()
}
