//! Reads an object where one is expected, and survives where there is none.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// An object of type `T`; anything else gives `T::default()`, so that one odd
/// member of a provider does not hide the members beside it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lenient<T> {
    pub(super) value: T,
    /// Whether something else than an object or `null` stood there.
    pub(super) is_wrong_type: bool,
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<T: Default> LenientVisitor<T> {
    fn wrong<E>() -> Result<Lenient<T>, E> {
        Ok(Lenient {
            value: T::default(),
            is_wrong_type: true,
        })
    }
}

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for LenientVisitor<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let value = T::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Lenient {
            value,
            is_wrong_type: false,
        })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Lenient::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Self::wrong()
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Self::wrong()
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Self::wrong()
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Self::wrong()
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Self::wrong()
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Self::wrong()
    }
}
