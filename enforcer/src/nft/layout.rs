//! What a Plan's tables are in the kernel: names, chains, maps and elements.

use std::{net::IpAddr, sync::Arc};

use super::{
    COMMENT_MAX, FORWARD, HELD, NEIGHBOUR_DISCOVERY, NEIGHBOUR_DISCOVERY_TYPES, READABLE_MAX,
    REVOKED,
    transaction::{Chain, Element, End, Family, Hook, Key, KeyType, Map, Rule, Statement, Target},
};
use crate::{
    options::{Deny, Established},
    plan::{Block, BlockTable, ConnectionId, Grant, Id, Plan, PortSet, Profile, Subject},
    policy::Direction,
};

/// The map from isolated local pods to their profiles.
pub(super) fn dispatch_map(direction: Direction, family: Family) -> Map {
    address_map(format!("{direction}-{family}"), family)
}

pub(super) fn peer_map(id: Id, family: Family) -> Map {
    address_map(format!("peers-{id}-{family}"), family)
}

pub(super) fn block_map(id: Id, family: Family) -> Map {
    Map {
        has_intervals: true,
        ..address_map(format!("blocks-{id}-{family}"), family)
    }
}

fn address_map(name: String, family: Family) -> Map {
    Map {
        name: name.into(),
        key: KeyType::Address(family),
        has_verdicts: true,
        has_intervals: false,
    }
}

/// A set of ports as a map: a hash unless there are ranges.
pub(super) fn port_map(id: Id, ports: &PortSet) -> Map {
    Map {
        name: format!("ports-{id}").into(),
        key: KeyType::Port,
        has_verdicts: true,
        has_intervals: ports.has_ranges(),
    }
}

/// The pairs by which a pod reaches itself.
pub(super) fn own_set(family: Family) -> Map {
    Map {
        name: format!("self-{family}").into(),
        key: KeyType::AddressPair(family),
        has_verdicts: false,
        has_intervals: false,
    }
}

/// The addresses of the node's pod ranges that local pods have.
pub(super) fn programmed_set(family: Family) -> Map {
    Map {
        has_verdicts: false,
        ..address_map(format!("programmed-{family}"), family)
    }
}

pub(super) fn programmed_element(address: IpAddr) -> Element {
    member(Key::Address(address))
}

/// The families in which addresses are held.
pub(super) fn held_families(plan: &Plan) -> impl Iterator<Item = Family> {
    Family::ALL.into_iter().filter(|family| {
        plan.pod_ranges
            .iter()
            .any(|range| Family::of(range.addr()) == *family)
    })
}

pub(super) fn neighbour_discovery_set() -> Map {
    Map {
        name: NEIGHBOUR_DISCOVERY.into(),
        key: KeyType::Icmpv6Type,
        has_verdicts: false,
        has_intervals: false,
    }
}

pub(super) fn neighbour_discovery_elements() -> Vec<Element> {
    NEIGHBOUR_DISCOVERY_TYPES
        .map(|number| member(Key::Icmpv6Type(number)))
        .into()
}

/// The element of an isolated local pod.
pub(super) fn dispatch_element(plan: &Plan, address: IpAddr, subject: &Subject) -> Element {
    let profile = &plan.profiles[&subject.profile];
    Element {
        key: Key::Address(address),
        target: Some(Target::Jump(profile_name(subject.profile, profile))),
        comment: Some(comment(subject.pod.to_string())),
    }
}

pub(super) fn peer_element(direction: Direction, address: IpAddr, grant: Grant) -> Element {
    Element {
        key: Key::Address(address),
        target: Some(grant_target(direction, grant)),
        comment: None,
    }
}

pub(super) fn block_elements(table: &BlockTable, family: Family) -> Vec<Element> {
    let of_family = |block: &&Block| Family::of(block.first) == family;
    let element = |block: &Block| Element {
        key: Key::AddressRange(block.first, block.last),
        target: Some(grant_target(table.direction, block.grant)),
        comment: None,
    };
    table.blocks.iter().filter(of_family).map(element).collect()
}

pub(super) fn port_elements(ports: &PortSet) -> Vec<Element> {
    ports
        .ranges()
        .map(|(protocol, range)| Element {
            key: Key::Ports(protocol, range),
            target: Some(Target::Return),
            comment: None,
        })
        .collect()
}

pub(super) fn own_element(source: IpAddr, destination: IpAddr) -> Element {
    member(Key::AddressPair(source, destination))
}

fn member(key: Key) -> Element {
    Element {
        key,
        target: None,
        comment: None,
    }
}

fn grant_target(direction: Direction, grant: Grant) -> Target {
    match grant {
        Grant::Everything => Target::Return,
        Grant::Ports(id) => Target::Goto(port_chain(direction, id).name),
    }
}

/// The chain that is hooked.
pub(super) fn forward_chain() -> Chain {
    Chain {
        name: FORWARD.into(),
        hook: Some(Hook::Forward),
    }
}

/// What every forwarded packet goes through. Only what options ask for is there.
pub(super) fn forward_rules(plan: &Plan) -> Vec<Rule> {
    let mut rules = Vec::new();
    if revokes(plan) {
        rules.push(rule(Statement::Go(Target::Jump(revoked_chain().name))));
    }
    rules.push(rule(Statement::AcceptReplies));
    rules.push(rule(Statement::AcceptIcmpv6 {
        set: NEIGHBOUR_DISCOVERY.into(),
    }));
    let ends = [End::Source, End::Destination];
    for end in ends {
        for range in &plan.pod_ranges {
            rules.push(rule(Statement::GoUnlessMember {
                range: *range,
                end,
                set: programmed_set(Family::of(range.addr())).name,
                target: Target::Goto(held_chain().name),
            }));
        }
    }
    for (direction, end) in [Direction::Egress, Direction::Ingress]
        .into_iter()
        .zip(ends)
    {
        for family in Family::ALL {
            rules.push(rule(Statement::AskAddress {
                family,
                end,
                map: dispatch_map(direction, family).name,
            }));
        }
    }
    rules
}

