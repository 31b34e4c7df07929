//! The words that random objects are made of.
//!
//! There are few of each, so that two objects often say the same. None of them is a boolean or a
//! number to YAML.

use crate::cell::Protocol;

/// Names of nodes.
pub const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// Names of namespaces.
pub const NAMESPACES: [&str; 3] = ["north", "south", "east"];
/// Names of pods; those of other namespaces have the same.
pub const PODS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Names of machines outside the cluster.
pub const EXTERNALS: [&str; 2] = ["client", "internet"];

/// Keys and values of labels of pods. `env` and `app` are also keys of namespaces.
pub const POD_LABELS: [(&str, &[&str]); 4] = [
    ("app", &["web", "db", "Web"]),
    ("tier", &["front", "back"]),
    ("env", &["prod", "test", ""]),
    ("example.com/role", &["main", "a.b_c-d"]),
];
/// Keys and values of labels of namespaces.
pub const NAMESPACE_LABELS: [(&str, &[&str]); 3] = [
    ("team", &["red", "blue"]),
    ("env", &["prod", "test", ""]),
    ("app", &["web"]),
];
/// Keys and values of labels of nodes, which no verdict may depend on.
pub const NODE_LABELS: [(&str, &[&str]); 2] = [("zone", &["west", "mid"]), ("app", &["web"])];
/// The label that every namespace has.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Names of ports.
pub const PORT_NAMES: [&str; 4] = ["http", "dns", "metrics", "s1"];
/// Numbers of ports.
pub const PORTS: [u16; 9] = [80, 81, 82, 443, 8080, 53, 1, 65535, 32768];
/// Protocols that have ports, by how often they are taken.
pub const PROTOCOLS: [(usize, Protocol); 3] =
    [(5, Protocol::Tcp), (3, Protocol::Udp), (2, Protocol::Sctp)];
/// Names that nothing has.
pub const NOBODY: &str = "nobody";
