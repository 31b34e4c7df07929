//! The oracle: NetworkPolicy v1 as the specification words it, as plainly as possible.
//!
//! It is one of three judges. It reads the objects as people wrote them, applies the API server's
//! defaults itself, and asks one connection at a time; it is slow and holds no state. It shares no
//! code with the compiler, so that a mistake has to be made twice to go unseen: nothing in here
//! may use the `enforcer` crate. Numbers in the documentation are lines of `scenarios/SEMANTICS.md`.
//!
//! Start at [`judge`]. From there:
//! - `place` says who has an address: a pod, a node, or somebody outside;
//! - `hold` knows the addresses of pods that are still to come;
//! - `side` judges one pod in one direction;
//! - `policy` reads one policy: its types, its subjects, its rules;
//! - `peer`, `block` and `port` match one entry of a rule; `selector` matches labels.
//!
//! What it cannot be asked: neighbour discovery and ICMP errors are no connections. The former is
//! judged by [`judge_icmpv6`]; errors related to an allowed connection pass with it (116, 199).

mod block;
mod hold;
mod peer;
mod place;
mod policy;
mod port;
mod selector;
mod side;
mod trace;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod},
    networking::v1::NetworkPolicy,
};

use self::{
    place::{Place, node_of, place_of},
    side::{Direction, Side, allows},
    trace::Trace,
};
use crate::cell::Protocol;

/// Everything a verdict can depend on, as people and the control plane wrote it.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// All namespaces; the label with their name is added where it is missing (56).
    pub namespaces: Vec<Namespace>,
    /// All pods with their status.
    pub pods: Vec<Pod>,
    /// All nodes with their addresses.
    pub nodes: Vec<Node>,
    /// All policies, before or after defaulting.
    pub policies: Vec<NetworkPolicy>,
}

/// The first packet of a connection, after a Service's address was replaced (180).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who sends it, as the destination's node sees it.
    pub source: IpAddr,
    /// Where it goes, after DNAT.
    pub destination: IpAddr,
    /// The node whose process or pod sends it; nothing for a machine outside the cluster.
    pub source_node: Option<String>,
    /// The node whose process or pod it is for; nothing for a machine outside the cluster.
    pub destination_node: Option<String>,
    /// Its protocol. ICMP means an echo request.
    pub protocol: Protocol,
    /// The destination port, after DNAT; nothing for ICMP.
    pub port: Option<u16>,
}

/// What the specification says about a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Judgement {
    /// Whether both sides let it pass (19).
    pub allowed: bool,
    /// Sentences in the order of judging: egress of the source, then ingress of the destination.
    pub reasons: Vec<String>,
    /// The lines of the semantics list that were used, ascending.
    pub lines: Vec<u16>,
}

/// Judges one connection.
///
/// Loopback and a pod's connection to itself pass before any policy is asked (176–178). All else
/// needs both sides: egress at the source and ingress at the destination, each decided for itself
/// (18, 19). Replies belong to the connection and are not judged (20).
pub fn judge(world: &World, connection: &Connection) -> Judgement {
    let mut trace = Trace::default();
    let allowed = is_allowed(world, connection, None, &mut trace);
    trace.into_judgement(allowed)
}

/// Judges one connection as far as one node does, by what it knows of the world: the egress of its
/// own pods and the ingress of its own pods. A connection whose addresses are rewritten on the way
/// (187) looks different to each node it passes, and passes if every one of them lets it.
pub fn judge_on(world: &World, connection: &Connection, node: &str) -> Judgement {
    let mut trace = Trace::default();
    let allowed = is_allowed(world, connection, Some(node), &mut trace);
    trace.into_judgement(allowed)
}

/// Judges whether a node that knows this much of the world holds a connection back because one end
/// is a pod that it has not heard of. The specification leaves it open whether nodes do (217, 218),
/// so [`judge_on`] does not ask.
pub fn judge_hold(world: &World, connection: &Connection, node: &str) -> Judgement {
    let mut trace = Trace::default();
    let allowed = !hold::holds(world, connection, node, &mut trace);
    trace.into_judgement(allowed)
}

/// Judges an ICMPv6 message by its type: neighbour and router discovery (133–137) always pass,
/// also from link-local addresses (117, 198); all else is judged like an echo request.
pub fn judge_icmpv6(world: &World, connection: &Connection, message_type: u8) -> Judgement {
    if (133..=137).contains(&message_type) {
        let mut trace = Trace::default();
        trace.say(&[117, 198], "neighbour discovery always passes".to_owned());
        return trace.into_judgement(true);
    }
    judge(world, connection)
}

fn is_allowed(
    world: &World,
    connection: &Connection,
    only_on: Option<&str>,
    trace: &mut Trace,
) -> bool {
    if connection.destination.is_loopback() {
        let reason = format!(
            "{} is loopback: it never leaves its pod",
            connection.destination
        );
        trace.say(&[177], reason);
        return true;
    }
    let source = place_of(world, connection.source, connection.source_node.as_deref());
    let destination = place_of(
        world,
        connection.destination,
        connection.destination_node.as_deref(),
    );
    if let (Place::Pod(from), Place::Pod(to)) = (&source, &destination)
        && std::ptr::eq(*from, *to)
    {
        trace.say(
            &[176, 178],
            format!("{source} reaches itself: always allowed"),
        );
        return true;
    }
    let egress = Side {
        direction: Direction::Egress,
        subject: &source,
        other: &destination,
        other_address: connection.destination,
    };
    let ingress = Side {
        direction: Direction::Ingress,
        subject: &destination,
        other: &source,
        other_address: connection.source,
    };
    trace.used(&[18, 19]);
    let is_judged = |subject: &Place<'_>, node: &Option<String>| {
        let node = match subject {
            Place::Pod(pod) => node_of(pod),
            Place::Node(_) | Place::Outside(_) => node.as_deref(),
        };
        only_on.is_none_or(|only| node == Some(only))
    };
    let leaves =
        !is_judged(&source, &connection.source_node) || allows(world, connection, &egress, trace);
    let enters = !is_judged(&destination, &connection.destination_node)
        || allows(world, connection, &ingress, trace);
    leaves && enters
}
