//! Labels that own their text, for the families that are keyed by them.

use crate::set::RouteNames;
use fastmetrics::derive::LabelSet;
use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet, LabelSet)]
pub(super) struct RouteLabels {
    provider: String,
    model: String,
    key: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet, LabelSet)]
pub(super) struct ModelLabels {
    provider: String,
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet, LabelSet)]
pub(super) struct ClientLabels {
    client: String,
}

impl RouteLabels {
    pub(super) fn of(names: &RouteNames) -> Self {
        Self {
            provider: names.provider.clone(),
            model: names.model.clone(),
            key: names.key.clone(),
        }
    }
}

impl ModelLabels {
    pub(super) fn of(names: &RouteNames) -> Self {
        Self {
            provider: names.provider.clone(),
            model: names.model.clone(),
        }
    }
}

impl ClientLabels {
    pub(super) fn of(client: &str) -> Self {
        Self {
            client: client.to_owned(),
        }
    }
}
