//! Texts and label sets that many pods share: 15,000 pods of 300 workloads need memory for 300.

use std::{collections::HashSet, sync::Arc};

use crate::cluster::{Labels, Pod};

/// How many entries there are before those that nobody asked for in the meantime are forgotten.
const GENERATION: usize = 16_384;

/// Everything that was asked for lately.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: Generations<Arc<str>>,
    labels: Generations<Labels>,
}

impl Interner {
    /// The same pod, sharing what it can.
    pub(super) fn pod(&mut self, mut pod: Pod) -> Pod {
        pod.reference.namespace = self.text(pod.reference.namespace);
        pod.node = pod.node.map(|node| self.text(node));
        pod.labels = self.labels.shared(pod.labels);
        for port in &mut pod.ports {
            port.name = port.name.take().map(|name| self.text(name));
        }
        pod.ports.shrink_to_fit();
        pod.addresses.shrink_to_fit();
        pod
    }

    fn text(&mut self, text: Arc<str>) -> Arc<str> {
        self.texts.shared(text)
    }
}

/// Two generations: whatever is asked for moves to the young one, and when that is full the old
/// one goes. Nothing has to be counted and nothing grows for ever.
#[derive(Debug)]
struct Generations<T> {
    young: HashSet<T>,
    old: HashSet<T>,
}

impl<T> Default for Generations<T> {
    fn default() -> Self {
        Self {
            young: HashSet::new(),
            old: HashSet::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Generations<T> {
    fn shared(&mut self, value: T) -> T {
        if let Some(known) = self.young.get(&value) {
            return known.clone();
        }
        let value = self.old.take(&value).unwrap_or(value);
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_is_shared() {
        let mut texts = Generations::<Arc<str>>::default();
        let first = texts.shared("a".into());
        assert!(Arc::ptr_eq(&first, &texts.shared("a".into())));
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let mut texts = Generations::<Arc<str>>::default();
        let kept = texts.shared("kept".into());
        for round in 0..4 {
            for count in 0..GENERATION {
                texts.shared(format!("{round}-{count}").into());
                if count % 1_000 == 0 {
                    texts.shared("kept".into());
                }
            }
        }
        assert!(Arc::ptr_eq(&kept, &texts.shared("kept".into())));
        assert!(texts.young.len() + texts.old.len() <= 2 * GENERATION);
    }
}
