//! A network that knows no policies, out of what the node image brings.
//!
//! Each node gets the configuration of the ptp plug-in for its own pod ranges, and a route to the
//! pod ranges of every other node. Nothing is masqueraded, so that everybody sees everybody's own
//! address.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node as NodeObject;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Options,
    command::{self, CommandLine},
};

/// Where the kubelet looks for the network.
const CONFIG: &str = "/etc/cni/net.d/10-portcullis-routes.conflist";

/// A node as far as routes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, which is also its container's.
    pub name: String,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// The ranges of its pods.
    pub pod_cidrs: Vec<IpNet>,
}

/// kubectl prints lists of the kind `List`, whatever is in them.
#[derive(Deserialize)]
struct Printed {
    items: Vec<NodeObject>,
}

/// The nodes in what `kubectl get nodes -o json` printed.
///
/// # Errors
/// What is wrong with it: no list, or a node without ranges or addresses.
pub fn nodes(printed: &str) -> Result<Vec<Node>, String> {
    let list: Printed = serde_json::from_str(printed).map_err(|error| error.to_string())?;
    list.items.into_iter().map(node).collect()
}

fn node(object: NodeObject) -> Result<Node, String> {
    let name = object.metadata.name.unwrap_or_default();
    let spec = object.spec.unwrap_or_default();
    let ranges = spec.pod_cidrs.unwrap_or_default();
    let pod_cidrs: Vec<IpNet> = ranges.iter().filter_map(|text| text.parse().ok()).collect();
    let status = object.status.unwrap_or_default();
    let internal = status.addresses.into_iter().flatten();
    let addresses: Vec<IpAddr> = internal
        .filter(|address| address.type_ == "InternalIP")
        .filter_map(|address| address.address.parse().ok())
        .collect();
    if pod_cidrs.is_empty() || addresses.is_empty() {
        return Err(format!(
            "node {name} has {} pod ranges and {} addresses; it needs one of each family",
            pod_cidrs.len(),
            addresses.len()
        ));
    }
    Ok(Node {
        name,
        addresses,
        pod_cidrs,
    })
}

/// Everything that connects the pods of all nodes.
pub fn connect(options: &Options, nodes: &[Node]) -> Vec<CommandLine> {
    let mut commands = Vec::new();
    for node in nodes {
        for other in nodes.iter().filter(|other| other.name != node.name) {
            commands.extend(routes(options, node, other));
        }
        commands.push(command::write_in_node(
            options,
            &node.name,
            CONFIG,
            format!("{:#}\n", plugins(node)),
        ));
    }
    commands
}

/// The routes from a node to the pods of another.
fn routes(options: &Options, node: &Node, other: &Node) -> Vec<CommandLine> {
    let mut commands = Vec::new();
    for range in &other.pod_cidrs {
        let is_ipv6 = range.addr().is_ipv6();
        let via = other.addresses.iter().find(|a| a.is_ipv6() == is_ipv6);
        if let Some(via) = via {
            let family = if is_ipv6 { "-6" } else { "-4" };
            let (range, via) = (range.to_string(), via.to_string());
            commands.push(command::in_node(
                options,
                &node.name,
                ["ip", family, "route", "replace", &range, "via", &via],
            ));
        }
    }
    commands
}

/// The plug-ins that a node's pods are connected by.
fn plugins(node: &Node) -> Value {
    let ranges = node.pod_cidrs.iter();
    let default = |range: &IpNet| match range {
        IpNet::V4(_) => json!({"dst": "0.0.0.0/0"}),
        IpNet::V6(_) => json!({"dst": "::/0"}),
    };
    json!({
        "cniVersion": "0.3.1",
        "name": "portcullis-routes",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-ipam-state",
                    "routes": ranges.clone().map(default).collect::<Vec<_>>(),
                    "ranges": ranges.map(|range| json!([{"subnet": range}])).collect::<Vec<_>>(),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}
