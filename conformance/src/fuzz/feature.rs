//! What random policies make use of, and whether it matters.
//!
//! A feature matters for a connection if the oracle says otherwise once the feature is taken out of
//! every policy. A generator whose features never matter proves nothing.

use std::{collections::BTreeMap, fmt};

use enforcer::options::Options;
use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    generate::words::NOBODY,
    plan::{Judges, honest},
    shrink::is_odd,
    world::{Labels, Life, World},
};
use crate::cell::Cell;

/// Something that a policy can make use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// `matchLabels`.
    MatchLabels,
    /// An expression with this operator.
    Operator(&'static str),
    /// `podSelector` of the policy left out.
    NoSubject,
    /// `podSelector: {}` of the policy.
    EmptySubject,
    /// A peer with a podSelector alone.
    PodPeer,
    /// A peer with a namespaceSelector alone.
    NamespacePeer,
    /// A peer with both selectors.
    BothPeer,
    /// A peer with an ipBlock.
    Block,
    /// An ipBlock of a whole family.
    WholeBlock,
    /// A hole in an ipBlock.
    Except,
    /// A rule about everybody.
    NoPeers,
    /// A rule about every port.
    NoPorts,
    /// `ports: [{}]`.
    EmptyPort,
    /// A protocol without a port.
    ProtocolOnly,
    /// A port by its number.
    Number,
    /// A port by its name.
    Name,
    /// A range of ports.
    EndPort,
    /// Policy types left to the server.
    NoTypes,
    /// Something that no server of today takes.
    Odd,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::MatchLabels,
        Self::Operator("In"),
        Self::Operator("NotIn"),
        Self::Operator("Exists"),
        Self::Operator("DoesNotExist"),
        Self::NoSubject,
        Self::EmptySubject,
        Self::PodPeer,
        Self::NamespacePeer,
        Self::BothPeer,
        Self::Block,
        Self::WholeBlock,
        Self::Except,
        Self::NoPeers,
        Self::NoPorts,
        Self::EmptyPort,
        Self::ProtocolOnly,
        Self::Number,
        Self::Name,
        Self::EndPort,
        Self::NoTypes,
        Self::Odd,
    ];

    /// The policy as it would be without; nothing if it makes no use of it.
    pub fn without(self, policy: &NetworkPolicy) -> Option<NetworkPolicy> {
        let mut changed = policy.clone();
        let spec = changed.spec.get_or_insert_default();
        match self {
            Self::MatchLabels => each_selector(spec, |selector| selector.match_labels = None),
            Self::Operator(operator) => each_selector(spec, |selector| {
                if let Some(expressions) = &mut selector.match_expressions {
                    expressions.retain(|expression| expression.operator != operator);
                }
            }),
            Self::NoSubject => {
                spec.pod_selector.get_or_insert_with(nobody);
            }
            Self::EmptySubject => {
                if spec.pod_selector.as_ref().is_some_and(is_empty) {
                    spec.pod_selector = Some(nobody());
                }
            }
            Self::PodPeer => drop_peers(spec, |p| {
                p.pod_selector.is_some() && p.namespace_selector.is_none()
            }),
            Self::NamespacePeer => drop_peers(spec, |p| {
                p.pod_selector.is_none() && p.namespace_selector.is_some()
            }),
            Self::BothPeer => drop_peers(spec, |p| {
                p.pod_selector.is_some() && p.namespace_selector.is_some()
            }),
            Self::Block => drop_peers(spec, |p| p.ip_block.is_some()),
            Self::WholeBlock => drop_peers(spec, |p| {
                p.ip_block
                    .as_ref()
                    .is_some_and(|block| block.cidr.ends_with("/0"))
            }),
            Self::Except => each_peers(spec, |peers| {
                for peer in peers.iter_mut().flatten() {
                    if let Some(block) = &mut peer.ip_block {
                        block.except = None;
                    }
                }
            }),
            Self::NoPeers => each_peers(spec, |peers| {
                if peers.as_ref().is_none_or(Vec::is_empty) {
                    *peers = Some(vec![no_peer()]);
                }
            }),
            Self::NoPorts => each_ports(spec, |ports| {
                if ports.as_ref().is_none_or(Vec::is_empty) {
                    *ports = Some(vec![no_port()]);
                }
            }),
            Self::EmptyPort => drop_ports(spec, |p| p.port.is_none() && p.protocol.is_none()),
            Self::ProtocolOnly => drop_ports(spec, |p| p.port.is_none() && p.protocol.is_some()),
            Self::Number => drop_ports(spec, |p| {
                matches!(p.port, Some(IntOrString::Int(_))) && p.end_port.is_none()
            }),
            Self::Name => drop_ports(spec, |p| matches!(p.port, Some(IntOrString::String(_)))),
            Self::EndPort => drop_ports(spec, |p| p.end_port.is_some()),
            Self::NoTypes => {
                if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
                    spec.policy_types = Some(vec!["Ingress".to_owned(), "Egress".to_owned()]);
                }
            }
            Self::Odd => {
                if is_odd(policy) {
                    *spec = NetworkPolicySpec {
                        pod_selector: Some(nobody()),
                        ..NetworkPolicySpec::default()
                    };
                }
            }
        }
        (changed != *policy).then_some(changed)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MatchLabels => "matchLabels",
            Self::Operator(operator) => operator,
            Self::NoSubject => "podSelector left out",
            Self::EmptySubject => "podSelector: {}",
            Self::PodPeer => "pods of the namespace",
            Self::NamespacePeer => "pods of namespaces",
            Self::BothPeer => "some pods of namespaces",
            Self::Block => "ipBlock",
            Self::WholeBlock => "ipBlock of a whole family",
            Self::Except => "except",
            Self::NoPeers => "rule about everybody",
            Self::NoPorts => "rule about every port",
            Self::EmptyPort => "ports: [{}]",
            Self::ProtocolOnly => "protocol alone",
            Self::Number => "port by number",
            Self::Name => "port by name",
            Self::EndPort => "endPort",
            Self::NoTypes => "policyTypes left out",
            Self::Odd => "not accepted today",
        })
    }
}

