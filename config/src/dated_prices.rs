//! Tables of prices by the day from which each holds, for `coo-llm reprice`.
//!
//! ```yaml
//! providers: { eu: openai }      # what the tables call the providers of the records
//! tables:
//!   - from: 2026-01-01           # in UTC; it holds until the next one begins
//!     file: january.json         # LiteLLM's format, from this file's folder
//!   - from: 2026-06-01T12:00:00Z
//!     file: june.json
//!     pricing:                   # goes before the file
//!       openai:
//!         gpt-4o: { input_per_million: 2.50, output_per_million: 10.00 }
//! ```

use crate::price_table::{Found, PriceTable};
use crate::problem::{Problem, Problems};
use crate::provider::read_pricing;
use crate::reader::{Field, Reader, Section};
use crate::scalar::non_empty;
use crate::{moment, read_file, yaml};
use coo_llm_core::UnixMillis;
use coo_llm_core::dated::{Dated, SameMoment};
use coo_llm_core::price::PriceList;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Prices of providers' models, by the time of a request.
#[derive(Debug)]
pub struct DatedPrices {
    /// What the tables call a provider, where that is not its own name.
    providers: HashMap<String, String>,
    tables: Dated<Prices>,
}

/// The prices of one period.
#[derive(Debug, Default)]
struct Prices {
    pricing: HashMap<(String, String), Arc<PriceList>>,
    file: Option<Arc<PriceTable>>,
}

impl DatedPrices {
    /// One table, whenever a request was.
    #[must_use]
    pub fn always(table: PriceTable) -> Self {
        Self {
            providers: HashMap::new(),
            tables: Dated::always(Prices {
                pricing: HashMap::new(),
                file: Some(Arc::new(table)),
            }),
        }
    }

    /// Reads the YAML file of the module's example; `read_table` reads the files that it names.
    ///
    /// # Errors
    /// Every problem of the file, and of those that it names.
    pub fn load(
        path: &Path,
        read_table: &dyn Fn(&Path) -> Result<PriceTable, String>,
    ) -> Result<Self, Problems> {
        let file = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new(""));
        let text = read_file(path).map_err(|message| {
            let problem = Problem {
                path: String::new(),
                place: None,
                message,
            };
            Problems {
                file: file.clone(),
                list: vec![problem],
            }
        })?;
        let read = |name: &Path| read_table(&folder.join(name));
        Self::read(&text, &read).map_err(|list| Problems { file, list })
    }

    fn read(
        text: &str,
        read_table: &dyn Fn(&Path) -> Result<PriceTable, String>,
    ) -> Result<Self, Vec<Problem>> {
        let root = yaml::read(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        let no_variables = |_: &str| None;
        let reader = Reader::new(&root, &no_variables);
        // A file that is named twice is read once.
        let known = RefCell::new(HashMap::<PathBuf, Arc<PriceTable>>::new());
        let read_table = |name: &Path| {
            if let Some(table) = known.borrow().get(name) {
                return Ok(Arc::clone(table));
            }
            let table = Arc::new(read_table(name)?);
            known
                .borrow_mut()
                .insert(name.to_owned(), Arc::clone(&table));
            Ok(table)
        };
        let (providers, periods) = Field::root(&reader, &root).section(|s| {
            let providers = s.field("providers").map(|field| field.entries());
            let providers: HashMap<String, String> = providers
                .unwrap_or_default()
                .iter()
                .filter_map(|(name, field)| Some(((*name).to_owned(), field.parse(non_empty)?)))
                .collect();
            let items = s.items("tables");
            if items.is_empty() {
                s.missing("tables", "write at least one, with `from` and `file`");
            }
            let periods: Vec<_> = items
                .iter()
                .map(|field| field.section(|s| period(s, &read_table)))
                .collect();
            (providers, periods)
        });
        let periods = periods.into_iter().flatten();
        let tables = match Dated::new(periods) {
            Ok(tables) => tables,
            Err(SameMoment(_)) => {
                reader.complain("tables", "two tables hold from the same moment; remove one");
                Dated::always(Prices::default())
            }
        };
        let problems = reader.into_problems();
        if problems.is_empty() {
            Ok(Self { providers, tables })
        } else {
            Err(problems)
        }
    }

    /// The price of a model from `start` until `end`, if it is the same all the time: `None`
    /// where it changes. An inner `None` is a price that is not known.
    #[must_use]
    pub fn find_during(
        &self,
        start: UnixMillis,
        end: UnixMillis,
        provider: &str,
        model: &str,
    ) -> Option<Option<Arc<PriceList>>> {
        let first = self.find(start, provider, model);
        let mut changes = self.tables.changes(start, end);
        let is_same = changes.all(|from| self.find(from, provider, model) == first);
        is_same.then_some(first)
    }

    /// The price of a model for a request that ended at `time`; `None` where it is not known.
    #[must_use]
    pub fn find(&self, time: UnixMillis, provider: &str, model: &str) -> Option<Arc<PriceList>> {
        let prices = self.tables.at(time)?;
        let provider = self
            .providers
            .get(provider)
            .map_or(provider, String::as_str);
        let key = (provider.to_owned(), model.to_owned());
        if let Some(list) = prices.pricing.get(&key) {
            return Some(Arc::clone(list));
        }
        match prices.file.as_ref()?.find(provider, model) {
            Found::Priced(list) => Some(list),
            Found::Unpriced(_) | Found::Unknown => None,
        }
    }
}

