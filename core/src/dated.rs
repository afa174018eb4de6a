//! Values that hold from a moment on, until the next one does.

use crate::units::UnixMillis;

/// Values by the moment from which each holds: `at` is the newest that has begun.
///
/// ```
/// use coo_llm_core::{UnixMillis, dated::Dated};
///
/// let price = Dated::new([(UnixMillis(2_000), "new"), (UnixMillis(1_000), "old")]).expect("two moments");
/// assert_eq!(price.at(UnixMillis(999)), None);
/// assert_eq!(price.at(UnixMillis(1_999)), Some(&"old"));
/// assert_eq!(price.at(UnixMillis(2_000)), Some(&"new"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated<T> {
    /// By rising moment; no moment is there twice.
    values: Vec<(UnixMillis, T)>,
}

/// Two values begin at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SameMoment(pub UnixMillis);

impl<T> Dated<T> {
    /// Values in any order.
    ///
    /// # Errors
    /// [`SameMoment`] where it is not clear which of two values holds.
    pub fn new(values: impl IntoIterator<Item = (UnixMillis, T)>) -> Result<Self, SameMoment> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by_key(|(from, _)| *from);
        let twice = values.windows(2).find(|two| two[0].0 == two[1].0);
        match twice {
            Some(two) => Err(SameMoment(two[0].0)),
            None => Ok(Self { values }),
        }
    }

    /// One value, whenever.
    pub fn always(value: T) -> Self {
        Self {
            values: vec![(UnixMillis(0), value)],
        }
    }

    /// The value that holds at a moment; `None` before the first.
    #[must_use]
    pub fn at(&self, moment: UnixMillis) -> Option<&T> {
        let begun = self.values.partition_point(|(from, _)| *from <= moment);
        let (_, value) = self.values.get(begun.checked_sub(1)?)?;
        Some(value)
    }

    /// The moments after `start` and before `end` from which another value holds.
    pub fn changes(&self, start: UnixMillis, end: UnixMillis) -> impl Iterator<Item = UnixMillis> {
        let moments = self.values.iter().map(|(from, _)| *from);
        moments.filter(move |from| (start..end).contains(from) && *from > start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_those_inside() {
        let values = [1, 5, 9].map(|from| (UnixMillis(from), from));
        let dated = Dated::new(values).expect("three moments");
        let changes = |start, end| -> Vec<_> {
            let changes = dated.changes(UnixMillis(start), UnixMillis(end));
            changes.map(|moment| moment.0).collect()
        };
        assert_eq!(changes(0, 10), [1, 5, 9]);
        assert_eq!(changes(1, 9), [5]);
        assert!(changes(5, 9).is_empty());
    }

    #[test]
    fn a_moment_has_one_value() {
        let values = [
            (UnixMillis(5), 'b'),
            (UnixMillis(1), 'a'),
            (UnixMillis(5), 'c'),
        ];
        assert_eq!(Dated::new(values), Err(SameMoment(UnixMillis(5))));
        assert_eq!(
            Dated::<char>::new([]).map(|none| none.at(UnixMillis(9)).copied()),
            Ok(None)
        );
        assert_eq!(Dated::always('x').at(UnixMillis(0)), Some(&'x'));
    }
}
