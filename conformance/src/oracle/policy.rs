//! One policy: for which direction it isolates, whom, and what its rules let pass.

use k8s_openapi::api::{
    core::v1::Pod,
    networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
};

use super::{
    Connection, World, peer,
    place::{Place, name_of, namespace_of},
    port,
    selector::{Labels, selects},
    side::{Direction, Side},
    trace::{Match, Trace},
};

/// How a policy bears on a pod in one direction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bearing {
    /// Not at all.
    None,
    /// It isolates the pod, and its rules may let connections pass.
    Isolates,
    /// It cannot be read: it isolates the pod, and nothing passes by it (227).
    Closes(String),
}

/// `namespace/name` of a policy.
pub(super) fn title(policy: &NetworkPolicy) -> String {
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    format!("{}/{name}", namespace(policy))
}

fn namespace(policy: &NetworkPolicy) -> &str {
    policy.metadata.namespace.as_deref().unwrap_or("default")
}

/// Whether a policy selects a pod for a direction. It does so only in its own namespace (22), for
/// the directions of its types, and if its podSelector matches; an absent podSelector is the empty
/// one (26, 27). If the types or the podSelector cannot be read, it closes every pod that it might
/// have been meant for (227).
pub(super) fn bearing(
    policy: &NetworkPolicy,
    direction: Direction,
    pod: &Pod,
    trace: &mut Trace,
) -> Bearing {
    if namespace(policy) != namespace_of(pod) {
        return Bearing::None;
    }
    let nothing = NetworkPolicySpec::default();
    let spec = policy.spec.as_ref().unwrap_or(&nothing);
    let unreadable_types = match isolates_for(spec, trace) {
        Ok(directions) if directions.contains(&direction) => None,
        Ok(_) => return Bearing::None,
        Err(why) => Some(why),
    };
    let everyone = k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector::default();
    let selector = spec.pod_selector.as_ref().unwrap_or(&everyone);
    let none = Labels::new();
    let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
    match (
        selects(selector, name_of(pod), labels, trace),
        unreadable_types,
    ) {
        (Match::No(_), _) => Bearing::None,
        (Match::Unreadable(why), _) | (Match::Yes, Some(why)) => Bearing::Closes(why),
        (Match::Yes, None) => Bearing::Isolates,
    }
}

/// The directions a policy isolates for. Given types are taken as they are (13–17). Absent or
/// empty ones mean ingress (8, 11), and egress too if there is at least one egress rule (9, 10).
fn isolates_for(spec: &NetworkPolicySpec, trace: &mut Trace) -> Result<Vec<Direction>, String> {
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let has_egress_rules = !spec.egress.as_deref().unwrap_or_default().is_empty();
    if types.is_empty() && has_egress_rules {
        trace.used(&[9]);
        return Ok(vec![Direction::Ingress, Direction::Egress]);
    }
    if types.is_empty() {
        trace.used(&[8, 10, 11]);
        return Ok(vec![Direction::Ingress]);
    }
    let read = |name: &String| match name.as_str() {
        "Ingress" => Ok(Direction::Ingress),
        "Egress" => Ok(Direction::Egress),
        _ => Err(format!("no policyType is called `{name}`")),
    };
    let directions = types.iter().map(read).collect();
    trace.used(if Result::is_ok(&directions) {
        &[12]
    } else {
        &[227, 242]
    });
    directions
}

/// Whether a rule of the policy lets the connection pass this side; any one is enough (130). Rules
/// never mix: the ports of one go with the peers of the same (61, 87).
pub(super) fn lets_pass(
    world: &World,
    policy: &NetworkPolicy,
    side: &Side<'_>,
    connection: &Connection,
    trace: &mut Trace,
) -> bool {
    let title = title(policy);
    let rules = rules(policy, side.direction);
    if rules.is_empty() {
        let line = if side.direction == Direction::Ingress {
            2
        } else {
            7
        };
        trace.say(&[line], format!("{title} has no {} rules", side.direction));
    }
    for (index, rule) in rules.iter().enumerate() {
        let asked = Asked {
            world,
            side,
            connection,
            namespace: namespace(policy),
            name: format!("{title} {}[{index}]", side.direction),
        };
        let reach = asked.peers(rule, trace);
        if asked.ports(rule, reach, trace) && reach != Reach::Nobody {
            trace.say(&[130], format!("{} allows it", asked.name));
            return true;
        }
    }
    false
}