/// One of `tables`.
fn period(
    s: &Section<'_>,
    read_table: &dyn Fn(&Path) -> Result<Arc<PriceTable>, String>,
) -> Option<(UnixMillis, Prices)> {
    let from = s.required(
        "from",
        "write a day in UTC, such as 2026-01-31",
        moment::scalar,
    );
    let has_file = s.field("file").is_some();
    let file = s.optional("file", |text| read_table(Path::new(text)));
    let mut pricing = HashMap::new();
    let providers = s.field("pricing").map(|field| field.entries());
    for (provider, models) in providers.iter().flatten() {
        for (model, field) in models.entries() {
            if let Some(prices) = field.section(read_pricing) {
                let key = ((*provider).to_owned(), model.to_owned());
                pricing.insert(key, Arc::new(prices));
            }
        }
    }
    if !has_file && providers.is_none() {
        s.missing("file", "write `file`, `pricing` or both");
    }
    Some((from?, Prices { pricing, file }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::price::Bill;
    use coo_llm_core::record::Tokens;

    #[test]
    fn a_price_that_changes_inside_of_some_time_is_none_of_it() {
        let text = "tables:\n  - { from: 2026-01-01, file: old.json }\n\
                    \x20 - { from: 2026-02-01, file: old.json }\n\
                    \x20 - { from: 2026-03-01, file: new.json }\n";
        let prices = read(text).expect("three tables");
        let day = |text: &str| moment(text).expect("a day");
        let during = |start, end| prices.find_during(day(start), day(end), "openai", "gpt");
        assert!(during("2026-01-15", "2026-03-01").is_some_and(|list| list.is_some()));
        assert!(during("2026-01-15", "2026-03-02").is_none());
        assert!(during("2025-01-01", "2026-01-01").is_some_and(|list| list.is_none()));
        assert!(during("2025-12-31", "2026-01-02").is_none());
    }

    fn read(text: &str) -> Result<DatedPrices, Vec<Problem>> {
        DatedPrices::read(text, &|name| {
            let price = match name.to_str() {
                Some("old.json") => "1e-9",
                Some("new.json") => "2e-9",
                _ => return Err("is not there".into()),
            };
            let table = format!(
                r#"{{"gpt": {{"litellm_provider": "openai", "input_cost_per_token": {price}, "output_cost_per_token": 0}}}}"#
            );
            PriceTable::parse(table.as_bytes()).map_err(|error| error.to_string())
        })
    }

    #[test]
    fn a_table_holds_from_its_moment_to_the_next() {
        let prices = read(
            "
providers: { eu: openai }
tables:
  - { from: 2026-06-01T12:00:00Z, file: new.json, pricing: { openai: { mini: { input_per_million: 0.007, output_per_million: 0 } } } }
  - { from: 2026-01-01, file: old.json }
",
        )
        .expect("a table");
        let price = |time: &str, provider: &str, model: &str| {
            let time = moment(time).expect("a moment");
            let tokens = Tokens {
                input: 1,
                ..Tokens::default()
            };
            let list = prices.find(time, provider, model)?;
            list.cost(&Bill::from(tokens)).map(|cost| cost.0)
        };
        for (time, want) in [
            ("2025-12-31T23:59:59Z", None),
            ("2026-01-01", Some(1)),
            ("2026-06-01T11:59:59Z", Some(1)),
            ("2026-06-01T12:00:00Z", Some(2)),
            ("2099-01-01", Some(2)),
        ] {
            assert_eq!(price(time, "openai", "gpt"), want, "{time}");
            assert_eq!(price(time, "eu", "gpt"), want, "{time}");
            assert_eq!(price(time, "azure", "gpt"), None, "{time}");
        }
        assert_eq!(price("2026-06-01", "openai", "mini"), None);
        assert_eq!(price("2026-06-02", "openai", "mini"), Some(7));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let told = |text: &str| match read(text) {
            Ok(_) => unreachable!("{text} is taken"),
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        };
        assert_eq!(
            told("a: 1\n")[0],
            "1:1: tables: is missing; write at least one, with `from` and `file`"
        );
        assert_eq!(
            told("tables:\n  - { from: 1.1.2026, file: x.json }\n"),
            [
                "2:13: tables[0].from: `1.1.2026` is not a moment in UTC, such as 2026-01-31 or 2026-01-31T12:00:00Z",
                "2:29: tables[0].file: `x.json` is not there",
            ]
        );
        assert_eq!(
            told("tables: [{ from: 2026-01-01 }]\n"),
            ["1:10: tables[0].file: is missing; write `file`, `pricing` or both"]
        );
        let twice = "{ from: 2026-01-01, file: old.json }";
        assert_eq!(
            told(&format!("tables: [{twice}, {twice}]\n")),
            ["1:9: tables: two tables hold from the same moment; remove one"]
        );
    }
}
