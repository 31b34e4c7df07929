//! What a Plan's tables are in the kernel: names, chains, maps and elements.

use std::{net::IpAddr, sync::Arc};

use super::{
    COMMENT_MAX, FORWARD, HELD, NEIGHBOUR_DISCOVERY, NEIGHBOUR_DISCOVERY_TYPES, READABLE_MAX,
    REVOKED,
    transaction::{
        Chain, Element, End, Family, Hook, Key, KeyType, Map, Rule, Statement, Target, Value,
        ValueType,
    },
};
use crate::{
    options::{Deny, Established},
    plan::{Block, BlockTable, ConnectionId, Grant, Id, Plan, PortSet, Profile, Subject},
    policy::Direction,
};

/// The map from isolated local pods to the numbers of their profiles.
pub(super) fn dispatch_map(direction: Direction, family: Family) -> Map {
    Map {
        values: Some(ValueType::Number),
        ..address_set(format!("{direction}-{family}"), family)
    }
}

/// The map from the numbers of profiles to profiles.
pub(super) fn profile_map(direction: Direction) -> Map {
    number_map(format!("{direction}-profiles"))
}

/// The map from pods that selectors match to the numbers of their classes.
pub(super) fn class_map(family: Family) -> Map {
    Map {
        values: Some(ValueType::Number),
        ..address_set(format!("classes-{family}"), family)
    }
}

/// The map from the numbers of classes to what is allowed for them.
pub(super) fn peer_map(id: Id) -> Map {
    number_map(format!("peers-{id}"))
}

fn number_map(name: String) -> Map {
    Map {
        name: name.into(),
        key: KeyType::Number,
        values: Some(ValueType::Verdict),
        has_intervals: false,
    }
}

pub(super) fn block_map(id: Id, family: Family) -> Map {
    Map {
        has_intervals: true,
        values: Some(ValueType::Verdict),
        ..address_set(format!("blocks-{id}-{family}"), family)
    }
}

fn address_set(name: String, family: Family) -> Map {
    Map {
        name: name.into(),
        key: KeyType::Address(family),
        values: None,
        has_intervals: false,
    }
}

/// A set of ports as a map: a hash unless there are ranges.
pub(super) fn port_map(id: Id, ports: &PortSet) -> Map {
    Map {
        name: format!("ports-{id}").into(),
        key: KeyType::Port,
        values: Some(ValueType::Verdict),
        has_intervals: ports.has_ranges(),
    }
}

/// The pairs by which a pod reaches itself.
pub(super) fn own_set(family: Family) -> Map {
    Map {
        name: format!("self-{family}").into(),
        key: KeyType::AddressPair(family),
        values: None,
        has_intervals: false,
    }
}

/// The addresses of the node's pod ranges that local pods have.
pub(super) fn programmed_set(family: Family) -> Map {
    address_set(format!("programmed-{family}"), family)
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
        values: None,
        has_intervals: false,
    }
}

pub(super) fn neighbour_discovery_elements() -> Vec<Element> {
    NEIGHBOUR_DISCOVERY_TYPES
        .map(|number| member(Key::Icmpv6Type(number)))
        .into()
}

/// The element of an isolated local pod.
pub(super) fn dispatch_element(address: IpAddr, subject: &Subject) -> Element {
    Element {
        comment: Some(comment(subject.pod.to_string())),
        ..number_element(address, subject.profile)
    }
}

/// The element of a profile.
pub(super) fn profile_element(id: Id, profile: &Profile) -> Element {
    verdict_element(Key::Number(id), Target::Jump(profile_name(id, profile)))
}

/// The element of a pod that selectors match.
pub(super) fn class_element(address: IpAddr, class: Id) -> Element {
    number_element(address, class)
}

/// The element of a class.
pub(super) fn peer_element(direction: Direction, class: Id, grant: Grant) -> Element {
    verdict_element(Key::Number(class), grant_target(direction, grant))
}

fn number_element(address: IpAddr, number: Id) -> Element {
    Element {
        value: Some(Value::Number(number)),
        ..member(Key::Address(address))
    }
}

fn verdict_element(key: Key, target: Target) -> Element {
    Element {
        value: Some(Value::Verdict(target)),
        ..member(key)
    }
}

pub(super) fn block_elements(table: &BlockTable, family: Family) -> Vec<Element> {
    let of_family = |block: &&Block| Family::of(block.first) == family;
    let element = |block: &Block| {
        let range = Key::AddressRange(block.first, block.last);
        verdict_element(range, grant_target(table.direction, block.grant))
    };
    table.blocks.iter().filter(of_family).map(element).collect()
}

pub(super) fn port_elements(ports: &PortSet) -> Vec<Element> {
    ports
        .ranges()
        .map(|(protocol, range)| verdict_element(Key::Ports(protocol, range), Target::Return))
        .collect()
}

pub(super) fn own_element(source: IpAddr, destination: IpAddr) -> Element {
    member(Key::AddressPair(source, destination))
}

fn member(key: Key) -> Element {
    Element {
        key,
        value: None,
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
            rules.push(rule(Statement::AskNumber {
                family,
                end,
                numbers: dispatch_map(direction, family).name,
                verdicts: profile_map(direction).name,
            }));
        }
    }
    rules.push(rule(Statement::ForgetNumber));
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

/// The chain that finds the class of the other side, for all profiles: when a rule comes that asks
/// a map, the kernel walks the map, and this one is large.
pub(super) fn class_chain(direction: Direction) -> Chain {
    chain(format!("{direction}-classes"))
}

/// Whatever was found before is forgotten first: it is the number of a profile.
pub(super) fn class_rules(direction: Direction) -> Vec<Rule> {
    let find = Family::ALL.map(|family| {
        rule(Statement::FindNumber {
            family,
            end: other_end(direction),
            numbers: class_map(family).name,
        })
    });
    [rule(Statement::ForgetNumber)]
        .into_iter()
        .chain(find)
        .collect()
}

/// Where the address is of whom a profile of this direction asks about.
fn other_end(direction: Direction) -> End {
    match direction {
        Direction::Egress => End::Destination,
        Direction::Ingress => End::Source,
    }
}

pub(super) fn profile_chain(id: Id, profile: &Profile) -> Chain {
    Chain {
        name: profile_name(id, profile),
        hook: None,
    }
}

pub(super) fn profile_rules(plan: &Plan, profile: &Profile) -> Vec<Rule> {
    let end = other_end(profile.direction);
    let mut rules = Vec::new();
    if let Some(id) = profile.peers {
        let find = class_chain(profile.direction).name;
        rules.push(rule(Statement::Go(Target::Jump(find))));
        rules.push(rule(Statement::AskFound {
            verdicts: peer_map(id).name,
        }));
    }
    if let Some(id) = profile.blocks {
        for family in families(&plan.blocks[&id]) {
            rules.push(rule(Statement::AskAddress {
                family,
                end,
                map: block_map(id, family).name,
            }));
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
