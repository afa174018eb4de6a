//! Numbers as answers show them: money as exact decimals, times in milliseconds, and `null`
//! for what is not known.

use coo_llm_core::NanoUsd;
use coo_llm_core::snapshot::Totals;
use coo_llm_exporters::decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// USD, every nano of it. Readers that take JSON numbers for `f64` are exact up to 9 million
/// USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = f64, example = 0.000000001)]
pub(super) struct Usd(pub(super) NanoUsd);

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Vec::new();
        decimal::push_usd(&mut text, self.0);
        let text = String::from_utf8(text).expect("a decimal is ASCII");
        let number = RawValue::from_string(text).expect("a decimal is a JSON number");
        number.serialize(serializer)
    }
}

/// What requests cost: not known where none of them has a price.
pub(super) fn cost(known: NanoUsd, requests: u64, unpriced: u64) -> Option<Usd> {
    let is_unknown = requests > 0 && unpriced >= requests;
    (!is_unknown).then_some(Usd(known))
}

/// The fraction of requests that did not fail.
pub(super) fn success_rate(requests: u64, errors: u64) -> Option<f64> {
    (requests > 0).then(|| requests.saturating_sub(errors) as f64 / requests as f64)
}

/// Microseconds as milliseconds.
pub(super) fn millis(us: Option<f64>) -> Option<f64> {
    us.map(|us| us / 1e3)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_a_json_number_with_every_nano() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (25_500_000_000, "25.5"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            let json = serde_json::to_string(&Usd(NanoUsd(nano))).expect("a number");
            assert_eq!(json, text);
        }
    }

    #[test]
    fn what_is_not_known_is_none() {
        let cost = |requests, unpriced| cost(NanoUsd(5), requests, unpriced);
        assert_eq!((cost(2, 2), cost(0, 0)), (None, Some(Usd(NanoUsd(5)))));
        assert_eq!(cost(2, 1), Some(Usd(NanoUsd(5))));
        assert_eq!(success_rate(0, 0), None);
        assert_eq!(success_rate(4, 1), Some(0.75));
    }
}
