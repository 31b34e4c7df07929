//! From NetworkPolicy to the policy model.
//!
//! Never fails: objects that a server stored must be enforced whatever is in them. What cannot be
//! read is left out of what the policy allows, so it never opens anything, and nothing else is
//! touched (semantics 227). Ranges are read as the server that stored them did (semantics 78, 79).

use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    address::Range,
    default::default_network_policy,
    error::FieldError,
    selector::read_selector,
    stored::Unknown,
    validate::{validate_peer_kind, validate_port},
};
use crate::{
    policy::{
        Action, Direction, NamespaceScope, Order, Peer, Peers, Policy, PolicyRef, PortMatch,
        PortRange, Ports, Protocol, Rule, Selector, Subject, Tier,
    },
    yaml::FieldPath,
};

pub(super) const INGRESS: &str = "Ingress";
pub(super) const EGRESS: &str = "Egress";
pub(super) const TCP: &str = "TCP";
pub(super) const UDP: &str = "UDP";
pub(super) const SCTP: &str = "SCTP";

/// A policy's identity.
pub fn policy_ref(policy: &NetworkPolicy) -> PolicyRef {
    PolicyRef::network_policy(
        policy.metadata.namespace.as_deref().unwrap_or_default(),
        policy.metadata.name.as_deref().unwrap_or_default(),
    )
}

/// What a policy means: one entry per direction it is about, ingress first.
///
/// Where something cannot be read, [`Policy::broken`] says what, and it fails closed with the
/// smallest reach: a port or peer matches nothing; a subject that cannot be told isolates all pods
/// of the namespace, an unknown policy type isolates both directions, and then nothing is allowed.
pub fn lower_network_policy(policy: &NetworkPolicy) -> Vec<Policy> {
    lower_stored_network_policy(policy, &[])
}

/// What a policy means that a server sent; `unknown` is what [`network_policy_from_json`] did not
/// know in it, for the reasons in [`Policy::broken`].
///
/// [`network_policy_from_json`]: super::network_policy_from_json
pub fn lower_stored_network_policy(policy: &NetworkPolicy, unknown: &[Unknown]) -> Vec<Policy> {
    let mut policy = policy.clone();
    default_network_policy(&mut policy);
    let origin = policy_ref(&policy);
    let spec = policy.spec.unwrap_or_default();
    let path = FieldPath::root().key("spec");

    let mut unreadable = Unreadable {
        unknown,
        reasons: Vec::new(),
    };
    let subject = Subject {
        namespaces: NamespaceScope::Named(Arc::clone(&origin.namespace)),
        pods: read_subject(&spec, &path, &mut unreadable),
    };
    let directions = read_directions(&spec, &path, &mut unreadable);
    // Rules of a policy that is about more pods or directions than was meant would open those.
    let is_misplaced = !unreadable.reasons.is_empty();
    directions
        .into_iter()
        .map(|direction| {
            let mut unreadable = unreadable.clone();
            let rules = parts(&spec, direction)
                .into_iter()
                .filter(|_| !is_misplaced)
                .enumerate()
                .map(|(index, parts)| Rule {
                    action: Action::Allow,
                    peers: read_peers(&origin.namespace, &parts, &path, index, &mut unreadable),
                    ports: read_ports(&parts, &path, index, &mut unreadable),
                    index,
                })
                .collect();
            Policy {
                origin: origin.clone(),
                subject: subject.clone(),
                direction,
                tier: Tier::NetworkPolicy,
                order: Order::UNORDERED,
                rules,
                broken: unreadable.reason(),
            }
        })
        .collect()
}

/// What could not be read, and what became of it.
#[derive(Clone)]
struct Unreadable<'a> {
    /// What is not known in the object, which says more than the error it leads to.
    unknown: &'a [Unknown],
    reasons: Vec<Arc<str>>,
}

impl Unreadable<'_> {
    /// Returns the reason.
    fn push(&mut self, error: &FieldError, consequence: &str) -> Arc<str> {
        let unknown = self.unknown.iter().filter(|u| u.closed(&error.path));
        let causes: Vec<_> = unknown.map(ToString::to_string).collect();
        let cause: Arc<str> = if causes.is_empty() {
            error.to_string().into()
        } else {
            causes.join(", ").into()
        };
        let reason = format!("{cause}; {consequence}").into();
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
        cause
    }

    fn reason(self) -> Option<Arc<str>> {
        (!self.reasons.is_empty()).then(|| self.reasons.join("\n").into())
    }
}

fn read_subject(
    spec: &NetworkPolicySpec,
    path: &FieldPath,
    unreadable: &mut Unreadable<'_>,
) -> Selector {
    let Some(selector) = &spec.pod_selector else {
        return Selector::EVERYTHING;
    };
    read_selector(selector, &path.key("podSelector")).unwrap_or_else(|error| {
        unreadable.push(
            &error,
            "all pods of the namespace are isolated, and nothing is allowed",
        );
        Selector::EVERYTHING
    })
}

fn read_directions(
    spec: &NetworkPolicySpec,
    path: &FieldPath,
    unreadable: &mut Unreadable<'_>,
) -> Vec<Direction> {
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let mut is_known = true;
    for (index, value) in types.iter().enumerate() {
        if ![INGRESS, EGRESS].contains(&value.as_str()) {
            is_known = false;
            let path = path.key("policyTypes").index(index);
            let error = FieldError::not_supported(path, value, &[INGRESS, EGRESS]);
            unreadable.push(
                &error,
                "both directions are isolated, and nothing is allowed",
            );
        }
    }
    let has = |name: &str| !is_known || types.iter().any(|value| value == name);
    [(INGRESS, Direction::Ingress), (EGRESS, Direction::Egress)]
        .into_iter()
        .filter(|(name, _)| has(name))
        .map(|(_, direction)| direction)
        .collect()
}

