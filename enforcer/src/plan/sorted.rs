//! A sorted map whose copies share memory.

use std::{fmt, sync::Arc};

/// The most entries of a chunk: one is copied for each change.
const CHUNK: usize = 128;

/// A map in the order of its keys. A copy costs nothing until it changes, then one chunk; what two
/// copies still share is not looked at when they are compared.
pub struct Sorted<K, V> {
    /// Ascending, none empty.
    chunks: Arc<Vec<Arc<Chunk<K, V>>>>,
    length: usize,
}

/// Entries in the order of their keys.
type Chunk<K, V> = Vec<(K, V)>;

impl<K, V> Clone for Sorted<K, V> {
    fn clone(&self) -> Self {
        Self {
            chunks: Arc::clone(&self.chunks),
            length: self.length,
        }
    }
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self {
            chunks: Arc::default(),
            length: 0,
        }
    }
}

impl<K, V> Sorted<K, V> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks
            .iter()
            .flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// Whether both are the same memory, so that they cannot differ.
    fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
    }
}

impl<K: Copy + Ord, V: Copy + PartialEq> Sorted<K, V> {
    /// What there is for `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let index = position(chunk, key).ok()?;
        Some(&chunk[index].1)
    }

    /// Sets what there is for `key`; says what there was.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.chunks.is_empty() {
            self.chunks = Arc::new(vec![Arc::new(vec![(key, value)])]);
            self.length = 1;
            return None;
        }
        let number = self.chunk_of(&key);
        match position(&self.chunks[number], &key) {
            Ok(index) => {
                let before = self.chunks[number][index].1;
                if before != value {
                    self.chunk_mut(number)[index].1 = value;
                }
                Some(before)
            }
            Err(index) => {
                self.length += 1;
                let chunk = self.chunk_mut(number);
                // Ascending insertion, as of a whole list, leaves full chunks behind.
                let cut = if index == chunk.len() {
                    index
                } else {
                    CHUNK / 2
                };
                chunk.insert(index, (key, value));
                if chunk.len() > CHUNK {
                    let second = chunk.split_off(cut);
                    Arc::make_mut(&mut self.chunks).insert(number + 1, Arc::new(second));
                }
                None
            }
        }
    }

    /// Takes an entry out; says what it was.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let number = self.chunk_of(key);
        let index = position(self.chunks.get(number)?, key).ok()?;
        self.length -= 1;
        let chunk = self.chunk_mut(number);
        let (_, value) = chunk.remove(index);
        let length = chunk.len();
        let chunks = Arc::make_mut(&mut self.chunks);
        match chunks.get(number + 1) {
            _ if length == 0 => {
                chunks.remove(number);
            }
            Some(next) if length + next.len() <= CHUNK / 2 => {
                let next = chunks.remove(number + 1);
                Arc::make_mut(&mut chunks[number]).extend_from_slice(&next);
            }
            _ => {}
        }
        Some(value)
    }

    /// Every key for which `self` and `new` differ, in order, with what both have for it.
    pub(crate) fn differences(&self, new: &Self, mut each: impl FnMut(&K, Option<&V>, Option<&V>)) {
        if self.is_shared_with(new) {
            return;
        }
        let (mut old, mut new) = (Cursor::of(self), Cursor::of(new));
        loop {
            Cursor::skip_shared(&mut old, &mut new);
            let (before, after) = (old.entry(), new.entry());
            match (before, after) {
                (None, None) => return,
                (Some((key, before)), Some((other, after))) if key == other => {
                    if before != after {
                        each(key, Some(before), Some(after));
                    }
                    old.advance();
                    new.advance();
                }
                (Some((key, before)), after) if after.is_none_or(|(other, _)| key < other) => {
                    each(key, Some(before), None);
                    old.advance();
                }
                (_, Some((key, after))) => {
                    each(key, None, Some(after));
                    new.advance();
                }
                (Some(_), None) => unreachable!("the guard before takes it"),
            }
        }
    }

    /// The chunk that has `key`, if any has.
    fn chunk_of(&self, key: &K) -> usize {
        let after = self.chunks.partition_point(|chunk| chunk[0].0 <= *key);
        after.saturating_sub(1)
    }

    fn chunk_mut(&mut self, number: usize) -> &mut Chunk<K, V> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[number])
    }
}

fn position<K: Ord, V>(chunk: &Chunk<K, V>, key: &K) -> Result<usize, usize> {
    chunk.binary_search_by(|(known, _)| known.cmp(key))
}

/// A place in a map.
struct Cursor<'a, K, V> {
    chunks: &'a [Arc<Chunk<K, V>>],
    index: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn of(map: &'a Sorted<K, V>) -> Self {
        Self {
            chunks: &map.chunks,
            index: 0,
        }
    }

    fn entry(&self) -> Option<(&'a K, &'a V)> {
        let (key, value) = self.chunks.first()?.get(self.index)?;
        Some((key, value))
    }

    fn advance(&mut self) {
        self.index += 1;
        if self
            .chunks
            .first()
            .is_some_and(|chunk| self.index == chunk.len())
        {
            self.chunks = &self.chunks[1..];
            self.index = 0;
        }
    }

    /// Leaves chunks behind that both have at this place.
    fn skip_shared(one: &mut Self, other: &mut Self) {
        while let (0, 0, [first, rest @ ..], [same, others @ ..]) =
            (one.index, other.index, one.chunks, other.chunks)
            && Arc::ptr_eq(first, same)
        {
            one.chunks = rest;
            other.chunks = others;
        }
    }
}

impl<K: Copy + Ord, V: Copy + PartialEq> PartialEq for Sorted<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.length == other.length && self.iter().eq(other.iter())
    }
}

impl<K: Copy + Ord, V: Copy + Eq> Eq for Sorted<K, V> {}

impl<K: Copy + Ord, V: Copy + PartialEq> FromIterator<(K, V)> for Sorted<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Sorted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const KEYS: u16 = 500;

    /// Insertions and removals, of so many keys that there are several chunks.
    fn changes() -> impl Strategy<Value = Vec<(u16, Option<u8>)>> {
        prop::collection::vec((0..KEYS, prop::option::weighted(0.7, 0..3_u8)), 0..800)
    }

    fn apply(
        map: &mut Sorted<u16, u8>,
        model: &mut BTreeMap<u16, u8>,
        changes: &[(u16, Option<u8>)],
    ) {
        for &(key, value) in changes {
            let (said, expected) = match value {
                Some(value) => (map.insert(key, value), model.insert(key, value)),
                None => (map.remove(&key), model.remove(&key)),
            };
            assert_eq!(said, expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_a_map_and_its_copies_keep_what_they_had(first in changes(), second in changes()) {
            let (mut map, mut model) = Default::default();
            apply(&mut map, &mut model, &first);
            let (copy, copied) = (map.clone(), model.clone());
            apply(&mut map, &mut model, &second);
            for (map, model) in [(&map, &model), (&copy, &copied)] {
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert!(map.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
                for key in 0..KEYS {
                    prop_assert_eq!(map.get(&key), model.get(&key));
                }
            }
            prop_assert_eq!(map == copy, model == copied);
            let fresh: Sorted<_, _> = model.iter().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(&fresh, &map);

            let (mut found, mut expected) = (Vec::new(), Vec::new());
            copy.differences(&map, |key, old, new| found.push((*key, old.copied(), new.copied())));
            for key in 0..KEYS {
                let (old, new) = (copied.get(&key), model.get(&key));
                if old != new {
                    expected.push((key, old.copied(), new.copied()));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
