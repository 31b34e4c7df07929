//! The configuration of a cluster, as kind reads it.

use serde_json::{Value, json};

use super::{Network, Options};

/// Which addresses pods and Services have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Family {
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// Both.
    Dual,
}

/// How kube-proxy makes Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Proxy {
    /// By iptables.
    Iptables,
    /// By nftables.
    Nftables,
    /// By IPVS.
    Ipvs,
}

impl Proxy {
    fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
            Self::Ipvs => "ipvs",
        }
    }
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Dual => "dual",
        }
    }
}

/// The configuration; JSON is YAML.
pub fn config(options: &Options) -> String {
    let workers = (0..options.workers).map(|_| json!({"role": "worker"}));
    let nodes: Vec<Value> = [json!({"role": "control-plane"})]
        .into_iter()
        .chain(workers)
        .collect();
    let config = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            "disableDefaultCNI": options.network != Network::Kindnet,
            "ipFamily": options.family.name(),
            "kubeProxyMode": options.proxy.name(),
        },
        "nodes": nodes,
    });
    format!("{config:#}\n")
}
