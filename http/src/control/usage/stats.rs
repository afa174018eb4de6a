//! `GET /admin/v1/stats?group_by=a,b`: what was used, broken down.

use super::span::Span;
use super::{DAY_S, Failure, Question};
use crate::control::Shared;
use crate::control::answer::{self, ErrorAnswer};
use crate::control::figures::Used;
use crate::control::parameters::{BadParameter, Filters, Parameters, Scope, Times, names, quoted};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use coo_llm_core::snapshot::Totals;
use coo_llm_exporters::history::{self, Dimension, Filter, Query};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

pub(in crate::control) const PATH: &str = "/admin/v1/stats";

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
pub(super) struct Stats {
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
pub(in crate::control) async fn stats(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let known = [
        names::<Times>(),
        names::<GroupBy>(),
        names::<Filters>(),
        names::<Scope>(),
    ];
    let parameters = Parameters::read(query.as_deref(), &known.concat())?;
    let group_by = group_by(&parameters)?;
    let Question {
        asked,
        window,
        filter,
    } = Question::read(&parameters, DAY_S)?;
    let query = Query {
        window,
        step_s: None,
        filter: filter.clone(),
        group_by: group_by.iter().map(|(_, dimension)| *dimension).collect(),
    };
    // Made into JSON over there too: it may be of a hundred thousand clients.
    let ask = shared.questions.ask(move |history, now| {
        let found = history.query(&query, now)?;
        let mut stats = BTreeMap::new();
        for history::Group { names, points } in &found.groups {
            let all = points.iter().map(|(_, usage)| &usage.totals);
            let total = all.fold(Totals::default(), Totals::plus);
            insert(&mut stats, names, Used::from(&total));
        }
        Ok(answer::value(&Stats {
            span: Span::new(asked, window, found.window),
            group_by: group_by.iter().map(|(name, _)| *name).collect(),
            filters: filter.into(),
            stats,
        }))
    });
    Ok(ask.await?)
}
