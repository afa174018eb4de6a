//! `GET /admin/v1/stats?group_by=a,b`: what was used, broken down.

use super::answer::ErrorAnswer;
use super::figures::{Usd, cost};
use super::parameters::{BadParameter, Filters, Parameters, Scope, Times, names, quoted};
use super::questions::now;
use super::span::Span;
use super::{Shared, answer};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use coo_llm_core::snapshot::Totals;
use coo_llm_exporters::history::{self, Dimension, Filter, Query};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

pub(super) const PATH: &str = "/admin/v1/stats";

/// What is shown where `start` is left out: a day.
pub(super) const DEFAULT_S: u64 = 24 * 3600;

/// What it can be broken down by, under each of its names.
const DIMENSIONS: [(&str, Dimension); 6] = [
    ("provider", Dimension::Provider),
    ("model", Dimension::Model),
    ("key", Dimension::Key),
    ("client", Dimension::Client),
    ("client_key", Dimension::Client),
    ("id", Dimension::Client),
];

/// By what.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "for the document and for the names; values are read by hand"
)]
struct GroupBy {
    /// One or more of `provider`, `model`, `key`, `client`, from the outermost, with commas
    /// between them; `client_key` and `id` mean `client`. Without it `client,provider`.
    #[param(example = "provider,model")]
    group_by: Option<String>,
}

/// Requests, tokens and cost of one group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Used {
    /// Finished requests.
    queries: u64,
    tokens: u64,
    /// USD; null where no request has a price.
    cost: Option<Usd>,
}

impl From<&Totals> for Used {
    fn from(totals: &Totals) -> Self {
        Self {
            queries: totals.requests,
            tokens: totals.tokens.total(),
            cost: cost(totals.cost, totals.requests, totals.unpriced),
        }
    }
}

/// Groups within groups, as many as `group_by` names; the innermost are numbers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Grouped {
    /// The next groups, by name.
    #[schema(no_recursion)]
    Groups(BTreeMap<String, Grouped>),
    /// The innermost group.
    Used(Used),
}

/// Only these; those that were not given are null.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FiltersGiven {
    provider: Option<String>,
    model: Option<String>,
    client: Option<String>,
    key: Option<String>,
}

impl From<Filter> for FiltersGiven {
    fn from(filter: Filter) -> Self {
        Self {
            provider: filter.provider,
            model: filter.model,
            client: filter.client,
            key: filter.key,
        }
    }
}

/// What was used, broken down.
#[derive(Debug, Serialize, ToSchema)]
struct Stats {
    #[serde(flatten)]
    span: Span,
    /// The names of the groups, from the outermost.
    group_by: Vec<&'static str>,
    filters: FiltersGiven,
    /// Groups in which something happened, by name.
    stats: BTreeMap<String, Grouped>,
}

fn group_by(parameters: &Parameters) -> Result<Vec<(&'static str, Dimension)>, BadParameter> {
    let mut found: Vec<(&'static str, Dimension)> = Vec::new();
    let text = parameters.text("group_by")?.unwrap_or("client,provider");
    for name in text.split(',') {
        let known = DIMENSIONS.into_iter().find(|(known, _)| *known == name);
        let is_new = |dimension| !found.iter().any(|(_, have)| *have == dimension);
        match known {
            Some(known) if is_new(known.1) => found.push(known),
            Some(_) => return Err(BadParameter::Twice(format!("{name} in group_by"))),
            None => {
                return Err(BadParameter::NotOneOf {
                    name: "group_by",
                    value: quoted(name),
                    known: "provider, model, key, client, with commas between them",
                });
            }
        }
    }
    Ok(found)
}

/// Puts a group where its names lead.
fn insert(groups: &mut BTreeMap<String, Grouped>, names: &[Arc<str>], used: Used) {
    let Some((first, rest)) = names.split_first() else {
        return;
    };
    if rest.is_empty() {
        groups.insert(first.to_string(), Grouped::Used(used));
        return;
    }
    let inner = groups.entry(first.to_string());
    let inner = inner.or_insert_with(|| Grouped::Groups(BTreeMap::new()));
    if let Grouped::Groups(inner) = inner {
        insert(inner, rest, used);
    }
}

/// Requests, tokens and cost, broken down by any of provider, model, key and client; the last
/// 24 hours without `start`.
#[utoipa::path(
    get, path = PATH, tag = "metrics",
    params(Times, GroupBy, Filters, Scope),
    responses(
        (status = 200, description = "The groups.", body = Stats),
        (status = 400, description = "A parameter is wrong.", body = ErrorAnswer),
    )
)]
pub(super) async fn stats(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let known = [
        names::<Times>(),
        names::<GroupBy>(),
        names::<Filters>(),
        names::<Scope>(),
    ];
    let read = || {
        let parameters = Parameters::read(query.as_deref(), &known.concat())?;
        parameters.scope()?;
        let asked = parameters.times()?;
        let wanted = asked.window(DEFAULT_S, now().0 / 1000)?;
        Ok::<_, BadParameter>((asked, wanted, group_by(&parameters)?, parameters.filter()?))
    };
    let (asked, wanted, group_by, filter) = match read() {
        Ok(read) => read,
        Err(error) => return answer::bad_request(&error.to_string()),
    };
    let query = Query {
        window: wanted,
        step_s: None,
        filter: filter.clone(),
        group_by: group_by.iter().map(|(_, dimension)| *dimension).collect(),
    };
    let found = shared
        .questions
        .ask(move |history, now| history.query(&query, now))
        .await;
    match found {
        Ok(found) => {
            let mut stats = BTreeMap::new();
            for history::Group { names, points } in &found.groups {
                let all = points.iter().map(|(_, usage)| &usage.totals);
                let total = all.fold(Totals::default(), Totals::plus);
                insert(&mut stats, names, Used::from(&total));
            }
            answer::value(&Stats {
                span: Span::new(asked, wanted, found.window),
                group_by: group_by.iter().map(|(name, _)| *name).collect(),
                filters: filter.into(),
                stats,
            })
        }
        Err(error) => error.response(),
    }
}
