//! Pods as `cluster.pods` and `createPods` write them.

use std::collections::{BTreeMap, BTreeSet};

use enforcer::{
    diagnostic::Diagnostic,
    yaml::{FieldPath, Location},
};

use super::Reader;
use crate::{
    cell::{Family, Port, Protocol},
    scenario::{
        text::endpoint::RESERVED,
        world::{
            AddressChoice, DeclaredPort, Named, ObjectName, Phase, Pod, PodParts, World, pod_object,
        },
        written::{
            cluster::{self, Listen},
            short::ShortOrLong,
        },
    },
};

/// The ports on which a pod listens, as its containers declare them.
fn declared_by(pod: &Pod) -> Vec<DeclaredPort> {
    let hosts = pod.host_ports();
    let host = |port: Port| {
        hosts
            .iter()
            .find(|(_, own)| *own == port)
            .map(|(host, _)| *host)
    };
    let ports = pod.listening().into_iter();
    ports
        .map(|port| DeclaredPort {
            host: host(port.value),
            port,
        })
        .collect()
}

impl Reader {
    /// Reads the ports of a node or of a machine outside; entries that are none are reported and
    /// left out.
    pub(super) fn listen(
        &mut self,
        path: &FieldPath,
        listen: &[ShortOrLong<Listen>],
    ) -> Vec<Named<Port>> {
        for (index, ShortOrLong(entry)) in listen.iter().enumerate() {
            if entry.host_port.is_some() {
                let problem = Diagnostic::new("scenario/object", "only a pod has a `hostPort`")
                    .at(self.at_key(&path.index(index).key("hostPort")), "");
                self.report(problem);
            }
        }
        self.ports(path, listen)
    }

    /// Reads the ports of a container.
    fn declared(
        &mut self,
        path: &FieldPath,
        listen: &[ShortOrLong<Listen>],
        host_network: bool,
    ) -> Vec<DeclaredPort> {
        let mut hosts = BTreeMap::new();
        for (index, ShortOrLong(entry)) in listen.iter().enumerate() {
            let (Some(host), Ok(port)) = (entry.host_port, entry.port()) else {
                continue;
            };
            let why_not = if host == 0 {
                Some("0 is not a port: ports are whole numbers from 1 to 65535")
            } else if port.number.is_none() {
                Some("ICMP has no ports")
            } else if host_network && port.number != Some(host) {
                Some("in the network of its node, a pod's ports are those of the node")
            } else {
                None
            };
            match why_not {
                Some(why_not) => {
                    let location = self.at(&path.index(index).key("hostPort"));
                    let problem = Diagnostic::new("scenario/port", why_not).at(location, "");
                    self.report(problem);
                }
                None => {
                    hosts.insert(port, host);
                }
            }
        }
        let ports = self.ports(path, listen).into_iter();
        ports
            .map(|port| DeclaredPort {
                host: hosts.get(&port.value).copied(),
                port,
            })
            .collect()
    }

    fn ports(&mut self, path: &FieldPath, listen: &[ShortOrLong<Listen>]) -> Vec<Named<Port>> {
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
    pub(super) fn check_namespace_name(&mut self, location: Location, name: &str) {
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
        let host_network = written
            .host_network
            .or(base.map(Pod::is_host_network))
            .unwrap_or(false);
        let mut listening: Vec<Port> = Vec::new();
        let mut containers = Vec::new();
        if written.containers.is_empty() {
            let ports = match (&written.listen, base) {
                (Some(listen), _) => self.declared(&path.key("listen"), listen, host_network),
                (None, Some(base)) => declared_by(base),
                (None, None) => Vec::new(),
            };
            listening.extend(ports.iter().map(|p| p.port.value));
            containers.push(("main".to_owned(), ports));
        }
        for (container, ports) in &written.containers {
            let path = path.key("containers").key(container);
            self.check_name_at(self.at_key(&path), container, 63, false);
            let open = self.declared(&path.key("listen"), &ports.listen, host_network);
            let mut declared = self.declared(&path.key("declare"), &ports.declare, host_network);
            for DeclaredPort { port, .. } in &open {
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
            terminating: false,
            address: self.address_choice(path, written),
            workload: None,
        }
    }

    /// Reports every port of a node that leads to two pods, or to a pod and something else, unless it
    /// is `known` already. `step` is where the step is written that brought it about.
    pub(super) fn check_host_ports(
        &mut self,
        world: &World,
        step: Option<&Location>,
        known: &mut BTreeSet<String>,
    ) {
        let mut owners: BTreeMap<(&str, u16, Protocol), String> = BTreeMap::new();
        for (name, node) in &world.nodes {
            for port in &node.listen {
                if let Some(number) = port.number {
                    let owner = format!("node/{name} itself");
                    owners.insert((name, number, port.protocol), owner);
                }
            }
            for service in world.services.values() {
                for port in service.ports() {
                    if let Some(number) = port.node_port {
                        let owner = format!("svc/{}", service.name);
                        owners.insert((name, number, port.port.protocol), owner);
                    }
                }
            }
        }
        let alive = |pod: &&Pod| matches!(pod.phase, Phase::Running | Phase::Pending);
        for pod in world.pods.values().filter(alive) {
            for (host, own) in pod.host_ports() {
                let key = (pod.node(), host, own.protocol);
                let Some(other) = owners.insert(key, pod.name.to_string()) else {
                    continue;
                };
                let node = pod.node();
                let message = format!(
                    "port {host}/{} of {node} is wanted by {other} and {}",
                    own.protocol, pod.name
                );
                if known.insert(message.clone()) {
                    let location = step.cloned().unwrap_or_else(|| self.pod_location(pod));
                    let problem = Diagnostic::new("scenario/duplicate", message)
                        .at(location, "")
                        .help(
                            "place the pods on different nodes, or give them different host ports",
                        );
                    self.report(problem);
                }
            }
        }
    }

    /// Where a pod of the cluster is written.
    fn pod_location(&self, pod: &Pod) -> Location {
        let path = FieldPath::root().key("spec").key("cluster");
        let own = path.key("pods").key(pod.name.to_string());
        let grid = path.key("grid");
        if self.document.at(&own).is_some() {
            self.at_key(&own)
        } else if self.document.at(&grid).is_some() {
            self.at_key(&grid)
        } else {
            self.at_key(&path)
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
