//! Tables of peers: the classes of addresses, and the answer of each table for each class.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
};

use super::{
    Compiler,
    class::Class,
    intern::name,
    peer::Peer,
    rules::{Allowance, PortName, Rules},
};
use crate::{
    cluster::{Cluster, Labels, Pod, Touched},
    plan::{Allowed, Id, PeerTable, Sorted},
};

/// What a table of peers is made of.
pub(super) struct Table {
    rules: Rules,
    /// What is allowed for pods, by peer.
    pods: BTreeMap<Id, Allowance>,
    /// What is allowed for ranges, by peer.
    blocks: BTreeMap<Id, Allowed>,
}

impl Table {
    /// What is allowed for the addresses of a class; none if no selector matches them, so that the
    /// table does not know them.
    fn allows(&self, class: &Class) -> Option<Allowed> {
        let number = |protocol, name: &str| class.port_number(protocol, name);
        let mut allowed: Vec<_> = class
            .peers
            .iter()
            .filter_map(|peer| Some(self.pods.get(peer)?.towards(number)))
            .collect();
        if allowed.is_empty() {
            return None;
        }
        let blocks = class.peers.iter().filter_map(|peer| self.blocks.get(peer));
        allowed.extend(blocks.cloned());
        Some(Allowed::union(allowed.iter().chain([&self.rules.anyone])))
    }

    fn port_names(&self) -> impl Iterator<Item = &PortName> {
        self.pods.values().flat_map(|allowance| &allowance.named)
    }
}

impl Compiler {
    /// The table of these rules. If it is a new one it has no answers yet.
    pub(super) fn table(&mut self, rules: Rules, new_tables: &mut Vec<Id>) -> Id {
        let id = name(&rules, |id| self.tables.get(id).map(|table| &table.rules));
        if self.tables.contains_key(&id) {
            return id;
        }
        let pods = rules.pods.iter().map(|(peer, allowance)| {
            let peer = self.peers.add(Peer::Pods(peer.clone()), id);
            (peer, allowance.clone())
        });
        let pods = pods.collect();
        let blocks = rules.blocks.iter().map(|(block, allowed)| {
            let peer = self.peers.add(Peer::Block(block.clone()), id);
            (peer, allowed.clone())
        });
        let blocks = blocks.collect();
        let direction = rules.direction;
        let table = Table {
            rules,
            pods,
            blocks,
        };
        for name in table.port_names() {
            self.peers.add_name(name);
        }
        self.tables.insert(id, table);
        let answers = Sorted::default();
        let table = PeerTable { direction, answers };
        self.plan.peers.insert(id, Arc::new(table));
        new_tables.push(id);
        id
    }

    /// Nobody asks a table any more.
    pub(super) fn forget_table(&mut self, id: Id) {
        if let Some(table) = self.tables.remove(&id) {
            for name in table.port_names() {
                self.peers.remove_name(name);
            }
            for peer in table.pods.keys().chain(table.blocks.keys()) {
                self.peers.remove(*peer, id);
            }
        }
        if let Some(table) = self.plan.peers.remove(&id) {
            for (_, grant) in table.answers.iter() {
                self.take_back(table.direction, Some(*grant));
            }
        }
    }

    /// Looks again at the addresses that may be in another class.
    pub(super) fn update_classes(&mut self, cluster: &Cluster, touched: &Touched) {
        let mut matching = Matching::default();
        let changes = self.peers.take_changes();
        let mut addresses = touched.addresses.clone();
        if touched.everything || changes.are_many() {
            // Those that nobody owns any more were touched.
            for (address, pod) in cluster.addresses() {
                self.classify(cluster, address, Some(pod), &mut matching);
            }
            for address in addresses {
                self.classify(cluster, address, cluster.owner(address), &mut matching);
            }
            return;
        }
        let of_namespaces = touched
            .namespaces
            .iter()
            .flat_map(|namespace| cluster.pods_in(namespace));
        for pod in of_namespaces.chain(changes.pods(cluster)) {
            addresses.extend(&pod.addresses);
        }
        if changes.may_move_any() {
            let known = self.plan.classes.iter().map(|(address, _)| *address);
            addresses.extend(known.filter(|address| changes.may_move(*address)));
        }
        for address in addresses {
            self.classify(cluster, address, cluster.owner(address), &mut matching);
        }
    }

    fn classify<'a>(
        &mut self,
        cluster: &'a Cluster,
        address: IpAddr,
        owner: Option<&'a Pod>,
        matching: &mut Matching<'a>,
    ) {
        let class = owner.and_then(|pod| {
            let namespace = pod.reference.namespace.as_ref();
            if !self.peers.may_match(namespace) {
                return None;
            }
            let pods = matching.entry((namespace, &pod.labels)).or_insert_with(|| {
                let labels = cluster.namespace(namespace).map(|found| &found.labels);
                self.peers.of_pods(namespace, labels, &pod.labels).into()
            });
            if pods.is_empty() {
                return None;
            }
            let mut peers: Vec<_> = pods.iter().copied().collect();
            peers.extend(self.peers.of_address(address));
            peers.sort_unstable();
            let ports = self.peers.ports(pod);
            Some(Class { peers, ports })
        });
        let before = match class {
            Some(class) => {
                let id = self.classes.add(class);
                self.plan.classes.insert(address, id)
            }
            None => self.plan.classes.remove(&address),
        };
        if let Some(before) = before {
            self.classes.remove(before);
        }
    }

    /// Gives the answers of all tables for new classes, and those of new tables for all others.
    pub(super) fn update_answers(&mut self, new_tables: &[Id]) {
        let (new_classes, gone_classes) = self.classes.take_changes();
        for (id, class) in gone_classes {
            for table in self.tables_about(&class) {
                self.set_answer(table, id, None);
            }
        }
        for &id in &new_classes {
            let class = self.classes.get(id).cloned();
            let Some(class) = class else { continue };
            for table in self.tables_about(&class) {
                let allowed = self.tables[&table].allows(&class);
                self.set_answer(table, id, allowed);
            }
        }
        for table in new_tables {
            let made_of = &self.tables[table];
            let answers: Vec<_> = self
                .classes
                .iter()
                .filter(|(id, _)| !new_classes.contains(id))
                .filter_map(|(id, class)| Some((id, made_of.allows(class)?)))
                .collect();
            for (class, allowed) in answers {
                self.set_answer(*table, class, Some(allowed));
            }
        }
    }

    /// The tables that name a peer of a class.
    fn tables_about(&self, class: &Class) -> BTreeSet<Id> {
        class
            .peers
            .iter()
            .flat_map(|peer| self.peers.tables(*peer))
            .collect()
    }

    fn set_answer(&mut self, table: Id, class: Id, allowed: Option<Allowed>) {
        let direction = self.tables[&table].rules.direction;
        let grant = allowed.and_then(|allowed| self.grant(direction, allowed));
        let before = self.plan.peers.get_mut(&table).and_then(|known| {
            if known.answers.get(&class) == grant.as_ref() {
                return grant;
            }
            let answers = &mut Arc::make_mut(known).answers;
            match grant {
                Some(grant) => answers.insert(class, grant),
                None => answers.remove(&class),
            }
        });
        self.take_back(direction, before);
    }
}

/// The peers that match pods with the same labels in the same namespace.
type Matching<'a> = HashMap<(&'a str, &'a Labels), Rc<[Id]>>;
