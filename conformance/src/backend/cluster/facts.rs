//! What a cluster is like, as far as scenarios depend on it. Asked once, before anything is made.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    networking::v1::ServiceCIDR,
};

use crate::{
    backend::live::{Live, LiveError},
    cell::Family,
    endpoints,
    scenario::Families,
};

/// A node that can run pods of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealNode {
    /// Its name.
    pub name: String,
    /// Its `InternalIP`s.
    pub addresses: Vec<IpAddr>,
    /// The ranges of its pods, where the cluster hands them out.
    pub pod_cidrs: Vec<IpNet>,
}

/// What a cluster is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The nodes that can run pods of ours, by name.
    pub nodes: Vec<RealNode>,
    /// The others, and why they cannot.
    pub unusable: Vec<(String, String)>,
    /// Which addresses pods have.
    pub families: Families,
    /// The range of all pods, of each family; none where it is not known.
    pub pod_cidrs: Vec<IpNet>,
    /// The ranges of Service addresses; none where the API server does not say.
    pub service_cidrs: Vec<IpNet>,
}

impl Facts {
    /// Asks a cluster.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn ask(live: &Live) -> Result<Self, LiveError> {
        let nodes = live.list::<Node>("", "")?;
        let system = live.list::<Pod>("kube-system", "")?;
        let services = match live.list::<ServiceCIDR>("", "") {
            Ok(ranges) => ranges,
            // Older than Kubernetes 1.33, or not allowed: what depends on it is skipped.
            Err(LiveError::Interrupted) => return Err(LiveError::Interrupted),
            Err(_) => Vec::new(),
        };
        let ranges = services.iter().flat_map(|it| it.spec.iter());
        let service_cidrs: Vec<IpNet> = ranges
            .flat_map(|spec| spec.cidrs.iter().flatten())
            .filter_map(|text| text.parse().ok())
            .collect();
        Ok(Self::of(nodes, &system, service_cidrs))
    }

    /// What objects say. `system` are pods that somebody else has started.
    pub fn of(mut nodes: Vec<Node>, system: &[Pod], service_cidrs: Vec<IpNet>) -> Self {
        nodes.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for node in &nodes {
            match why_unusable(node) {
                None => usable.push(real(node)),
                Some(reason) => unusable.push((real(node).name, reason)),
            }
        }
        let is_own =
            |pod: &&Pod| pod.spec.as_ref().and_then(|spec| spec.host_network) != Some(true);
        let seen = system.iter().filter(is_own).flat_map(endpoints::addresses);
        let ranges = usable.iter().flat_map(|node| node.pod_cidrs.iter());
        let known: Vec<IpAddr> = ranges.map(IpNet::addr).chain(seen).collect();
        let known = if known.is_empty() {
            usable
                .iter()
                .flat_map(|node| node.addresses.clone())
                .collect()
        } else {
            known
        };
        let families = match (
            known.iter().any(IpAddr::is_ipv4),
            known.iter().any(IpAddr::is_ipv6),
        ) {
            (true, true) => Families::Dual,
            (false, true) => Families::Ipv6,
            _ => Families::Ipv4,
        };
        let pod_cidrs = pod_cidrs(&usable, &service_cidrs);
        Self {
            nodes: usable,
            unusable,
            families,
            pod_cidrs,
            service_cidrs,
        }
    }

    /// Whether pods have addresses of a family.
    pub fn has(&self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.families != Families::Ipv6,
            Family::Ipv6 => self.families != Families::Ipv4,
        }
    }
}

fn real(node: &Node) -> RealNode {
    let spec = node.spec.clone().unwrap_or_default();
    let ranges = spec.pod_cidrs.or(spec.pod_cidr.map(|range| vec![range]));
    let status = node.status.clone().unwrap_or_default();
    let addresses = status.addresses.into_iter().flatten();
    RealNode {
        name: node.metadata.name.clone().unwrap_or_default(),
        addresses: addresses
            .filter(|address| address.type_ == "InternalIP")
            .filter_map(|address| address.address.parse().ok())
            .collect(),
        pod_cidrs: ranges
            .iter()
            .flatten()
            .filter_map(|text| text.parse().ok())
            .collect(),
    }
}