/// How often something was there, and how often it mattered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Cases with it.
    pub cases: u64,
    /// Connections that come out otherwise without it.
    pub decides: u64,
}

/// What a sample of cases made use of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Cases of the sample.
    pub cases: u64,
    /// Connections of these cases.
    pub connections: u64,
    /// Of these, denied ones.
    pub denied: u64,
    /// By feature.
    pub features: BTreeMap<Feature, Use>,
    /// Cases with something in the world that is worth counting.
    pub worlds: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Takes a case into the sample.
    pub fn take(&mut self, world: &World, cells: &[Cell]) {
        let verdicts = verdicts(world, cells);
        self.cases += 1;
        self.connections += verdicts.iter().flatten().count() as u64;
        self.denied += verdicts.iter().flatten().filter(|v| !**v).count() as u64;
        for feature in Feature::ALL {
            let mut other = world.clone();
            let mut is_used = false;
            for policy in &mut other.policies {
                if let Some(changed) = feature.without(policy) {
                    *policy = changed;
                    is_used = true;
                }
            }
            if is_used {
                let others = self::verdicts(&other, cells);
                let differing = verdicts.iter().zip(&others).filter(|(a, b)| a != b);
                let entry = self.features.entry(feature).or_default();
                entry.cases += 1;
                entry.decides += differing.count() as u64;
            }
        }
        for (name, is_there) in peculiarities(world) {
            *self.worlds.entry(name).or_default() += u64::from(is_there);
        }
    }

    /// Takes another sample in.
    pub fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.connections += other.connections;
        self.denied += other.denied;
        for (feature, more) in &other.features {
            let entry = self.features.entry(*feature).or_default();
            entry.cases += more.cases;
            entry.decides += more.decides;
        }
        for (name, more) in &other.worlds {
            *self.worlds.entry(name).or_default() += more;
        }
    }
}

/// A table for a person.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, whole: u64| 100.0 * part as f64 / (whole.max(1)) as f64;
        writeln!(
            f,
            "of {} cases with {} connections, {:.1}% denied:",
            self.cases,
            self.connections,
            share(self.denied, self.connections)
        )?;
        writeln!(
            f,
            "{:<26} {:>8} {:>21}",
            "", "in cases", "decides connections"
        )?;
        for feature in Feature::ALL {
            let used = self.features.get(&feature).copied().unwrap_or_default();
            writeln!(
                f,
                "{:<26} {:>7.1}% {:>20.2}%",
                feature.to_string(),
                share(used.cases, self.cases),
                share(used.decides, self.connections)
            )?;
        }
        for (name, count) in &self.worlds {
            writeln!(f, "{name:<26} {:>7.1}%", share(*count, self.cases))?;
        }
        Ok(())
    }
}

