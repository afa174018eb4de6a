//! A count of tokens as a provider wrote it, whatever it wrote.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::usage::{UsageFault, UsageOutcome};
use coo_llm_core::record::Tokens;

/// A count as it was written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Count {
    #[default]
    Missing,
    Known(u64),
    Bad(UsageFault),
}

impl Count {
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::Missing => other,
            known_or_bad => known_or_bad,
        }
    }

    /// The number; 0 where there is none, and the fault noted.
    pub(super) fn take(self, faults: &mut Faults) -> u64 {
        match self {
            Self::Missing => 0,
            Self::Known(count) => count,
            Self::Bad(fault) => {
                faults.note(fault);
                0
            }
        }
    }
}

/// The first fault that was met.
#[derive(Default)]
pub(super) struct Faults(pub(super) Option<UsageFault>);

impl Faults {
    pub(super) fn note(&mut self, fault: UsageFault) {
        self.0.get_or_insert(fault);
    }

    /// What a usage says, when all of it was read: `tokens`, and which sums in it are the
    /// upstream's own.
    pub(super) fn outcome(
        self,
        tokens: Tokens,
        is_input_known: bool,
        is_output_known: bool,
    ) -> UsageOutcome {
        match self.0 {
            None => UsageOutcome::Reported(tokens),
            Some(fault) => UsageOutcome::Malformed {
                sure: tokens,
                is_input_known,
                is_output_known,
                fault,
            },
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

/// Above this a float skips integers, so its count is not sure (2^53).
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count::Known(count))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
        Ok(u64::try_from(count).map_or(Count::Bad(UsageFault::Negative), Count::Known))
    }

    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        Ok(if count < 0.0 {
            Count::Bad(UsageFault::Negative)
        } else if count > EXACT_FLOAT_MAX {
            Count::Bad(UsageFault::TooLarge)
        } else if count.fract() != 0.0 {
            Count::Bad(UsageFault::Fractional)
        } else {
            Count::Known(count as u64)
        })
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count::Missing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count::Bad(UsageFault::NotANumber))
    }

    fn visit_str<E>(self, _: &str) -> Result<Count, E> {
        Ok(Count::Bad(UsageFault::NotANumber))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count::Bad(UsageFault::NotANumber))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count::Bad(UsageFault::NotANumber))
    }
}