/// Whether live connections can be cut.
pub(super) fn revokes(plan: &Plan) -> bool {
    plan.options.established == Established::Revoke
}

/// Where connections that are cut leave the way of all others.
pub(super) fn revoked_chain() -> Chain {
    chain(REVOKED.into())
}

pub(super) fn revoked_rules<'a>(
    connections: impl IntoIterator<Item = &'a ConnectionId>,
) -> Vec<Rule> {
    let connections: Vec<_> = connections.into_iter().copied().collect();
    if connections.is_empty() {
        return Vec::new();
    }
    vec![rule(Statement::GoIfOneOf {
        connections,
        target: Target::Goto(denied_revoked_chain().name),
    })]
}

/// Where connections end that are cut.
pub(super) fn denied_revoked_chain() -> Chain {
    chain(format!("denied-{REVOKED}"))
}

/// Where packets end of addresses that wait for their pod.
pub(super) fn held_chain() -> Chain {
    chain(HELD.into())
}

/// Never rejected: a pod that begins sends again, and then passes.
pub(super) fn held_rules() -> Vec<Rule> {
    vec![rule(Statement::Drop)]
}

/// Where everything ends that nothing allowed.
pub(super) fn denied_chain(direction: Direction) -> Chain {
    chain(format!("denied-{direction}"))
}

pub(super) fn denied_rules(deny: Deny) -> Vec<Rule> {
    let own = Family::ALL.map(|family| {
        rule(Statement::AcceptPairs {
            family,
            set: own_set(family).name,
        })
    });
    own.into_iter().chain(denial(deny)).collect()
}

/// How a chain ends that denies.
pub(super) fn denial(deny: Deny) -> Vec<Rule> {
    match deny {
        Deny::Drop => vec![rule(Statement::Drop)],
        Deny::Reject => vec![rule(Statement::RejectTcp), rule(Statement::Reject)],
    }
}

/// The chain that asks a set of ports.
pub(super) fn port_chain(direction: Direction, id: Id) -> Chain {
    chain(format!("{direction}-ports/{id}"))
}

pub(super) fn port_rules(direction: Direction, id: Id, ports: &PortSet) -> Vec<Rule> {
    vec![
        rule(Statement::AskPort {
            map: port_map(id, ports).name,
        }),
        rule(Statement::Go(Target::Goto(denied_chain(direction).name))),
    ]
}

pub(super) fn profile_chain(id: Id, profile: &Profile) -> Chain {
    Chain {
        name: profile_name(id, profile),
        hook: None,
    }
}

pub(super) fn profile_rules(plan: &Plan, profile: &Profile) -> Vec<Rule> {
    let end = match profile.direction {
        Direction::Egress => End::Destination,
        Direction::Ingress => End::Source,
    };
    let ask = |map: Map, family| {
        rule(Statement::AskAddress {
            family,
            end,
            map: map.name,
        })
    };
    let mut rules = Vec::new();
    if let Some(id) = profile.peers {
        rules.extend(Family::ALL.map(|family| ask(peer_map(id, family), family)));
    }
    if let Some(id) = profile.blocks {
        for family in families(&plan.blocks[&id]) {
            rules.push(ask(block_map(id, family), family));
        }
    }
    let policies: Vec<_> = profile.policies.iter().map(ToString::to_string).collect();
    let otherwise = match profile.otherwise {
        Some(grant) => grant_target(profile.direction, grant),
        None => Target::Goto(denied_chain(profile.direction).name),
    };
    rules.push(Rule {
        statement: Statement::Go(otherwise),
        comment: Some(comment(policies.join(", "))),
    });
    rules
}

/// The families that a table of ranges has a map for.
pub(super) fn families(table: &BlockTable) -> impl Iterator<Item = Family> {
    Family::ALL
        .into_iter()
        .filter(|family| table.has_family(*family == Family::V6))
}

/// `ingress/shop.web-4c1d`, `ingress/shop.web-and-2-more-4c1d`.
fn profile_name(id: Id, profile: &Profile) -> Arc<str> {
    let mut readable = String::new();
    if let Some(first) = profile.policies.first() {
        // nft takes fewer characters in a name than old API servers did.
        readable.extend(
            format!("{}.{}", first.namespace, first.name)
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
                        c
                    } else {
                        '_'
                    }
                }),
        );
        readable.truncate(READABLE_MAX);
    }
    if let more @ 1.. = profile.policies.len().saturating_sub(1) {
        readable.push_str(&format!("-and-{more}-more"));
    }
    format!("{}/{readable}-{id}", profile.direction).into()
}

fn chain(name: String) -> Chain {
    Chain {
        name: name.into(),
        hook: None,
    }
}

fn rule(statement: Statement) -> Rule {
    Rule {
        statement,
        comment: None,
    }
}

/// A comment that is not too long.
fn comment(mut text: String) -> String {
    const MORE: &str = "...";
    if text.len() > COMMENT_MAX {
        let end = (0..=COMMENT_MAX - MORE.len())
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(0);
        text.truncate(end);
        text.push_str(MORE);
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::fits("x".repeat(128), 128)]
    #[case::too_long("x".repeat(129), 128)]
    #[case::between_characters("é".repeat(100), 127)]
    fn comments_end_in_time(#[case] text: String, #[case] length: usize) {
        assert_eq!(comment(text).len(), length);
    }
}
