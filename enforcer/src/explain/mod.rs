//! Why a connection is allowed or denied: for people, and pure.
//!
//! The lowered policies are asked, not the compiled tables, so that every answer names an object
//! and a rule. A denial is never blamed on one policy: all that isolate the pod are named, and of
//! all rules the one that came [nearest](NearMiss) to allowing it.
//!
//! Start at [`explain`].

mod mismatch;

use std::net::IpAddr;

pub use self::mismatch::Mismatch;
use self::mismatch::{Misses, Question};
use crate::{
    cluster::{Cluster, Pod, PodRef},
    compile::selects,
    plan::Packet,
    policy::{Action, Direction, PolicyRef},
};

/// Both verdicts on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// At the source.
    pub egress: Side,
    /// At the destination.
    pub ingress: Side,
}

impl Explanation {
    /// Whether the connection passes.
    pub fn allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }
}

/// The verdict on one side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The pod of this side; none if its address is not a pod's own.
    pub pod: Option<PodRef>,
    /// Everything that isolates it in this direction.
    pub isolated_by: Vec<PolicyRef>,
    /// Every entry of every rule that allows the connection.
    pub allowed_by: Vec<RuleRef>,
    /// What came nearest, if nothing allows it.
    pub nearest: Option<NearMiss>,
    /// The verdict. It can be positive without a rule: nobody isolates the pod, or the other side is
    /// the pod itself or its own node (semantics 164, 165, 176).
    pub allowed: bool,
}

/// A rule, or one entry of its `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// The object.
    pub policy: PolicyRef,
    /// `ingress` or `egress`.
    pub direction: Direction,
    /// The index in that list.
    pub rule: usize,
    /// The index in `from` or `to`; none for a rule that is about everyone.
    pub peer: Option<usize>,
}

impl std::fmt::Display for RuleRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}[{}]", self.policy, self.direction, self.rule)?;
        match (self.peer, self.direction) {
            (None, _) => Ok(()),
            (Some(peer), Direction::Ingress) => write!(f, ".from[{peer}]"),
            (Some(peer), Direction::Egress) => write!(f, ".to[{peer}]"),
        }
    }
}

/// A rule that does not allow the connection, and what would have to be different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The rule.
    pub rule: RuleRef,
    /// Everything that does not match.
    pub reasons: Vec<Mismatch>,
}

/// Why `packet` passes or does not.
pub fn explain(cluster: &Cluster, packet: &Packet) -> Explanation {
    Explanation {
        egress: side(cluster, packet, Direction::Egress),
        ingress: side(cluster, packet, Direction::Ingress),
    }
}

fn side(cluster: &Cluster, packet: &Packet, direction: Direction) -> Side {
    let (judged, peer) = packet.ends(direction);
    let mut side = Side {
        pod: None,
        isolated_by: Vec::new(),
        allowed_by: Vec::new(),
        nearest: None,
        allowed: true,
    };
    let Some(pod) = cluster.owner(judged) else {
        return side;
    };
    side.pod = Some(pod.reference.clone());
    let isolating: Vec<_> = cluster
        .policies_about(&pod.reference.namespace)
        .filter(|policy| policy.direction == direction && selects(policy, pod, cluster))
        .collect();
    side.isolated_by = isolating
        .iter()
        .map(|policy| policy.origin.clone())
        .collect();
    side.isolated_by.sort();
    side.isolated_by.dedup();
    if isolating.is_empty() {
        return side;
    }
    let question = Question {
        cluster,
        subject: pod,
        direction,
        peer,
        transport: packet.transport,
    };
    let mut misses = Misses::default();
    for policy in isolating {
        for rule in &policy.rules {
            match rule.action {
                Action::Allow => {}
            }
            for (index, reasons) in question.ask(rule) {
                let reference = RuleRef {
                    policy: policy.origin.clone(),
                    direction,
                    rule: rule.index,
                    peer: index,
                };
                if reasons.is_empty() {
                    side.allowed_by.push(reference);
                } else {
                    misses.add(NearMiss {
                        rule: reference,
                        reasons,
                    });
                }
            }
        }
    }
    let is_itself = cluster
        .owner(peer)
        .is_some_and(|other| other.reference == pod.reference);
    side.allowed = !side.allowed_by.is_empty() || is_itself || is_own_node(cluster, pod, peer);
    if !side.allowed {
        side.nearest = misses.nearest();
    }
    side
}

/// Whether `address` is one of the node that `pod` runs on.
fn is_own_node(cluster: &Cluster, pod: &Pod, address: IpAddr) -> bool {
    let Some(node) = pod.node.as_deref() else {
        return false;
    };
    let is_nodes = cluster
        .node(node)
        .is_some_and(|node| node.addresses.contains(&address));
    // A hostNetwork pod's addresses are its node's, also before the node's object has arrived.
    is_nodes
        || cluster
            .pods_on(node)
            .any(|other| other.host_network && other.addresses.contains(&address))
}
