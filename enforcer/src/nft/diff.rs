//! Two Plans to one transaction.
//!
//! What depends on policies only never changes under its name, so it comes and goes as a whole;
//! of peers, isolated pods and pairs only the elements that differ are touched. First comes what
//! others refer to (maps, chains, their elements and rules), then the elements that refer to it,
//! and what is no longer referred to goes last.
//!
//! What both Plans share in memory is not looked at: after a change of one pod this costs about as
//! much as the change, however large the Plans are.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    layout::{
        block_elements, block_map, class_chain, class_element, class_map, class_rules, denial,
        denied_chain, denied_revoked_chain, denied_rules, dispatch_element, dispatch_map, families,
        forward_chain, forward_rules, held_chain, held_families, held_rules,
        neighbour_discovery_elements, neighbour_discovery_set, own_element, own_set, peer_element,
        peer_map, port_chain, port_elements, port_map, port_rules, profile_chain, profile_element,
        profile_map, profile_rules, programmed_element, programmed_set, revoked_chain,
        revoked_rules, revokes,
    },
    transaction::{Chain, Element, Family, Map, Operation, Rule, Transaction},
};
use crate::{
    plan::{ConnectionId, Id, Plan, Sorted},
    policy::Direction,
};

/// What makes the kernel's table that of `new` where it is that of `old`. From the default Plan
/// (nothing is known of the kernel) it replaces whatever table of ours is left from an earlier run.
pub fn diff(old: &Plan, new: &Plan) -> Transaction {
    match (&old.node, &new.node) {
        (None, None) => Transaction::default(),
        (Some(_), None) => remove_table(),
        (Some(_), Some(_)) if frames_agree(old, new) && names_agree(old, new) => {
            let mut change = Change::default();
            change.between(old, new);
            change.transaction
        }
        (_, Some(_)) => {
            let mut change = Change::default();
            change.make_table(new);
            change.between(&Plan::default(), new);
            change.transaction
        }
    }
}

/// Removes our table, if it is there, and nothing else.
pub fn remove_table() -> Transaction {
    // The nft of Debian 12 has no `destroy`; adding first makes deleting never fail.
    Transaction::from_iter([Operation::AddTable, Operation::DeleteTable])
}

/// Whether the parts are equal that a table is made with and keeps. They follow from options and
/// the node's ranges, so they hardly ever change; if they do, the whole table is replaced.
fn frames_agree(old: &Plan, new: &Plan) -> bool {
    old.options == new.options && old.pod_ranges == new.pod_ranges
}

/// Whether equal names mean equal content. They do unless hashes collide.
fn names_agree(old: &Plan, new: &Plan) -> bool {
    fn agree<V>(
        old: &BTreeMap<Id, Arc<V>>,
        new: &BTreeMap<Id, Arc<V>>,
        is_same: impl Fn(&V, &V) -> bool,
    ) -> bool {
        old.iter().all(|(id, content)| {
            new.get(id)
                .is_none_or(|other| Arc::ptr_eq(content, other) || is_same(content, other))
        })
    }
    agree(&old.profiles, &new.profiles, PartialEq::eq)
        && agree(&old.blocks, &new.blocks, PartialEq::eq)
        && agree(&old.ports, &new.ports, PartialEq::eq)
        && agree(&old.peers, &new.peers, |one, other| {
            one.direction == other.direction
        })
}

#[derive(Default)]
struct Change {
    transaction: Transaction,
}

impl Change {
    /// An empty table of ours, whatever was there before, that judges nobody.
    fn make_table(&mut self, plan: &Plan) {
        self.push(Operation::AddTable);
        self.push(Operation::DeleteTable);
        self.push(Operation::AddTable);
        for family in Family::ALL {
            for direction in Direction::ALL {
                self.push(Operation::AddMap(dispatch_map(direction, family)));
            }
            self.push(Operation::AddMap(class_map(family)));
            self.push(Operation::AddMap(own_set(family)));
        }
        for direction in Direction::ALL {
            self.push(Operation::AddMap(profile_map(direction)));
            self.make_chain(class_chain(direction), class_rules(direction));
        }
        self.make_map(neighbour_discovery_set(), neighbour_discovery_elements());
        let deny = plan.options.deny;
        for direction in Direction::ALL {
            self.make_chain(denied_chain(direction), denied_rules(deny));
        }
        if revokes(plan) {
            self.make_chain(denied_revoked_chain(), denial(deny));
            self.push(Operation::AddChain(revoked_chain()));
        }
        if !plan.pod_ranges.is_empty() {
            self.make_chain(held_chain(), held_rules());
        }
        for family in held_families(plan) {
            self.push(Operation::AddMap(programmed_set(family)));
        }
        self.make_chain(forward_chain(), forward_rules(plan));
    }