/// Why a node takes no pods of ours; nothing if it does.
fn why_unusable(node: &Node) -> Option<String> {
    let spec = node.spec.clone().unwrap_or_default();
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let system = labels.get("kubernetes.io/os");
    if let Some(system) = system.filter(|system| *system != "linux") {
        return Some(format!("it runs {system}"));
    }
    if spec.unschedulable == Some(true) {
        return Some("it is cordoned".to_owned());
    }
    let taints = spec.taints.into_iter().flatten();
    if let Some(taint) = taints
        .into_iter()
        .find(|taint| taint.effect != "PreferNoSchedule")
    {
        return Some(format!("it has the taint {}:{}", taint.key, taint.effect));
    }
    let status = node.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .into_iter()
        .flatten()
        .find(|it| it.type_ == "Ready");
    match ready {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some(format!(
            "it is not ready: {}",
            ready.message.or(ready.reason).unwrap_or_default()
        )),
        None => Some("it has not said that it is ready".to_owned()),
    }
}

/// The smallest range of each family that all pods of these nodes lie in. Nothing where nodes do not
/// say, or where others lie in it, too.
fn pod_cidrs(nodes: &[RealNode], service_cidrs: &[IpNet]) -> Vec<IpNet> {
    let range = |is_ipv6: bool| {
        let own = |node: &RealNode| {
            let mut ranges = node.pod_cidrs.iter();
            ranges
                .find(|range| range.addr().is_ipv6() == is_ipv6)
                .copied()
        };
        let ranges: Vec<IpNet> = nodes.iter().map(own).collect::<Option<_>>()?;
        let first = *ranges.first()?;
        let mut around = first;
        while !ranges.iter().all(|range| around.contains(range)) {
            around = around.supernet()?;
        }
        let mut others = nodes.iter().flat_map(|node| node.addresses.iter());
        let is_alone = !others.any(|address| around.contains(address))
            && !service_cidrs.iter().any(|other| around.contains(other));
        is_alone.then_some(around)
    };
    [false, true].into_iter().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, spec: &str, ready: &str) -> Node {
        let text = format!(
            r#"{{"metadata": {{"name": "{name}"}}, "spec": {spec}, "status": {{
                "addresses": [{{"type": "InternalIP", "address": "172.18.0.2"}}],
                "conditions": [{{"type": "Ready", "status": "{ready}", "message": "no network"}}]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn nodes_that_take_no_pods_are_told_with_the_reason() {
        let nodes = vec![
            node("d", r#"{"podCIDR": "10.244.1.0/24"}"#, "True"),
            node("a", r#"{"unschedulable": true}"#, "True"),
            node(
                "b",
                r#"{"taints": [{"key": "node-role", "effect": "NoSchedule"}]}"#,
                "True",
            ),
            node("c", "{}", "False"),
        ];
        let facts = Facts::of(nodes, &[], Vec::new());
        let names: Vec<_> = facts.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["d"]);
        let told: Vec<_> = facts
            .unusable
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        assert_eq!(
            told,
            [
                "a: it is cordoned",
                "b: it has the taint node-role:NoSchedule",
                "c: it is not ready: no network"
            ]
        );
        assert_eq!(facts.families, Families::Ipv4);
    }

    #[test]
    fn the_range_of_all_pods_is_that_around_those_of_the_nodes() {
        let spec =
            |one: u8| format!(r#"{{"podCIDRs": ["10.244.{one}.0/24", "fd00:10:244:{one}::/64"]}}"#);
        let nodes = vec![node("a", &spec(1), "True"), node("b", &spec(2), "True")];
        let facts = Facts::of(nodes.clone(), &[], Vec::new());
        let ranges: Vec<_> = facts.pod_cidrs.iter().map(ToString::to_string).collect();
        assert_eq!(ranges, ["10.244.0.0/22", "fd00:10:244::/62"]);
        assert_eq!(facts.families, Families::Dual);
        // Somebody else's addresses in it would be taken for pods.
        let services = vec!["10.244.3.0/24".parse().unwrap()];
        let facts = Facts::of(nodes, &[], services);
        assert_eq!(facts.pod_cidrs.len(), 1);
    }
}
