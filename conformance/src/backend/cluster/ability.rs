//! What cannot be played on a cluster, said before anything is made.

use std::collections::BTreeSet;

use enforcer::options::Options;

use super::facts::Facts;
use crate::{
    cell::{Cell, Endpoint, Family, Protocol},
    scenario::{
        Change, Families, Feature, Pod, Scenario, Wanted, World,
        policy::{PolicySource, templates},
    },
};

/// Every connection that a scenario tries.
pub(super) fn cells(scenario: &Scenario) -> impl Iterator<Item = &Cell> {
    let controls = scenario.control.iter().chain(&scenario.final_control);
    let controls = controls.map(|expected| &expected.cell);
    let steps = scenario.steps.iter().flat_map(|step| {
        let expected = step.expectations.iter().flat_map(|it| &it.cells);
        let opened = step.open.iter().flat_map(|it| &it.cells);
        let traffic = step.start.iter().flat_map(|it| &it.cells);
        expected.map(|it| &it.cell).chain(opened).chain(traffic)
    });
    controls.chain(steps)
}

/// The world at the beginning and after every step.
pub(super) fn worlds(scenario: &Scenario) -> impl Iterator<Item = &World> {
    std::iter::once(&scenario.world).chain(scenario.steps.iter().map(|step| &step.world))
}

/// Whether SCTP is spoken, or listened to.
pub(super) fn speaks_sctp(scenario: &Scenario) -> bool {
    let listens = |pod: &Pod| {
        pod.listen
            .iter()
            .any(|port| port.protocol == Protocol::Sctp)
    };
    cells(scenario).any(|cell| cell.port.protocol == Protocol::Sctp)
        || worlds(scenario).any(|world| world.pods.values().any(listens))
}

/// The nodes from or to whose own addresses something goes.
pub(super) fn speaking_nodes(scenario: &Scenario) -> BTreeSet<String> {
    let ends = cells(scenario).flat_map(|cell| [&cell.source, &cell.destination]);
    let node = |endpoint: &Endpoint| match endpoint {
        Endpoint::Node(name) => Some(name.clone()),
        _ => None,
    };
    ends.filter_map(node).collect()
}

/// How many nodes it takes: as many as it has, or one where it makes no difference.
pub(super) fn nodes_needed(scenario: &Scenario) -> usize {
    let is_about_nodes = scenario.requires.contains(&Feature::MultiNode)
        || !speaking_nodes(scenario).is_empty()
        || worlds(scenario).any(|world| {
            let mut pods = world.pods.values();
            pods.any(|pod| pod.is_host_network() || !pod.host_ports().is_empty())
        })
        || wanted(scenario).any(|it| matches!(it, Wanted::Node(_) | Wanted::NodePodCidr(_)))
        || scenario.requires.contains(&Feature::NodePort);
    if is_about_nodes {
        scenario.world.nodes.len()
    } else {
        1
    }
}

fn sources(scenario: &Scenario) -> impl Iterator<Item = &PolicySource> {
    let initial = scenario.initial_policies.iter().map(AsRef::as_ref);
    let steps = scenario.steps.iter().flat_map(|step| {
        let applied = step.policies.iter().map(AsRef::as_ref);
        let asked = step.admissions.iter().map(|it| it.manifest.as_ref());
        let changes = step.changes.iter().filter_map(|change| match change {
            Change::ApplyPolicy(source) | Change::StorePolicy(source) => Some(source.as_ref()),
            _ => None,
        });
        applied.chain(asked).chain(changes)
    });
    initial.chain(steps)
}

/// Every address that its policies ask for.
fn wanted(scenario: &Scenario) -> impl Iterator<Item = Wanted> {
    sources(scenario)
        .flat_map(|source| templates(&source.document))
        .map(|found| found.template.wanted)
}

/// Why a scenario cannot be played on a cluster like this, whose enforcer has these choices; nothing
/// if it can.
pub(super) fn missing_for(scenario: &Scenario, facts: &Facts, options: Options) -> Option<String> {
    let features = scenario.requires.iter();
    features
        .filter_map(|feature| without(*feature, facts))
        .map(str::to_owned)
        .next()
        .or_else(|| names(scenario))
        .or_else(|| families(scenario, facts))
        .or_else(|| nodes(scenario, facts))
        .or_else(|| ranges(scenario, facts))
        .or_else(|| choices(scenario, options))
        .or_else(|| story(scenario))
}

/// Why there is no such feature on a cluster.
fn without(feature: Feature, facts: &Facts) -> Option<&'static str> {
    match feature {
        Feature::External => Some("it needs machines outside the cluster, and none is known here"),
        Feature::ChosenAddress => {
            Some("it chooses addresses of pods, and on a cluster the network plug-in does")
        }
        Feature::PodMtu => Some("it chooses the MTU of links, which are the cluster's"),
        Feature::StoredObjects => {
            Some("it stores objects that the API server refuses, and this one would, too")
        }
        Feature::Agents => {
            Some("it does something to agents and kernels, which are not ours on a cluster")
        }
        Feature::Ipv6 if !facts.has(Family::Ipv6) => {
            Some("it needs IPv6, and the pods of this cluster have none")
        }
        Feature::DualStack if facts.families != Families::Dual => {
            Some("it needs both families, and the pods of this cluster have one")
        }
        Feature::Ipv6
        | Feature::DualStack
        | Feature::Sctp
        | Feature::MultiNode
        | Feature::HostNetwork
        | Feature::Services
        | Feature::NodePort
        | Feature::HostPort => None,
    }
}

