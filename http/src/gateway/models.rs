//! `GET /v1/models`: the models and aliases that a client may use.

use super::plan::{ClientPlan, Plan};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;

/// OpenAI's model object. `created` is when it was made, which the gateway does not
/// know: it is 0, and not a date that looks true.
#[derive(Debug, Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

#[derive(Debug, Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

/// The list, sorted by id. A model that two providers list stands there once, and as
/// `provider:model` for each.
pub(crate) fn list(plan: &Plan, client: &ClientPlan) -> Bytes {
    let names = names(plan, client);
    let data = names.iter().map(|(id, owner)| model(id, owner)).collect();
    json(&List {
        object: "list",
        data,
    })
}

/// One model; `None` where the client has none of that name.
pub(crate) fn one(plan: &Plan, client: &ClientPlan, id: &str) -> Option<Bytes> {
    let names = names(plan, client);
    let (id, owner) = names.get_key_value(id)?;
    Some(json(&model(id, owner)))
}

fn model<'a>(id: &'a str, owned_by: &'a str) -> Model<'a> {
    Model {
        id,
        object: "model",
        created: 0,
        owned_by,
    }
}

fn names<'a>(plan: &'a Plan, client: &ClientPlan) -> BTreeMap<String, &'a str> {
    let mine = || {
        plan.providers
            .iter()
            .zip(&client.allowed)
            .filter(|(_, allowed)| **allowed)
    };
    let mut names = BTreeMap::new();
    for (provider, _) in mine() {
        for model in provider.models.keys() {
            names.entry(model.to_string()).or_insert(&*provider.id);
            if mine()
                .filter(|(other, _)| other.models.contains_key(model))
                .count()
                > 1
            {
                names.insert(format!("{}:{model}", provider.id), &*provider.id);
            }
        }
    }
    for (alias, (at, _)) in &plan.aliases {
        if client.allowed[*at] {
            names.insert(alias.to_string(), &*plan.providers[*at].id);
        }
    }
    names
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("strings and numbers are JSON")
        .into()
}
