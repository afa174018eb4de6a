//! What keys are called.

use crate::health::utc::Utc;
use std::fmt::Write as _;

/// The names of one instance's keys.
#[derive(Debug)]
pub(super) struct Keys {
    instance: String,
    /// `{prefix:instance}:`; what is in the braces decides about the slot.
    tag: String,
}

/// The width of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Minute,
    Hour,
    Day,
}

impl Width {
    /// From the finest.
    pub(super) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub(super) const fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }
}

impl Keys {
    pub(super) fn new(prefix: &str, instance: u64) -> Self {
        let instance = format!("{instance:016x}");
        Self {
            tag: format!("{{{prefix}:{instance}}}:"),
            instance,
        }
    }

    /// The hash of all instances.
    pub(super) fn instances(prefix: &str) -> String {
        format!("{prefix}:instances")
    }

    /// Its sixteen hex digits.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// A key of this instance.
    pub(super) fn of(&self, rest: &str) -> String {
        format!("{}{rest}", self.tag)
    }

    pub(super) fn fence(&self) -> String {
        self.of("fence")
    }

    pub(super) fn total(&self) -> String {
        self.of("total")
    }

    pub(super) fn clients(&self) -> String {
        self.of("clients")
    }

    pub(super) fn routes(&self) -> String {
        self.of("routes")
    }

    /// What the keys of a bucket begin with: `day:2026-11-24:`, `hour:2026-11-24T13:` or
    /// `minute:2026-11-24T13:05:`.
    pub(super) fn bucket(width: Width, second: u64) -> String {
        // `2026-11-24 13:05 UTC`
        let utc = Utc(second).to_string();
        let (day, hour, minute) = (&utc[..10], &utc[11..13], &utc[14..16]);
        match width {
            Width::Day => format!("day:{day}:"),
            Width::Hour => format!("hour:{day}T{hour}:"),
            Width::Minute => format!("minute:{day}T{hour}:{minute}:"),
        }
    }
}

/// `provider:model:key`: the model is between the first colon and the last one.
pub(super) fn route(provider: &str, model: &str, key: &str) -> String {
    format!(
        "{}:{model}:{}",
        without_colons(provider),
        without_colons(key)
    )
}

/// The three parts of a route's name.
pub(super) fn parts(route: &str) -> Option<[String; 3]> {
    let (provider, rest) = route.split_once(':')?;
    let (model, key) = rest.rsplit_once(':')?;
    Some([with_colons(provider), model.to_owned(), with_colons(key)])
}

/// A provider's name with `%3A` for a colon: ids of the configuration have none, those that
/// ingest brings may.
pub(super) fn without_colons(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '%' | ':' => {
                let _infallible = write!(out, "%{:02X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

pub(super) fn with_colons(name: &str) -> String {
    name.replace("%3A", ":").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_those_of_the_documentation() {
        let keys = Keys::new("coo", 0x5f0c);
        assert_eq!(keys.fence(), "{coo:0000000000005f0c}:fence");
        assert_eq!(Keys::instances("coo"), "coo:instances");
        let s = 1_795_525_559;
        assert_eq!(Keys::bucket(Width::Day, s), "day:2026-11-24:");
        assert_eq!(Keys::bucket(Width::Hour, s), "hour:2026-11-24T13:");
        assert_eq!(Keys::bucket(Width::Minute, s), "minute:2026-11-24T13:05:");
        assert_eq!(
            route("openai", "llama3:8b", "openai-1"),
            "openai:llama3:8b:openai-1"
        );
    }

    proptest! {
        #[test]
        fn a_route_comes_back_from_its_name(
            provider in "[a%:3A25]{0,8}", model in "[a%:]{0,8}", key in "[a%:3A25]{0,8}",
        ) {
            let name = route(&provider, &model, &key);
            prop_assert_eq!(parts(&name), Some([provider, model, key]));
        }
    }
}