/// Whether every cluster has a namespace of this name, which is nobody's to play in.
pub(super) fn is_clusters_own(namespace: &str) -> bool {
    namespace == "default" || namespace.starts_with("kube-")
}

/// The namespaces in which something is, or to which something happens, at some time.
fn used_namespaces(scenario: &Scenario) -> BTreeSet<&str> {
    let worlds = worlds(scenario);
    let of_world = worlds.flat_map(|world| {
        let pods = world.pods.keys();
        pods.chain(world.services.keys())
            .map(|name| name.namespace.as_str())
    });
    let policies = sources(scenario).map(|source| source.name.namespace.as_str());
    let changes = scenario.steps.iter().flat_map(|step| &step.changes);
    let changed = changes.filter_map(|change| match change {
        Change::CreateNamespace(it) | Change::LabelNamespace(it) => {
            it.object.metadata.name.as_deref()
        }
        Change::DeleteNamespace(name) => Some(name.as_str()),
        _ => None,
    });
    of_world.chain(policies).chain(changed).collect()
}

fn names(scenario: &Scenario) -> Option<String> {
    let mut used = used_namespaces(scenario).into_iter();
    let taken = used.find(|name| is_clusters_own(name))?;
    Some(format!(
        "it plays in the namespace {taken}, which is the cluster's own"
    ))
}

fn families(scenario: &Scenario, facts: &Facts) -> Option<String> {
    let asks = |family| cells(scenario).any(|cell| cell.family == family);
    let missing = [Family::Ipv4, Family::Ipv6]
        .into_iter()
        .find(|family| asks(*family) && !facts.has(*family))?;
    Some(format!(
        "it tries connections over {missing}, and the pods of this cluster have no such addresses"
    ))
}

fn nodes(scenario: &Scenario, facts: &Facts) -> Option<String> {
    let (needed, there) = (nodes_needed(scenario), facts.nodes.len());
    if needed <= there {
        return None;
    }
    let others: Vec<_> = facts
        .unusable
        .iter()
        .map(|(name, reason)| format!("; of {name}: {reason}"))
        .collect();
    Some(format!(
        "it needs {needed} nodes, and {there} of this cluster take pods{}",
        others.concat()
    ))
}

fn ranges(scenario: &Scenario, facts: &Facts) -> Option<String> {
    let knows = |ranges: &[ipnet::IpNet]| !ranges.is_empty();
    let unknown = wanted(scenario).find(|wanted| match wanted {
        Wanted::PodCidr => !knows(&facts.pod_cidrs),
        Wanted::ServiceCidr => !knows(&facts.service_cidrs),
        Wanted::NodePodCidr(_) => facts.nodes.iter().any(|node| !knows(&node.pod_cidrs)),
        Wanted::External(_) => true,
        _ => false,
    })?;
    Some(format!(
        "it needs {unknown}, which this cluster does not say"
    ))
}

fn choices(scenario: &Scenario, options: Options) -> Option<String> {
    let chosen = scenario.options;
    let differs = |name: &str, wanted: String, actual: String| {
        (wanted != actual).then(|| {
            format!(
                "it is about an enforcer with {name} {wanted}, and that of this cluster has {actual}; \
                 --{name} says which it has"
            )
        })
    };
    let word = |choice: &dyn std::fmt::Debug| format!("{choice:?}").to_lowercase();
    let established = chosen
        .established
        .and_then(|it| differs("established", word(&it), word(&options.established)));
    established
        .or_else(|| {
            chosen
                .deny
                .and_then(|it| differs("deny", word(&it), word(&options.deny)))
        })
        .or_else(|| {
            chosen
                .unprogrammed
                .and_then(|it| differs("unprogrammed", word(&it), word(&options.unprogrammed)))
        })
}

/// What happens in it that cannot happen on a cluster.
fn story(scenario: &Scenario) -> Option<String> {
    let mut changes = scenario.steps.iter().flat_map(|step| &step.changes);
    if changes.any(|change| matches!(change, Change::LabelNode { .. })) {
        return Some("it labels nodes, which are not ours on a cluster".to_owned());
    }
    let is_host = |pod: &Pod| pod.is_host_network();
    let has_host = worlds(scenario).any(|world| world.pods.values().any(is_host));
    if speaks_sctp(scenario) && (has_host || !speaking_nodes(scenario).is_empty()) {
        let reason = "it speaks SCTP on the network of a node, where probes would refuse the \
                      associations of others";
        return Some(reason.to_owned());
    }
    let mut blocks = scenario.steps.iter().flat_map(|step| &step.expectations);
    let is_remembered = |cell: &Cell| cell.port.protocol != Protocol::Tcp;
    if blocks
        .any(|it| it.source_port.is_some() && it.cells.iter().any(|it| is_remembered(&it.cell)))
    {
        let reason = "it chooses source ports of datagrams, which nodes remember for minutes, and \
                      they are not ours to make forget";
        return Some(reason.to_owned());
    }
    None
}
