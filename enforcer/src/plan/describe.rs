//! A Plan for people and programs to read: who is isolated, by what, and what is let through.

use std::net::IpAddr;

use serde::Serialize;

use super::{Grant, Plan, Profile};
use crate::{
    cluster::{Cluster, Pod, PodRef},
    policy::{Direction, PortRange},
};

/// What a node enforces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The node.
    pub node: String,
    /// `keep` or `revoke`.
    pub established: String,
    /// `hold` or `open`.
    pub unprogrammed: String,
    /// `drop` or `reject`.
    pub deny: String,
    /// The node's pods, in the order of their names.
    pub pods: Vec<PodDescription>,
}

/// What is enforced for one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodDescription {
    /// `namespace/name`.
    pub pod: String,
    /// Its own addresses; without any, nothing is enforced for it.
    pub addresses: Vec<IpAddr>,
    /// Connections to it; absent if everything passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<SideDescription>,
    /// Connections from it; absent if everything passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<SideDescription>,
}

/// One direction of an isolated pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SideDescription {
    /// The content's name, which is part of the chain's name in the kernel.
    pub profile: String,
    /// Everything that isolates it, as `namespace/name`.
    pub isolated_by: Vec<String>,
    /// What passes; the first entry that knows the peer decides.
    pub passes: Vec<Passing>,
}

/// Whom what is let through for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Passing {
    /// An address, a range, or `everyone else`.
    pub peer: String,
    /// The pod that owns the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// `everything`, or protocols and ports.
    pub ports: Vec<String>,
}

/// Describes what `plan` does for all pods of its node, or for one. `cluster` tells who owns an
/// address.
pub fn describe(plan: &Plan, cluster: &Cluster, only: Option<&PodRef>) -> Description {
    let node = plan.node().unwrap_or_default();
    let options = plan.options();
    Description {
        node: node.to_owned(),
        established: options.established.to_string(),
        unprogrammed: options.unprogrammed.to_string(),
        deny: options.deny.to_string(),
        pods: cluster
            .pods_on(node)
            .filter(|pod| pod.can_own_addresses())
            .filter(|pod| only.is_none_or(|only| *only == pod.reference))
            .map(|pod| describe_pod(plan, cluster, pod))
            .collect(),
    }
}

fn describe_pod(plan: &Plan, cluster: &Cluster, pod: &Pod) -> PodDescription {
    let addresses: Vec<_> = cluster.addresses_of(pod).collect();
    let side = |direction| {
        let subjects = plan.subjects(direction);
        let subject = addresses.iter().find_map(|address| subjects.get(address))?;
        let profile = &plan.profiles[&subject.profile];
        Some(SideDescription {
            profile: subject.profile.to_string(),
            isolated_by: profile.policies.iter().map(ToString::to_string).collect(),
            passes: passes(plan, cluster, profile),
        })
    };
    PodDescription {
        pod: pod.reference.to_string(),
        ingress: side(Direction::Ingress),
        egress: side(Direction::Egress),
        addresses,
    }
}

fn passes(plan: &Plan, cluster: &Cluster, profile: &Profile) -> Vec<Passing> {
    let passing = |peer: String, pod: Option<String>, grant| Passing {
        peer,
        pod,
        ports: ports(plan, grant),
    };
    let answers = profile.peers.iter().map(|id| &plan.peers[id].answers);
    let members = answers.flat_map(|answers| {
        plan.classes.iter().filter_map(|(address, class)| {
            let grant = answers.get(class)?;
            let owner = cluster.owner(*address);
            let pod = owner.map(|pod| pod.reference.to_string());
            Some(passing(address.to_string(), pod, *grant))
        })
    });
    let blocks = profile.blocks.iter().flat_map(|id| &plan.blocks[id].blocks);
    let blocks = blocks.map(|block| {
        let range = if block.first == block.last {
            block.first.to_string()
        } else {
            format!("{}-{}", block.first, block.last)
        };
        passing(range, None, block.grant)
    });
    let rest = profile
        .otherwise
        .map(|grant| passing("everyone else".to_owned(), None, grant));
    members.chain(blocks).chain(rest).collect()
}

fn ports(plan: &Plan, grant: Grant) -> Vec<String> {
    match grant {
        Grant::Everything => vec!["everything".to_owned()],
        Grant::Ports(id) => plan.ports[&id]
            .ranges()
            .map(|(protocol, range)| match range {
                PortRange::ALL => protocol.to_string(),
                range => format!("{protocol} {range}"),
            })
            .collect(),
    }
}
