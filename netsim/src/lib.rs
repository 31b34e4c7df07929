//! Nodes and pods made of network namespaces, without a cluster and without root.
