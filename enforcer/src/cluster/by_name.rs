//! Pods in the order of their names, which are not kept twice.

use std::{borrow::Borrow, cmp::Ordering, sync::Arc};

use super::{Pod, PodRef};

/// A pod in a set. Two of one name are the same to it.
#[derive(Clone, Debug)]
pub(super) struct ByName(pub(super) Arc<Pod>);

impl ByName {
    pub(super) fn pod(&self) -> &Pod {
        &self.0
    }
}

impl Borrow<PodRef> for ByName {
    fn borrow(&self) -> &PodRef {
        &self.0.reference
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.reference.cmp(&other.0.reference)
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByName {}