/// A rule of either direction.
struct Rule<'a> {
    /// `from` or `to`.
    peers: &'a [NetworkPolicyPeer],
    ports: &'a [NetworkPolicyPort],
}

/// The rules of a direction. A list that is absent or null is empty (2–4, 7).
fn rules(policy: &NetworkPolicy, direction: Direction) -> Vec<Rule<'_>> {
    let spec = policy.spec.iter();
    match direction {
        Direction::Ingress => spec
            .flat_map(|spec| spec.ingress.iter().flatten())
            .map(|rule| Rule {
                peers: rule.from.as_deref().unwrap_or_default(),
                ports: rule.ports.as_deref().unwrap_or_default(),
            })
            .collect(),
        Direction::Egress => spec
            .flat_map(|spec| spec.egress.iter().flatten())
            .map(|rule| Rule {
                peers: rule.to.as_deref().unwrap_or_default(),
                ports: rule.ports.as_deref().unwrap_or_default(),
            })
            .collect(),
    }
}

/// How the peers of a rule reach the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Not at all.
    Nobody,
    /// By an `ipBlock` only: as an address, whoever has it.
    Address,
    /// By selectors, or because everyone is meant: as a pod, if it is one.
    Pod,
}

/// One rule, asked about one connection.
struct Asked<'a> {
    world: &'a World,
    side: &'a Side<'a>,
    connection: &'a Connection,
    /// The policy's.
    namespace: &'a str,
    /// `x/allow-b ingress[0]`.
    name: String,
}

impl Asked<'_> {
    /// Which of the peers covers the other end (52, 59). No peers mean everyone, in and out of the
    /// cluster (43), nodes included (168).
    fn peers(&self, rule: &Rule<'_>, trace: &mut Trace) -> Reach {
        let field = match self.side.direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        if rule.peers.is_empty() {
            trace.used(&[43]);
            return Reach::Pod;
        }
        let Side {
            other,
            other_address,
            ..
        } = *self.side;
        let mut reach = Reach::Nobody;
        for (index, entry) in rule.peers.iter().enumerate() {
            let found = peer::covers(
                self.world,
                entry,
                self.namespace,
                other,
                other_address,
                trace,
            );
            if self.note(&format!("{field}[{index}]"), found, trace) {
                let by_address = entry.ip_block.is_some();
                reach = reach.max(if by_address {
                    Reach::Address
                } else {
                    Reach::Pod
                });
            }
        }
        reach
    }

    /// Whether one of the ports covers the connection's (86). No ports mean every port of every
    /// protocol (84, 114), ICMP included (115). Names are the destination pod's: on ingress the
    /// subject's (91, 96), on egress the peer's, unless the peer is a mere address (97).
    fn ports(&self, rule: &Rule<'_>, reach: Reach, trace: &mut Trace) -> bool {
        if rule.ports.is_empty() {
            trace.used(&[84, 114]);
            return true;
        }
        let address = Place::Outside(self.side.other_address);
        let destination: &Place<'_> = match (self.side.direction, reach) {
            (Direction::Ingress, _) => self.side.subject,
            (Direction::Egress, Reach::Address) => &address,
            (Direction::Egress, Reach::Nobody | Reach::Pod) => self.side.other,
        };
        let mut any = false;
        for (index, entry) in rule.ports.iter().enumerate() {
            let found = port::covers(entry, self.connection, destination, trace);
            any |= self.note(&format!("ports[{index}]"), found, trace);
        }
        any
    }

    fn note(&self, entry: &str, found: Match, trace: &mut Trace) -> bool {
        let name = format!("{}.{entry}", self.name);
        match found {
            Match::Yes => return true,
            Match::No(why) => trace.say(&[], format!("{name} does not match: {why}")),
            Match::Unreadable(why) => {
                trace.say(
                    &[227],
                    format!("{name} cannot be read and matches nothing: {why}"),
                );
            }
        }
        false
    }
}
