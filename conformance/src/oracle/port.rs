//! One entry of `ports`.

use k8s_openapi::{
    api::{
        core::v1::{Container, ContainerPort, Pod},
        networking::v1::NetworkPolicyPort,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Connection,
    place::Place,
    trace::{Match, Trace},
};
use crate::cell::Protocol;

/// Whether a port entry covers the connection's protocol and destination port; the source port is
/// never asked (107). ICMP has no port, so no entry covers it (115). Without a port it means every
/// port of its protocol (89, 90); a number means that port (85) or the first of a range (101); a
/// name is looked up on the destination pod (91).
pub(super) fn covers(
    port: &NetworkPolicyPort,
    connection: &Connection,
    destination: &Place<'_>,
    trace: &mut Trace,
) -> Match {
    let Some(protocol) = protocol_of(port.protocol.as_deref()) else {
        let given = port.protocol.as_deref().unwrap_or_default();
        return unreadable(trace, 230, format!("no protocol is called `{given}`"));
    };
    let numbers = match (&port.port, port.end_port) {
        (None, None) => Numbers::All,
        (None, Some(_)) => return unreadable(trace, 235, "endPort has no port".to_owned()),
        (Some(IntOrString::String(_)), Some(_)) => {
            return unreadable(trace, 234, "endPort stands beside a named port".to_owned());
        }
        (Some(IntOrString::String(name)), None) => Numbers::Named(name),
        (Some(IntOrString::Int(first)), last) => {
            let last = last.unwrap_or(*first);
            if !(1..=65_535).contains(first) || !(1..=65_535).contains(&last) {
                return unreadable(trace, 231, format!("{first}-{last} are not ports"));
            }
            if last < *first {
                return unreadable(trace, 233, format!("endPort {last} is below port {first}"));
            }
            Numbers::Range(*first, last)
        }
    };
    if connection.protocol == Protocol::Icmp {
        trace.used(&[115]);
        return Match::No("ICMP has no port, only a rule without ports covers it".to_owned());
    }
    if protocol != connection.protocol {
        trace.used(&[108, 110]);
        return Match::No(format!(
            "the connection is {}, the rule wants {protocol}",
            connection.protocol
        ));
    }
    numbers.cover(protocol, connection, destination, trace)
}

/// Which ports of a protocol an entry means.
enum Numbers<'a> {
    All,
    Range(i32, i32),
    Named(&'a str),
}

impl Numbers<'_> {
    fn cover(
        &self,
        protocol: Protocol,
        connection: &Connection,
        destination: &Place<'_>,
        trace: &mut Trace,
    ) -> Match {
        let asked = connection.port.map(i32::from);
        let asked_text = connection.port.unwrap_or_default();
        match *self {
            Self::All => {
                trace.used(&[90]);
                Match::Yes
            }
            Self::Range(first, last) if first == last => {
                trace.used(&[85]);
                yes_or(asked == Some(first), || {
                    format!("the port is {asked_text}, the rule wants {first}")
                })
            }
            Self::Range(first, last) => {
                trace.used(&[101, 105]);
                yes_or(
                    asked.is_some_and(|asked| first <= asked && asked <= last),
                    || format!("the port is {asked_text}, the rule wants {first}-{last}"),
                )
            }
            Self::Named(name) => named(name, protocol, asked, destination, trace),
        }
    }
}

/// A name means the number that the destination pod's containers give it in this protocol (91, 92,
/// 93), the first of them if several do; on a pod without it (94) and where no pod is meant (97) it
/// means nothing.
fn named(
    name: &str,
    protocol: Protocol,
    asked: Option<i32>,
    destination: &Place<'_>,
    trace: &mut Trace,
) -> Match {
    let Place::Pod(pod) = destination else {
        trace.used(&[97]);
        return Match::No(format!(
            "{destination} is not meant as a pod, so nothing is called {name}"
        ));
    };
    let has_name = |port: &&ContainerPort| {
        port.name.as_deref() == Some(name) && container_protocol(port) == Some(protocol)
    };
    let Some(port) = ports_of(pod).into_iter().find(has_name) else {
        trace.used(&[93, 94]);
        return Match::No(format!(
            "{destination} has no {protocol} port called {name}"
        ));
    };
    trace.used(&[91, 92]);
    yes_or(asked == Some(port.container_port), || {
        format!("{name} is {} on {destination}", port.container_port)
    })
}

/// Ports of all containers, and of init containers that go on running.
fn ports_of(pod: &Pod) -> Vec<&ContainerPort> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let goes_on = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(goes_on);
    let containers = spec.containers.iter().chain(sidecars);
    containers.flat_map(|c| c.ports.iter().flatten()).collect()
}

/// The protocol of a container's port; TCP where it is absent or empty.
fn container_protocol(port: &ContainerPort) -> Option<Protocol> {
    protocol_of(port.protocol.as_deref().filter(|text| !text.is_empty()))
}

/// The protocol of a rule's port; TCP where none is given (88). Case matters (230).
fn protocol_of(text: Option<&str>) -> Option<Protocol> {
    match text {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

fn yes_or(holds: bool, why: impl FnOnce() -> String) -> Match {
    if holds { Match::Yes } else { Match::No(why()) }
}

fn unreadable(trace: &mut Trace, line: u16, why: String) -> Match {
    trace.used(&[227, line]);
    Match::Unreadable(why)
}
