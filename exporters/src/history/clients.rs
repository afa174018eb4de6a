//! Which clients did something: a set that takes a byte a client where most of them did.
//!
//! Stored as varints (LEB128) of the distances between ascending ids, the first one from 0.
//! With them the clients of a window are counted without a look at each row of it.

use super::latency::{Malformed, Varints, push_varint};

/// More ids than a catalogue holds: a damaged set may name any, and takes 2 MB at most.
const IDS_MAX: u64 = 1 << 24;

/// Ids of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientSet {
    /// A bit an id.
    words: Vec<u64>,
}

impl ClientSet {
    pub(super) fn insert(&mut self, client: u32) {
        let word = (client / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (client % 64);
    }

    pub(super) fn remove(&mut self, client: u32) {
        if let Some(word) = self.words.get_mut((client / 64) as usize) {
            *word &= !(1 << (client % 64));
        }
    }

    pub(super) fn len(&self) -> u64 {
        let ones = self.words.iter().map(|word| u64::from(word.count_ones()));
        ones.sum()
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        let words = (0u32..).zip(&self.words);
        words.flat_map(|(at, word)| {
            let is_set = move |bit: &u32| word >> bit & 1 == 1;
            (0..64).filter(is_set).map(move |bit| at * 64 + bit)
        })
    }

    /// Adds a stored set.
    pub(super) fn add_stored(&mut self, blob: &[u8]) -> Result<(), Malformed> {
        let mut varints = Varints(blob);
        let mut id = 0u64;
        while !varints.is_empty() {
            id = id.checked_add(varints.next()?).ok_or(Malformed)?;
            if id >= IDS_MAX {
                return Err(Malformed);
            }
            self.insert(id as u32);
        }
        Ok(())
    }

    /// As it is stored.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut last = 0;
        for id in self.ids() {
            push_varint(&mut out, u64::from(id - last));
            last = id;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn stored_sets_add_up_to_their_union(
            one in proptest::collection::btree_set(0u32..70_000, 0..300),
            two in proptest::collection::btree_set(0u32..400, 0..300),
        ) {
            let mut union = ClientSet::default();
            for ids in [&one, &two] {
                let mut set = ClientSet::default();
                ids.iter().for_each(|id| set.insert(*id));
                union.add_stored(&set.encode()).expect("our own");
            }
            union.insert(70_000);
            union.remove(70_000);
            union.remove(80_000);
            let expected: BTreeSet<u32> = one.union(&two).copied().collect();
            prop_assert_eq!(union.len(), expected.len() as u64);
            prop_assert_eq!(union.ids().collect::<BTreeSet<_>>(), expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut set = ClientSet::default();
            let _read = set.add_stored(&bytes);
            prop_assert!(set.words.len() as u64 <= IDS_MAX / 64);
        }
    }
}