    fn between(&mut self, old: &Plan, new: &Plan) {
        self.add_ports(old, new);
        self.add_blocks(old, new);
        self.change_peers(old, new);
        self.change_classes(old, new);
        self.change_profiles(old, new);
        self.change_own(old, new);
        self.change_dispatch(old, new);
        self.change_programmed(old, new);
        self.change_revoked(&old.revoked, &new.revoked);
        self.remove_unused(old, new);
    }

    fn add_ports(&mut self, old: &Plan, new: &Plan) {
        for (id, ports) in &new.ports {
            if !old.ports.contains_key(id) {
                self.make_map(port_map(*id, ports), port_elements(ports));
            }
        }
        for &(direction, id) in new.port_uses.difference(&old.port_uses) {
            let rules = port_rules(direction, id, &new.ports[&id]);
            self.make_chain(port_chain(direction, id), rules);
        }
    }

    fn add_blocks(&mut self, old: &Plan, new: &Plan) {
        for (id, table) in &new.blocks {
            if old.blocks.contains_key(id) {
                continue;
            }
            for family in families(table) {
                self.make_map(block_map(*id, family), block_elements(table, family));
            }
        }
    }

    fn change_peers(&mut self, old: &Plan, new: &Plan) {
        let nobody = Sorted::default();
        for (id, table) in &new.peers {
            let before = old.peers.get(id);
            if before.is_some_and(|before| Arc::ptr_eq(before, table)) {
                continue;
            }
            if before.is_none() {
                self.push(Operation::AddMap(peer_map(*id)));
            }
            let mut elements = Elements::default();
            let element = |class, grant| peer_element(table.direction, class, grant);
            before.map_or(&nobody, |table| &table.answers).differences(
                &table.answers,
                |class, before, after| {
                    elements
                        .gone
                        .extend(before.map(|grant| element(*class, *grant)));
                    elements
                        .new
                        .extend(after.map(|grant| element(*class, *grant)));
                },
            );
            self.change_elements(&peer_map(*id), elements);
        }
    }

    fn change_classes(&mut self, old: &Plan, new: &Plan) {
        let mut elements = ByFamily::default();
        old.classes
            .differences(&new.classes, |address, before, after| {
                let elements = elements.of(*address);
                let element = |class: &Id| class_element(*address, *class);
                elements.gone.extend(before.map(element));
                elements.new.extend(after.map(element));
            });
        self.change_addresses(class_map, elements);
    }

    fn change_profiles(&mut self, old: &Plan, new: &Plan) {
        for direction in Direction::ALL {
            let mut elements = Elements::default();
            let only = |from: &Plan, other: &Plan| -> Vec<_> {
                from.profiles
                    .iter()
                    .filter(|(id, profile)| {
                        profile.direction == direction && !other.profiles.contains_key(id)
                    })
                    .map(|(id, profile)| (*id, Arc::clone(profile)))
                    .collect()
            };
            for (id, profile) in only(old, new) {
                elements.gone.push(profile_element(id, &profile));
            }
            for (id, profile) in only(new, old) {
                self.make_chain(profile_chain(id, &profile), profile_rules(new, &profile));
                elements.new.push(profile_element(id, &profile));
            }
            self.change_elements(&profile_map(direction), elements);
        }
    }

    fn change_own(&mut self, old: &Plan, new: &Plan) {
        let mut elements = ByFamily::default();
        for &(source, destination) in old.own.difference(&new.own) {
            let gone = own_element(source, destination);
            elements.of(source).gone.push(gone);
        }
        for &(source, destination) in new.own.difference(&old.own) {
            let new = own_element(source, destination);
            elements.of(source).new.push(new);
        }
        self.change_addresses(own_set, elements);
    }