/// What a rule of either direction consists of.
struct Parts<'a> {
    /// `ingress` or `egress`.
    list: &'static str,
    /// `from` or `to`.
    peers_field: &'static str,
    peers: &'a [NetworkPolicyPeer],
    ports: &'a [NetworkPolicyPort],
}

fn parts(spec: &NetworkPolicySpec, direction: Direction) -> Vec<Parts<'_>> {
    match direction {
        Direction::Ingress => spec
            .ingress
            .iter()
            .flatten()
            .map(|rule| Parts {
                list: "ingress",
                peers_field: "from",
                peers: rule.from.as_deref().unwrap_or_default(),
                ports: rule.ports.as_deref().unwrap_or_default(),
            })
            .collect(),
        Direction::Egress => spec
            .egress
            .iter()
            .flatten()
            .map(|rule| Parts {
                list: "egress",
                peers_field: "to",
                peers: rule.to.as_deref().unwrap_or_default(),
                ports: rule.ports.as_deref().unwrap_or_default(),
            })
            .collect(),
    }
}

/// An absent list and an empty one both mean everyone (semantics 43); a list of which nothing could
/// be read means nobody.
fn read_peers(
    namespace: &Arc<str>,
    parts: &Parts<'_>,
    spec: &FieldPath,
    rule: usize,
    unreadable: &mut Unreadable<'_>,
) -> Peers {
    if parts.peers.is_empty() {
        return Peers::Any;
    }
    let path = spec.key(parts.list).index(rule).key(parts.peers_field);
    // Each keeps its place, so that explanations count as the object does.
    let read = |(index, peer)| {
        read_peer(namespace, peer, &path.index(index))
            .unwrap_or_else(|e| Peer::Unreadable(unreadable.push(&e, "this peer matches nobody")))
    };
    Peers::OneOf(parts.peers.iter().enumerate().map(read).collect())
}

/// An absent list and an empty one both mean every port of every protocol (semantics 84).
fn read_ports(
    parts: &Parts<'_>,
    spec: &FieldPath,
    rule: usize,
    unreadable: &mut Unreadable<'_>,
) -> Ports {
    if parts.ports.is_empty() {
        return Ports::All;
    }
    let path = spec.key(parts.list).index(rule).key("ports");
    let readable = |(index, port)| match read_port(port, &path.index(index)) {
        Ok(port) => Some(port),
        Err(error) => {
            unreadable.push(&error, "this entry matches no port");
            None
        }
    };
    Ports::OneOf(
        parts
            .ports
            .iter()
            .enumerate()
            .filter_map(readable)
            .collect(),
    )
}

fn read_peer(
    namespace: &Arc<str>,
    peer: &NetworkPolicyPeer,
    path: &FieldPath,
) -> Result<Peer, FieldError> {
    if let Some(error) = validate_peer_kind(peer, path) {
        return Err(error);
    }
    if let Some(block) = &peer.ip_block {
        return read_block(block, &path.key("ipBlock"));
    }
    let namespaces = match &peer.namespace_selector {
        None => NamespaceScope::Named(Arc::clone(namespace)),
        Some(selector) => {
            NamespaceScope::Matching(read_selector(selector, &path.key("namespaceSelector"))?)
        }
    };
    let pods = match &peer.pod_selector {
        None => Selector::EVERYTHING,
        Some(selector) => read_selector(selector, &path.key("podSelector"))?,
    };
    Ok(Peer::Pods { namespaces, pods })
}

/// A block with all its holes: a hole that cannot be read could have been anywhere in it.
fn read_block(block: &IPBlock, path: &FieldPath) -> Result<Peer, FieldError> {
    let cidr = read_range(&block.cidr, &path.key("cidr"))?;
    let is_ipv4 = |network: &IpNet| matches!(network, IpNet::V4(_));
    let mut except = Vec::new();
    for (index, hole) in block.except.iter().flatten().enumerate() {
        let hole = read_range(hole, &path.key("except").index(index))?;
        // A hole of the other family takes nothing away.
        if is_ipv4(&hole) == is_ipv4(&cidr) {
            except.push(hole);
        }
    }
    Ok(Peer::Block { cidr, except })
}

fn read_range(text: &str, path: &FieldPath) -> Result<IpNet, FieldError> {
    Range::parse(text).map(Range::network).ok_or_else(|| {
        FieldError::invalid(
            path.clone(),
            text,
            "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        )
    })
}

fn read_port(port: &NetworkPolicyPort, path: &FieldPath) -> Result<PortMatch, FieldError> {
    if let Some(error) = validate_port(port, path).into_iter().next() {
        return Err(error);
    }
    let protocol = match port.protocol.as_deref() {
        Some(UDP) => Protocol::Udp,
        Some(SCTP) => Protocol::Sctp,
        // Anything else has been refused above.
        _ => Protocol::Tcp,
    };
    let number = |value: i32| u16::try_from(value).unwrap_or_default();
    Ok(match &port.port {
        None => PortMatch::Range(protocol, PortRange::ALL),
        Some(IntOrString::String(name)) => PortMatch::Named(protocol, name.as_str().into()),
        Some(IntOrString::Int(first)) => {
            let last = port.end_port.unwrap_or(*first);
            // The validation has seen to the order of the two.
            let range = PortRange::new(number(*first), number(last))
                .unwrap_or_else(|| PortRange::single(number(*first)));
            PortMatch::Range(protocol, range)
        }
    })
}
