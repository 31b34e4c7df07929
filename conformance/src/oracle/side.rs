//! One side of a connection: a pod, and whether its policies let the connection pass.

use std::{fmt, net::IpAddr};

use super::{
    Connection, World,
    place::{Place, node_of},
    policy::{Bearing, bearing, lets_pass, title},
    trace::Trace,
};

/// Seen from the pod whose policies are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The connection comes to it.
    Ingress,
    /// The connection comes from it.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The two ends as one side sees them.
#[derive(Debug)]
pub(super) struct Side<'a> {
    pub(super) direction: Direction,
    /// Whose policies are asked.
    pub(super) subject: &'a Place<'a>,
    /// Who is on the other end.
    pub(super) other: &'a Place<'a>,
    /// The address of the other end.
    pub(super) other_address: IpAddr,
}

/// Whether a side lets the connection pass. Policies are about pods: nodes, hostNetwork pods and
/// machines outside are never restricted (41, 171, 172, 174). A pod and its own node always reach
/// each other (129, 164, 165). A pod that no policy selects for the direction is open (1, 13); one
/// that is selected passes what any rule of any of these policies allows (130), and nothing else
/// (2, 7).
pub(super) fn allows(
    world: &World,
    connection: &Connection,
    side: &Side<'_>,
    trace: &mut Trace,
) -> bool {
    let Side {
        direction,
        subject,
        other,
        ..
    } = *side;
    let Place::Pod(pod) = *subject else {
        let reason = format!("{subject} is not a pod: no policy restricts its {direction}");
        trace.say(&[41, 171, 172], reason);
        return true;
    };
    if let Place::Node(node) = *other
        && node_of(pod) == Some(node)
    {
        let lines: &[u16] = match direction {
            Direction::Ingress => &[164],
            Direction::Egress => &[129, 165],
        };
        let reason = format!("{other} is {subject}'s own node: its {direction} is always allowed");
        trace.say(lines, reason);
        return true;
    }
    let bearings = world
        .policies
        .iter()
        .map(|policy| (policy, bearing(policy, direction, pod, trace)));
    let isolating: Vec<_> = bearings.filter(|(_, how)| *how != Bearing::None).collect();
    if isolating.is_empty() {
        trace.say(
            &[1],
            format!("{subject} is not isolated for {direction}: no policy selects it"),
        );
        return true;
    }
    let titles: Vec<_> = isolating.iter().map(|(policy, _)| title(policy)).collect();
    let reason = format!(
        "{subject} is isolated for {direction} by {}",
        titles.join(", ")
    );
    trace.say(&[130], reason);
    for (policy, how) in &isolating {
        if let Bearing::Closes(why) = how {
            let reason = format!("{} cannot be read and allows nothing: {why}", title(policy));
            trace.say(&[227], reason);
        } else if lets_pass(world, policy, side, connection, trace) {
            return true;
        }
    }
    false
}