    fn change_programmed(&mut self, old: &Plan, new: &Plan) {
        let mut elements = ByFamily::default();
        for &address in old.programmed.difference(&new.programmed) {
            elements.of(address).gone.push(programmed_element(address));
        }
        for &address in new.programmed.difference(&old.programmed) {
            elements.of(address).new.push(programmed_element(address));
        }
        self.change_addresses(programmed_set, elements);
    }

    /// As one rule with a set of its own: nft 1.0.6 has no way in JSON to declare a set of
    /// connections that has a name.
    fn change_revoked(&mut self, old: &BTreeSet<ConnectionId>, new: &BTreeSet<ConnectionId>) {
        if old == new {
            return;
        }
        let chain = revoked_chain();
        let name = chain.name.clone();
        if !old.is_empty() {
            self.push(Operation::FlushChain(chain));
        }
        for rule in revoked_rules(new) {
            self.push(Operation::AddRule {
                chain: name.clone(),
                rule,
            });
        }
    }

    fn change_dispatch(&mut self, old: &Plan, new: &Plan) {
        for direction in Direction::ALL {
            let mut elements = ByFamily::default();
            let (old, new) = (old.subjects(direction), new.subjects(direction));
            for (address, subject) in old {
                if new.get(address) != Some(subject) {
                    let gone = dispatch_element(*address, subject);
                    elements.of(*address).gone.push(gone);
                }
            }
            for (address, subject) in new {
                if old.get(address) != Some(subject) {
                    let new = dispatch_element(*address, subject);
                    elements.of(*address).new.push(new);
                }
            }
            self.change_addresses(|family| dispatch_map(direction, family), elements);
        }
    }

    fn change_addresses(&mut self, map: impl Fn(Family) -> Map, ByFamily(elements): ByFamily) {
        for (family, elements) in Family::ALL.into_iter().zip(elements) {
            self.change_elements(&map(family), elements);
        }
    }

    /// Takes out what is gone or different, puts in what is new or different.
    fn change_elements(&mut self, map: &Map, elements: Elements) {
        if !elements.gone.is_empty() {
            self.push(Operation::DeleteElements {
                map: map.clone(),
                elements: elements.gone,
            });
        }
        self.add_elements(map.clone(), elements.new);
    }

    /// In the order of references: profiles refer to tables, tables to port chains, those to ports.
    fn remove_unused(&mut self, old: &Plan, new: &Plan) {
        for (id, profile) in &old.profiles {
            if !new.profiles.contains_key(id) {
                self.push(Operation::DeleteChain(profile_chain(*id, profile)));
            }
        }
        for id in old.peers.keys() {
            if !new.peers.contains_key(id) {
                self.push(Operation::DeleteMap(peer_map(*id)));
            }
        }
        for (id, table) in &old.blocks {
            if !new.blocks.contains_key(id) {
                for family in families(table) {
                    self.push(Operation::DeleteMap(block_map(*id, family)));
                }
            }
        }
        for &(direction, id) in old.port_uses.difference(&new.port_uses) {
            self.push(Operation::DeleteChain(port_chain(direction, id)));
        }
        for (id, ports) in &old.ports {
            if !new.ports.contains_key(id) {
                self.push(Operation::DeleteMap(port_map(*id, ports)));
            }
        }
    }

    fn make_map(&mut self, map: Map, elements: Vec<Element>) {
        self.push(Operation::AddMap(map.clone()));
        self.add_elements(map, elements);
    }

    fn add_elements(&mut self, map: Map, elements: Vec<Element>) {
        if !elements.is_empty() {
            self.push(Operation::AddElements { map, elements });
        }
    }

    fn make_chain(&mut self, chain: Chain, rules: Vec<Rule>) {
        let name = chain.name.clone();
        self.push(Operation::AddChain(chain));
        for rule in rules {
            self.push(Operation::AddRule {
                chain: name.clone(),
                rule,
            });
        }
    }

    fn push(&mut self, operation: Operation) {
        self.transaction.push(operation);
    }
}

/// What changes in a map.
#[derive(Default)]
struct Elements {
    gone: Vec<Element>,
    new: Vec<Element>,
}

/// What changes in the two maps of a kind, in the order of [`Family::ALL`].
#[derive(Default)]
struct ByFamily([Elements; 2]);

impl ByFamily {
    fn of(&mut self, address: IpAddr) -> &mut Elements {
        &mut self.0[usize::from(address.is_ipv6())]
    }
}
