//! What is followed.

use std::fmt;

/// A resource that verdicts depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// All pods of the cluster.
    Pods,
    /// All namespaces.
    Namespaces,
    /// All policies.
    NetworkPolicies,
    /// The agent's own node.
    Nodes,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Pods,
        Self::Namespaces,
        Self::NetworkPolicies,
        Self::Nodes,
    ];

    /// Its name in the API: plural, lower case.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Namespaces => "namespaces",
            Self::NetworkPolicies => "networkpolicies",
            Self::Nodes => "nodes",
        }
    }

    /// Its API group; empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Self::NetworkPolicies => "networking.k8s.io",
            _ => "",
        }
    }

    /// The path of the collection, across namespaces.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Pods => "/api/v1/pods",
            Self::Namespaces => "/api/v1/namespaces",
            Self::NetworkPolicies => "/apis/networking.k8s.io/v1/networkpolicies",
            Self::Nodes => "/api/v1/nodes",
        }
    }

    /// What is asked for. A finished pod is neither subject nor peer (semantics 39), so it is not
    /// even sent; a node concerns nobody but itself.
    pub(super) fn field_selector(self, node: &str) -> Option<String> {
        match self {
            Self::Pods => Some("status.phase!=Succeeded,status.phase!=Failed".to_owned()),
            Self::Nodes => Some(format!("metadata.name={node}")),
            Self::Namespaces | Self::NetworkPolicies => None,
        }
    }

    /// The rule of a ClusterRole that allows all that is done with it.
    pub fn rule(self) -> String {
        format!(
            "- apiGroups: [\"{}\"]\n  resources: [{}]\n  verbs: [list, watch]",
            self.group(),
            self.plural()
        )
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural())
    }
}
