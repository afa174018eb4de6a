//! The members of an object, each of which must be accounted for.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Untranslatable;

/// The members of an object that are not `null`, in their order.
pub(super) struct Fields<'a> {
    /// Where the object stands in the request; empty for the request itself.
    at: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Reads an object that stands at `at`.
    pub(super) fn read(json: &'a [u8], at: &str) -> Result<Self, Untranslatable> {
        let name = if at.is_empty() { "the body" } else { at };
        let Members(members) = serde_json::from_slice(json)
            .map_err(|_| Untranslatable::new(name, "must be an object"))?;
        let fields = Self {
            at: at.to_owned(),
            members,
        };
        for (place, (name, _)) in fields.members.iter().enumerate() {
            let before = &fields.members[..place];
            if before.iter().any(|(other, _)| other == name) {
                return Err(Untranslatable::new(fields.name(name), "is given twice"));
            }
        }
        Ok(fields)
    }

    /// Those that ask for something: all but `null`.
    pub(super) fn known(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members
            .iter()
            .filter(|(_, value)| value.get() != "null")
            .map(|(name, value)| (&**name, *value))
    }

    /// The full name of a member.
    pub(super) fn name(&self, member: &str) -> String {
        if self.at.is_empty() {
            member.to_owned()
        } else {
            format!("{}.{member}", self.at)
        }
    }

    pub(super) fn optional(&self, member: &str) -> Option<&'a RawValue> {
        self.known()
            .find(|(name, _)| *name == member)
            .map(|(_, value)| value)
    }

    pub(super) fn required(&self, member: &str) -> Result<&'a RawValue, Untranslatable> {
        self.optional(member)
            .ok_or_else(|| Untranslatable::new(self.name(member), "is missing"))
    }

    pub(super) fn required_text(&self, member: &str) -> Result<Cow<'a, str>, Untranslatable> {
        text(&self.name(member), self.required(member)?)
    }

    pub(super) fn optional_text(
        &self,
        member: &str,
    ) -> Result<Option<Cow<'a, str>>, Untranslatable> {
        self.optional(member)
            .map(|value| text(&self.name(member), value))
            .transpose()
    }

    /// An object inside of this one.
    pub(super) fn object(&self, member: &str) -> Result<Fields<'a>, Untranslatable> {
        let value = self.required(member)?;
        Fields::read(value.get().as_bytes(), &self.name(member))
    }

    /// Refuses every member that is not among `names`.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), Untranslatable> {
        match self.known().find(|(name, _)| !names.contains(name)) {
            None => Ok(()),
            Some((name, _)) => Err(Untranslatable::unknown(self.name(name))),
        }
    }
}

/// The value of a string.
pub(super) fn text<'a>(name: &str, value: &'a RawValue) -> Result<Cow<'a, str>, Untranslatable> {
    let wrong = || Untranslatable::new(name, "must be a string");
    let json = value.get();
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or_else(wrong)?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str(json)
        .map(Cow::Owned)
        .map_err(|_| wrong())
}

/// The items of an array.
pub(super) fn items<'a>(
    name: &str,
    value: &'a RawValue,
) -> Result<Vec<&'a RawValue>, Untranslatable> {
    serde_json::from_str(value.get()).map_err(|_| Untranslatable::new(name, "must be an array"))
}

/// A value of a type without borrowed parts; `what` says what it must be.
pub(super) fn read<T: DeserializeOwned>(
    name: &str,
    value: &RawValue,
    what: &str,
) -> Result<T, Untranslatable> {
    serde_json::from_str(value.get())
        .map_err(|_| Untranslatable::new(name, format_args!("must be {what}")))
}

/// Whether an array or object has nothing in it.
pub(super) fn is_empty(value: &RawValue) -> bool {
    match value.get().as_bytes() {
        [b'[' | b'{', inner @ .., _] => inner.trim_ascii().is_empty(),
        _ => false,
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(map.size_hint().unwrap_or(8));
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
