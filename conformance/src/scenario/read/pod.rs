//! Pods as `cluster.pods` and `createPods` write them.

use std::collections::{BTreeMap, BTreeSet};

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::Reader;
use crate::{
    cell::{Family, Port},
    scenario::{
        text::endpoint::RESERVED,
        world::{AddressChoice, Named, ObjectName, Pod, PodParts, World, pod_object},
        written::{
            cluster::{self, Listen},
            short::ShortOrLong,
        },
    },
};

impl Reader {
    /// Reads a list of ports; entries that are none are reported and left out.
    pub(super) fn listen(
        &mut self,
        path: &FieldPath,
        listen: &[ShortOrLong<Listen>],
    ) -> Vec<Named<Port>> {
        let mut ports: Vec<Named<Port>> = Vec::new();
        for (index, ShortOrLong(entry)) in listen.iter().enumerate() {
            let path = path.index(index);
            let problem = match entry.port() {
                Ok(value) if ports.iter().any(|p| p.value == value) => {
                    Diagnostic::new("scenario/duplicate", format!("{value} is listed twice"))
                }
                Ok(value) => {
                    let name = entry.name.clone();
                    let is_taken = name.is_some()
                        && ports
                            .iter()
                            .any(|p| p.name == name && p.value.protocol == value.protocol);
                    ports.push(Named { name, value });
                    if !is_taken {
                        continue;
                    }
                    Diagnostic::new(
                        "scenario/duplicate",
                        format!("two {} ports have one name", value.protocol),
                    )
                }
                Err(why) => Diagnostic::new("scenario/port", why),
            };
            let problem = problem.at(self.at(&path), "");
            self.report(problem);
        }
        ports
    }

    /// Reads the key of an entry of `pods`: a name of a pod that could be created.
    pub(super) fn pod_key(&mut self, path: &FieldPath, key: &str) -> Option<ObjectName> {
        let location = self.at_key(path);
        let Ok(name) = key.parse::<ObjectName>() else {
            let problem = Diagnostic::new("scenario/name", format!("`{key}` does not name a pod"))
                .at(location, "")
                .help("a pod is written NAMESPACE/NAME");
            self.report(problem);
            return None;
        };
        self.check_name_at(location, &name.name, 253, true);
        Some(name)
    }

    /// Reads the name of a namespace that is created.
    pub(super) fn check_namespace_name(&mut self, location: enforcer::yaml::Location, name: &str) {
        self.check_name_at(location.clone(), name, 63, false);
        if RESERVED.contains(&name) {
            let problem = Diagnostic::new(
                "scenario/name",
                format!("a namespace cannot be called `{name}` in a scenario"),
            )
            .at(location, "")
            .note(format!("{name}/… means something else"));
            self.report(problem);
        }
    }

    /// Reads one pod. `base` is the pod the entry changes, if there is one already. The node stays
    /// empty where nothing says it.
    pub(super) fn pod(
        &mut self,
        path: &FieldPath,
        name: &ObjectName,
        written: &cluster::Pod,
        base: Option<&Pod>,
        world: &World,
    ) -> Pod {
        let mut labels = base.map_or_else(BTreeMap::new, |base| base.labels().clone());
        labels.extend(written.labels.clone());
        if written.listen.is_some() && !written.containers.is_empty() {
            let problem = Diagnostic::new(
                "scenario/object",
                "a pod has either `listen` or `containers`",
            )
            .at(
                self.at_key(&path.key("listen")),
                "with containers, each has its own `listen`",
            );
            self.report(problem);
        }
        let mut listening: Vec<Port> = Vec::new();
        let mut containers = Vec::new();
        if written.containers.is_empty() {
            let ports = match (&written.listen, base) {
                (Some(listen), _) => self.listen(&path.key("listen"), listen),
                (None, Some(base)) => base.listening(),
                (None, None) => Vec::new(),
            };
            listening.extend(ports.iter().map(|p| p.value));
            containers.push(("main".to_owned(), ports));
        }
        for (container, ports) in &written.containers {
            let path = path.key("containers").key(container);
            self.check_name_at(self.at_key(&path), container, 63, false);
            let open = self.listen(&path.key("listen"), &ports.listen);
            let mut declared = self.listen(&path.key("declare"), &ports.declare);
            for port in &open {
                if listening.contains(&port.value) {
                    let problem = Diagnostic::new(
                        "scenario/duplicate",
                        format!("two containers of {name} listen on {}", port.value),
                    )
                    .at(self.at(&path.key("listen")), "")
                    .note("containers of a pod share its network namespace");
                    self.report(problem);
                }
                listening.push(port.value);
            }
            let mut all = open;
            all.append(&mut declared);
            containers.push((container.clone(), all));
        }
        if let Some(node) = &written.node {
            self.check_node(&path.key("node"), node, world);
        }
        let node = match (&written.node, base) {
            (Some(node), _) => node.clone(),
            (None, Some(base)) => base.node().to_owned(),
            (None, None) => String::new(),
        };
        let host_network = written
            .host_network
            .or(base.map(Pod::is_host_network))
            .unwrap_or(false);
        Pod {
            name: name.clone(),
            object: pod_object(PodParts {
                name: name.clone(),
                labels,
                node,
                host_network,
                service_account: written.service_account.clone(),
                containers,
            }),
            listen: listening,
            phase: written.phase.unwrap_or_default(),
            address: self.address_choice(path, written),
            workload: None,
        }
    }

    /// Reports a node that does not exist.
    pub(super) fn check_node(&mut self, path: &FieldPath, node: &str, world: &World) {
        if !world.nodes.contains_key(node) {
            let problem = self.unknown(
                self.at(path),
                "scenario/unknown",
                format!("there is no node `{node}`"),
                node,
                world.nodes.keys().map(String::as_str),
            );
            self.report(problem);
        }
    }

    fn address_choice(&mut self, path: &FieldPath, written: &cluster::Pod) -> AddressChoice {
        match (&written.addresses[..], &written.addresses_of) {
            ([], None) => AddressChoice::Fresh,
            ([], Some(other)) => match other.parse() {
                Ok(other) => AddressChoice::Of(other),
                Err(_) => {
                    let problem =
                        Diagnostic::new("scenario/name", format!("`{other}` does not name a pod"))
                            .at(self.at(&path.key("addressesOf")), "")
                            .help("a pod is written NAMESPACE/NAME");
                    self.report(problem);
                    AddressChoice::Fresh
                }
            },
            (_, Some(_)) => {
                let problem = Diagnostic::new(
                    "scenario/object",
                    "a pod has either `addresses` or `addressesOf`",
                )
                .at(self.at_key(&path.key("addressesOf")), "");
                self.report(problem);
                AddressChoice::Fresh
            }
            (addresses, None) => {
                let families: BTreeSet<Family> = addresses
                    .iter()
                    .map(|a| {
                        if a.is_ipv4() {
                            Family::Ipv4
                        } else {
                            Family::Ipv6
                        }
                    })
                    .collect();
                if families.len() != addresses.len() {
                    let problem = Diagnostic::new(
                        "scenario/object",
                        "a pod has at most one address of each family",
                    )
                    .at(self.at(&path.key("addresses")), "");
                    self.report(problem);
                }
                AddressChoice::Chosen(addresses.to_vec())
            }
        }
    }
}
