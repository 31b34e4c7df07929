//! Content in, a name out.

use std::{collections::BTreeMap, hash::Hash};

use crate::plan::Id;

/// Names for content: equal content gets the same name, different content never does, also where
/// hashes collide.
pub(super) struct Interner<T> {
    by_id: BTreeMap<Id, T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
        }
    }
}

impl<T: Hash + PartialEq> Interner<T> {
    pub(super) fn intern(&mut self, content: T) -> Id {
        for attempt in 0.. {
            let id = Id::of(&content, attempt);
            match self.by_id.get(&id) {
                Some(known) if *known == content => return id,
                Some(_) => {}
                None => {
                    self.by_id.insert(id, content);
                    return id;
                }
            }
        }
        unreachable!("there are more names than there is memory for content")
    }

    /// Everything that was named.
    pub(super) fn into_inner(self) -> BTreeMap<Id, T> {
        self.by_id
    }
}
