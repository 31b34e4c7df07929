//! What was written, by version: an agent has acted on it once it has acted on these versions.

use std::{collections::BTreeMap, fmt::Write as _};

use kube::ResourceExt as _;

use crate::backend::live::Object;

/// The newest versions that an agent must be told of, by resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    of_all: BTreeMap<String, u64>,
    /// Each agent is told of its own node.
    of_nodes: BTreeMap<String, u64>,
}

/// The version of an object; 0 for what is none.
pub(super) fn version_of<K: Object>(object: &K) -> u64 {
    let version = object.resource_version().unwrap_or_default();
    version.parse().unwrap_or_default()
}

impl Versions {
    /// Every agent must hear of an object.
    pub(super) fn note<K: Object>(&mut self, object: &K) {
        self.note_at::<K>(version_of(object));
    }

    /// Every agent must hear of what happened at a version.
    pub(super) fn note_at<K: Object>(&mut self, version: u64) {
        let newest = self.of_all.entry(K::plural(&()).into_owned()).or_default();
        *newest = version.max(*newest);
    }

    /// The agent of a node must hear of the node.
    pub(super) fn note_node(&mut self, name: &str, version: u64) {
        self.of_nodes.insert(name.to_owned(), version);
    }

    /// The newest version of a resource that was noted.
    pub(super) fn newest<K: Object>(&self) -> u64 {
        let newest = self.of_all.get(&*K::plural(&()));
        newest.copied().unwrap_or_default()
    }

    /// As a node's agent is asked for it.
    pub(super) fn query(&self, node: &str) -> String {
        let mut query = String::new();
        for (resource, version) in &self.of_all {
            // A string takes whatever is written.
            let _ = write!(query, "{resource}={version}&");
        }
        if let Some(version) = self.of_nodes.get(node) {
            let _ = write!(query, "nodes={version}&");
        }
        query
    }
}
