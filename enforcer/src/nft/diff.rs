//! Two Plans to one transaction.
//!
//! What depends on policies only never changes under its name, so it comes and goes as a whole;
//! of peers, isolated pods and pairs only the elements that differ are touched. First comes what
//! others refer to (maps, chains, their elements and rules), then the elements that refer to it,
//! and what is no longer referred to goes last.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    layout::{
        block_elements, block_map, denial, denied_chain, denied_revoked_chain, denied_rules,
        dispatch_element, dispatch_map, families, forward_chain, forward_rules, held_chain,
        held_families, held_rules, neighbour_discovery_elements, neighbour_discovery_set,
        own_element, own_set, peer_element, peer_map, port_chain, port_elements, port_map,
        port_rules, profile_chain, profile_rules, programmed_element, programmed_set,
        revoked_chain, revoked_rules, revokes,
    },
    transaction::{Chain, Element, Family, Map, Operation, Rule, Transaction},
};
use crate::{
    plan::{ConnectionId, PeerTable, Plan},
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
    fn agree<K: Ord, V: PartialEq>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> bool {
        old.iter()
            .all(|(id, content)| new.get(id).is_none_or(|other| other == content))
    }
    let same_direction = |(id, table): (_, &PeerTable)| {
        new.peers
            .get(id)
            .is_none_or(|other| other.direction == table.direction)
    };
    agree(&old.profiles, &new.profiles)
        && agree(&old.blocks, &new.blocks)
        && agree(&old.ports, &new.ports)
        && old.peers.iter().all(same_direction)
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
            self.push(Operation::AddMap(own_set(family)));
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
        for (id, profile) in &new.profiles {
            if !old.profiles.contains_key(id) {
                self.make_chain(profile_chain(*id, profile), profile_rules(new, profile));
            }
        }
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
        let nobody = BTreeMap::new();
        for (id, table) in &new.peers {
            let before = old.peers.get(id);
            if before.is_none() {
                for family in Family::ALL {
                    self.push(Operation::AddMap(peer_map(*id, family)));
                }
            }
            self.change_elements(
                before.map_or(&nobody, |table| &table.members),
                &table.members,
                |family| peer_map(*id, family),
                |address| Family::of(*address),
                |_, address, grant| peer_element(table.direction, *address, *grant),
            );
        }
    }

    fn change_own(&mut self, old: &Plan, new: &Plan) {
        let unit = |plan: &Plan| plan.own.iter().map(|pair| (*pair, ())).collect();
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (unit(old), unit(new));
        self.change_elements(
            &old,
            &new,
            own_set,
            |(source, _)| Family::of(*source),
            |_, (source, destination), ()| own_element(*source, *destination),
        );
    }

    fn change_programmed(&mut self, old: &Plan, new: &Plan) {
        let unit = |plan: &Plan| {
            plan.programmed
                .iter()
                .map(|address| (*address, ()))
                .collect()
        };
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (unit(old), unit(new));
        self.change_elements(
            &old,
            &new,
            programmed_set,
            |address| Family::of(*address),
            |_, address, ()| programmed_element(*address),
        );
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
            self.change_elements(
                old.subjects(direction),
                new.subjects(direction),
                |family| dispatch_map(direction, family),
                |address: &IpAddr| Family::of(*address),
                |side, address, subject| {
                    let plan = match side {
                        Side::Old => old,
                        Side::New => new,
                    };
                    dispatch_element(plan, *address, subject)
                },
            );
        }
    }

    /// Takes out what is gone or different, puts in what is new or different.
    fn change_elements<K: Ord, V: PartialEq>(
        &mut self,
        old: &BTreeMap<K, V>,
        new: &BTreeMap<K, V>,
        map: impl Fn(Family) -> Map,
        family_of: impl Fn(&K) -> Family,
        element: impl Fn(Side, &K, &V) -> Element,
    ) {
        let only = |side, from: &BTreeMap<K, V>, other: &BTreeMap<K, V>, family| -> Vec<_> {
            from.iter()
                .filter(|(key, value)| family_of(key) == family && other.get(key) != Some(value))
                .map(|(key, value)| element(side, key, value))
                .collect()
        };
        for family in Family::ALL {
            let gone = only(Side::Old, old, new, family);
            if !gone.is_empty() {
                self.push(Operation::DeleteElements {
                    map: map(family),
                    elements: gone,
                });
            }
            self.add_elements(map(family), only(Side::New, new, old, family));
        }
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
                for family in Family::ALL {
                    self.push(Operation::DeleteMap(peer_map(*id, family)));
                }
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

/// Which Plan an element is of.
#[derive(Clone, Copy)]
enum Side {
    Old,
    New,
}
