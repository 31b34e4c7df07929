//! Where in a simulated cluster something runs.

use std::fmt;

/// A network namespace of the cluster by the name people give it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A pod, by `namespace/name`. A host-network pod shares the namespace of its node.
    Pod(String),
    /// A process of a node.
    Node(String),
    /// A machine outside the cluster.
    External(String),
}

/// As people write it: `ns/pod`, `node/n1`, `ext/internet`.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => formatter.write_str(name),
            Self::Node(name) => write!(formatter, "node/{name}"),
            Self::External(name) => write!(formatter, "ext/{name}"),
        }
    }
}
