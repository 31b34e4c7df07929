//! Label selectors.

use std::sync::Arc;

use crate::cluster::Labels;

/// A label selector: every requirement must hold (semantics 29, 34). The empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// Sorted and without duplicates, so that equal selectors compare equal.
    requirements: Vec<Requirement>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The label is present with one of these values (semantics 30); a `matchLabels` entry is a
    /// list of one.
    In(Arc<str>, Vec<Arc<str>>),
    /// The label is absent or has none of these values (semantics 31).
    NotIn(Arc<str>, Vec<Arc<str>>),
    /// The label is present, whatever its value (semantics 32).
    Exists(Arc<str>),
    /// The label is absent (semantics 33).
    DoesNotExist(Arc<str>),
}

impl Requirement {
    /// Whether `labels` meet it.
    pub fn matches(&self, labels: &Labels) -> bool {
        let is_one_of = |key: &str, values: &[Arc<str>]| {
            labels
                .get(key)
                .is_some_and(|value| values.iter().any(|v| v.as_ref() == value))
        };
        match self {
            Self::In(key, values) => is_one_of(key, values),
            Self::NotIn(key, values) => !is_one_of(key, values),
            Self::Exists(key) => labels.get(key).is_some(),
            Self::DoesNotExist(key) => labels.get(key).is_none(),
        }
    }
}

impl Selector {
    /// The selector that matches everything (semantics 26, 27).
    pub const EVERYTHING: Self = Self {
        requirements: Vec::new(),
    };

    /// A selector in canonical form.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let mut requirements: Vec<_> = requirements
            .into_iter()
            .map(|requirement| match requirement {
                Requirement::In(key, values) => Requirement::In(key, canonical(values)),
                Requirement::NotIn(key, values) => Requirement::NotIn(key, canonical(values)),
                other => other,
            })
            .collect();
        requirements.sort();
        requirements.dedup();
        Self { requirements }
    }

    /// Its requirements, sorted.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it has no requirement, and so matches everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether `labels` meet every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }
}

fn canonical(mut values: Vec<Arc<str>>) -> Vec<Arc<str>> {
    values.sort();
    values.dedup();
    values
}