fn verdicts(world: &World, cells: &[Cell]) -> Vec<Option<bool>> {
    let judges = Judges::of(world, Options::default(), honest);
    let verdict = |cell| Some(judges.oracle(cell)?.allowed);
    cells.iter().map(verdict).collect()
}

fn peculiarities(world: &World) -> [(&'static str, bool); 9] {
    let any = |is: fn(&super::world::Pod) -> bool| world.pods.values().any(is);
    let reused = world.pods.values().any(|pod| {
        let mut others = world.pods.values();
        pod.life.is_finished()
            && others.any(|other| {
                other.is_running_apart() && (&other.node, other.host) == (&pod.node, pod.host)
            })
    });
    [
        ("dual stack", world.families.len() > 1),
        ("several nodes", world.nodes.len() > 1),
        ("a hostNetwork pod", any(|pod| pod.host_network)),
        (
            "a terminating pod",
            any(|pod| pod.life == Life::Terminating),
        ),
        (
            "a pod without address",
            any(|pod| pod.life == Life::Pending),
        ),
        ("an address had twice", reused),
        ("an address claimed twice", world.is_late),
        ("several containers", any(|pod| pod.containers.len() > 1)),
        ("one name, two numbers", has_name_twice(world)),
    ]
}

/// Whether two pods give a name of a port different numbers (semantics 92).
fn has_name_twice(world: &World) -> bool {
    let mut numbers: BTreeMap<(&str, crate::cell::Protocol), u16> = BTreeMap::new();
    let mut declared = world.pods.values().flat_map(super::world::Pod::declared);
    declared.any(|port| {
        let Some(name) = &port.name else { return false };
        *numbers.entry((name, port.protocol)).or_insert(port.number) != port.number
    })
}

fn each_selector(spec: &mut NetworkPolicySpec, mut change: impl FnMut(&mut LabelSelector)) {
    if let Some(selector) = &mut spec.pod_selector {
        change(selector);
    }
    each_peers(spec, |peers| {
        for peer in peers.iter_mut().flatten() {
            let both = [&mut peer.pod_selector, &mut peer.namespace_selector];
            both.into_iter().flatten().for_each(&mut change);
        }
    });
}

fn each_peers(
    spec: &mut NetworkPolicySpec,
    mut change: impl FnMut(&mut Option<Vec<NetworkPolicyPeer>>),
) {
    for rule in spec.ingress.iter_mut().flatten() {
        change(&mut rule.from);
    }
    for rule in spec.egress.iter_mut().flatten() {
        change(&mut rule.to);
    }
}

fn each_ports(
    spec: &mut NetworkPolicySpec,
    mut change: impl FnMut(&mut Option<Vec<NetworkPolicyPort>>),
) {
    for rule in spec.ingress.iter_mut().flatten() {
        change(&mut rule.ports);
    }
    for rule in spec.egress.iter_mut().flatten() {
        change(&mut rule.ports);
    }
}

/// Takes peers out; where none is left, one that is nobody stands in, because an empty list would
/// mean everybody.
fn drop_peers(spec: &mut NetworkPolicySpec, is_meant: impl Fn(&NetworkPolicyPeer) -> bool) {
    each_peers(spec, |peers| {
        if let Some(peers) = peers.as_mut().filter(|peers| peers.iter().any(&is_meant)) {
            peers.retain(|peer| !is_meant(peer));
            if peers.is_empty() {
                peers.push(no_peer());
            }
        }
    });
}

/// Takes ports out in the same way.
fn drop_ports(spec: &mut NetworkPolicySpec, is_meant: impl Fn(&NetworkPolicyPort) -> bool) {
    each_ports(spec, |ports| {
        if let Some(ports) = ports.as_mut().filter(|ports| ports.iter().any(&is_meant)) {
            ports.retain(|port| !is_meant(port));
            if ports.is_empty() {
                ports.push(no_port());
            }
        }
    });
}

fn nobody() -> LabelSelector {
    LabelSelector {
        match_labels: Some(Labels::from([(NOBODY.to_owned(), NOBODY.to_owned())])),
        match_expressions: None,
    }
}

fn no_peer() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(nobody()),
        ..NetworkPolicyPeer::default()
    }
}

fn no_port() -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::String(NOBODY.to_owned())),
        ..NetworkPolicyPort::default()
    }
}

fn is_empty(selector: &LabelSelector) -> bool {
    let no_labels = selector.match_labels.as_ref().is_none_or(Labels::is_empty);
    let no_expressions = selector
        .match_expressions
        .as_ref()
        .is_none_or(Vec::is_empty);
    no_labels && no_expressions
}
