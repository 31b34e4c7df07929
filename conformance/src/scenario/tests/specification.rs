//! What the library expects is what the specification says: every connection of every scenario is
//! put to the oracle. No packet is sent, so this also runs where no network can be simulated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    path::Path,
};

use k8s_openapi::api::{
    core::v1::{NodeAddress, NodeStatus, PodIP, PodStatus},
    networking::v1::NetworkPolicy,
};

use crate::{
    cell::{Cell, Endpoint, Family, Port},
    oracle::{self, Connection, judge},
    scenario::{
        AddressChoice, AgentAction, Change, Expected, ObjectName, Pod, Resolve, Scenario, Step,
        Template, Wanted, World, is_yaml, load,
    },
};

#[test]
fn every_expectation_of_the_library_is_what_the_oracle_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut wrong = Vec::new();
    let mut judged = 0;
    for topic in fs::read_dir(root).unwrap() {
        let topic = topic.unwrap().path();
        for file in fs::read_dir(topic).into_iter().flatten() {
            let file = file.unwrap().path();
            if is_yaml(&file) {
                for play in load(&file).unwrap_or_else(|errors| panic!("{errors}")) {
                    Paper::of(&play).play(&play, &mut judged, &mut wrong);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(judged > 100, "only {judged} connections were judged");
}

/// A cluster on paper. Every pod ever gets a number of its own, beside that of its node.
struct Paper {
    pods: BTreeMap<ObjectName, (u16, u16)>,
    /// The numbers that pods had before.
    earlier: BTreeMap<ObjectName, (u16, u16)>,
    /// Nodes whose agent does not run.
    stopped: BTreeSet<String>,
    /// Nodes whose agent hears nothing of the API server.
    cut: BTreeSet<String>,
    next: u16,
    policies: BTreeMap<ObjectName, NetworkPolicy>,
    world: World,
}

impl Paper {
    fn of(play: &Scenario) -> Self {
        let mut paper = Self {
            pods: BTreeMap::new(),
            earlier: BTreeMap::new(),
            stopped: nodes_without_agent(&play.world),
            cut: BTreeSet::new(),
            next: 1,
            policies: BTreeMap::new(),
            world: play.world.clone(),
        };
        for pod in play.world.pods.values() {
            paper.start(pod);
        }
        for policy in &play.initial_policies {
            paper
                .policies
                .insert(policy.name.clone(), policy.resolve(&paper).unwrap());
        }
        paper
    }

    fn start(&mut self, pod: &Pod) {
        let numbers = match &pod.address {
            AddressChoice::Of(other) => self.pods[other],
            AddressChoice::Fresh | AddressChoice::Chosen(_) => {
                self.next += 1;
                let node = position(self.world.nodes.keys(), pod.node());
                (node.expect("the checker knows the node"), self.next)
            }
        };
        let before = self.pods.insert(pod.name.clone(), numbers);
        if let Some(before) = before.filter(|before| *before != numbers) {
            self.earlier.insert(pod.name.clone(), before);
        }
    }

    fn agent(&mut self, node: &str, action: AgentAction) {
        match action {
            AgentAction::Stop | AgentAction::Kill => {
                self.stopped.insert(node.to_owned());
            }
            AgentAction::Start => {
                self.stopped.remove(node);
            }
            AgentAction::CutApi => {
                self.cut.insert(node.to_owned());
            }
            AgentAction::RestoreApi => {
                self.cut.remove(node);
            }
            AgentAction::Restart | AgentAction::RefuseTransactions(_) => {}
        }
    }

    fn play(mut self, play: &Scenario, judged: &mut usize, wrong: &mut Vec<String>) {
        for step in &play.steps {
            // Templates are filled with what is there when a policy is applied.
            for change in &step.changes {
                match change {
                    Change::CreatePod(pod) | Change::RecreatePod(pod) | Change::StartPod(pod) => {
                        self.world.pods.insert(pod.name.clone(), (**pod).clone());
                        self.start(pod);
                    }
                    Change::ApplyPolicy(policy) => {
                        let filled = policy.resolve(&self).unwrap();
                        self.policies.insert(policy.name.clone(), filled);
                    }
                    Change::StorePolicy(policy) => match policy.resolve(&self) {
                        Ok(filled) => {
                            self.policies.insert(policy.name.clone(), filled);
                        }
                        // No type of today says what it means.
                        Err(_) => return,
                    },
                    Change::Agent { node, action } => self.agent(node, *action),
                    Change::DeletePolicy(name) => {
                        self.policies.remove(name);
                    }
                    Change::DeleteNamespace(namespace) => {
                        self.policies.retain(|name, _| name.namespace != *namespace);
                    }
                    _ => {}
                }
            }
            self.world = step.world.clone();
            // Who enforces what he saw long ago is not put to the specification.
            if self.stopped.is_empty() && self.cut.is_empty() && !refuses_transactions(step) {
                self.judge(play, step, judged, wrong);
            }
        }
    }

    fn judge(&self, play: &Scenario, step: &Step, judged: &mut usize, wrong: &mut Vec<String>) {
        let world = self.oracle_world();
        for expected in step.expectations.iter().flat_map(|e| &e.cells) {
            let cell = &expected.cell;
            let said = match expected.expected {
                // Who is not there refuses only what is let through to it.
                Expected::Allow | Expected::Refused => true,
                Expected::Deny => false,
                Expected::Either | Expected::Unreachable => continue,
            };
            let verdicts: BTreeSet<bool> = self
                .connections(cell)
                .iter()
                .map(|connection| judge(&world, connection).allowed)
                .collect();
            if verdicts.is_empty() {
                continue;
            }
            *judged += 1;
            if verdicts != BTreeSet::from([said]) {
                let place = expected.origin.location().map(ToString::to_string);
                wrong.push(format!(
                    "{}: {} › {}: {cell} is to be {}, the oracle says {verdicts:?}",
                    place.unwrap_or_default(),
                    play.name,
                    step.name,
                    expected.expected,
                ));
            }
        }
    }

    /// What can become of a connection after a Service's address was replaced.
    fn connections(&self, cell: &Cell) -> Vec<Connection> {
        let targets: Vec<(Endpoint, Port)> = match &cell.destination {
            Endpoint::Service { namespace, name } => {
                let service = &self.world.services[&ObjectName::new(namespace, name)];
                let ports = service.ports().into_iter().filter(|p| p.port == cell.port);
                let backings = ports.flat_map(|port| self.world.backings(service, &port));
                let endpoint = |pod: ObjectName| Endpoint::Pod {
                    namespace: pod.namespace,
                    name: pod.name,
                };
                let reached = self
                    .world
                    .targets(&cell.source, &cell.destination, cell.port);
                backings
                    .map(|b| (endpoint(b.pod), b.port))
                    .filter(|(pod, _)| reached.contains(pod))
                    .collect()
            }
            // A NodePort may rewrite the source: only the kernel knows.
            other => {
                let end = self.world.dialled(&cell.source, other);
                let targets = self.world.targets(&cell.source, other, cell.port);
                let is_direct = targets == [end.clone()];
                is_direct
                    .then(|| (end.clone(), cell.port))
                    .into_iter()
                    .collect()
            }
        };
        let connection = |(target, port): (Endpoint, Port)| {
            Some(Connection {
                source: self.address(&cell.source, cell.family)?,
                destination: self.address(&target, cell.family)?,
                source_node: self.node(&cell.source),
                destination_node: self.node(&target),
                protocol: port.protocol,
                port: port.number,
            })
        };
        targets.into_iter().filter_map(connection).collect()
    }

    fn node(&self, endpoint: &Endpoint) -> Option<String> {
        match endpoint {
            Endpoint::Node(name) => Some(name.clone()),
            _ => Some(self.world.pod(endpoint)?.node().to_owned()),
        }
    }

    fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        let (range, number) = match endpoint {
            Endpoint::Pod { namespace, name } => {
                let pod = self.world.pod(endpoint);
                if let Some(pod) = pod.filter(|pod| pod.is_host_network()) {
                    return self.address(&Endpoint::Node(pod.node().to_owned()), family);
                }
                let numbers = *self.pods.get(&ObjectName::new(namespace, name))?;
                return Some(address(Range::Pods, numbers, family));
            }
            Endpoint::Node(name) => (Range::Nodes, position(self.world.nodes.keys(), name)?),
            Endpoint::External(name) => {
                (Range::Outside, position(self.world.externals.keys(), name)?)
            }
            Endpoint::Service { .. } | Endpoint::Localhost => return None,
        };
        Some(address(range, (0, number), family))
    }

    fn oracle_world(&self) -> oracle::World {
        let families = [Family::Ipv4, Family::Ipv6];
        let pods = self.world.pods.values().map(|pod| {
            let endpoint = Endpoint::Pod {
                namespace: pod.name.namespace.clone(),
                name: pod.name.name.clone(),
            };
            let addresses = families.iter().filter_map(|f| self.address(&endpoint, *f));
            let mut object = pod.object.clone();
            object.status = Some(PodStatus {
                phase: Some(pod.phase.to_string()),
                pod_ips: Some(addresses.map(|ip| PodIP { ip: ip.to_string() }).collect()),
                ..PodStatus::default()
            });
            object
        });
        let nodes = self.world.nodes.iter().map(|(name, node)| {
            let endpoint = Endpoint::Node(name.clone());
            let addresses = families.iter().filter_map(|f| self.address(&endpoint, *f));
            let mut object = node.object.clone();
            object.status = Some(NodeStatus {
                addresses: Some(
                    addresses
                        .map(|address| NodeAddress {
                            address: address.to_string(),
                            type_: "InternalIP".to_owned(),
                        })
                        .collect(),
                ),
                ..NodeStatus::default()
            });
            object
        });
        oracle::World {
            namespaces: self
                .world
                .namespaces
                .values()
                .map(|n| n.object.clone())
                .collect(),
            pods: pods.collect(),
            nodes: nodes.collect(),
            policies: self.policies.values().cloned().collect(),
        }
    }
}

/// Where an address comes from, as in the simulator.
#[derive(Clone, Copy)]
enum Range {
    /// 10.244.0.0/16.
    Pods,
    /// 172.18.0.0/16.
    Nodes,
    /// 203.0.113.0/24.
    Outside,
}

/// The address of a number of a subnet of a range.
fn address(range: Range, (subnet, number): (u16, u16), family: Family) -> IpAddr {
    let number = number + 2;
    let text = match (range, family) {
        (Range::Pods, Family::Ipv4) => format!("10.244.{subnet}.{number}"),
        (Range::Pods, Family::Ipv6) => format!("fd00:244:0:{subnet:x}::{number:x}"),
        (Range::Nodes, Family::Ipv4) => format!("172.18.{subnet}.{number}"),
        (Range::Nodes, Family::Ipv6) => format!("fd00:172:18:{subnet:x}::{number:x}"),
        (Range::Outside, Family::Ipv4) => format!("203.0.113.{number}"),
        (Range::Outside, Family::Ipv6) => format!("2001:db8:ffff:{subnet:x}::{number:x}"),
    };
    text.parse().expect("an address")
}

fn nodes_without_agent(world: &World) -> BTreeSet<String> {
    let nodes = world.nodes.iter().filter(|(_, node)| !node.agent);
    nodes.map(|(name, _)| name.clone()).collect()
}

fn refuses_transactions(step: &Step) -> bool {
    step.changes.iter().any(|change| {
        matches!(
            change,
            Change::Agent {
                action: AgentAction::RefuseTransactions(_),
                ..
            }
        )
    })
}

fn position<'a>(mut names: impl Iterator<Item = &'a String>, name: &str) -> Option<u16> {
    u16::try_from(names.position(|n| n == name)?).ok()
}

impl Resolve for Paper {
    fn resolve(&self, template: &Template) -> Option<String> {
        let family = template.family?;
        let endpoint = match &template.wanted {
            Wanted::Pod { namespace, name } => Endpoint::Pod {
                namespace: namespace.clone(),
                name: name.clone(),
            },
            Wanted::FormerPod { namespace, name } => {
                let numbers = *self.earlier.get(&ObjectName::new(namespace, name))?;
                return Some(address(Range::Pods, numbers, family).to_string());
            }
            Wanted::Node(name) => Endpoint::Node(name.clone()),
            Wanted::External(name) => Endpoint::External(name.clone()),
            Wanted::PodCidr => {
                return Some(match family {
                    Family::Ipv4 => "10.244.0.0/16".to_owned(),
                    Family::Ipv6 => "fd00:244::/48".to_owned(),
                });
            }
            Wanted::NodePodCidr(name) => {
                let node = position(self.world.nodes.keys(), name)?;
                return Some(match family {
                    Family::Ipv4 => format!("10.244.{node}.0/24"),
                    Family::Ipv6 => format!("fd00:244:0:{node:x}::/64"),
                });
            }
            // Policies see pods behind Services, never ClusterIPs (82, 180): any will do.
            Wanted::ServiceCidr => {
                return Some(match family {
                    Family::Ipv4 => "10.96.0.0/16".to_owned(),
                    Family::Ipv6 => "fd00:96::/112".to_owned(),
                });
            }
            Wanted::Service { .. } => {
                return Some(match family {
                    Family::Ipv4 => "10.96.0.1".to_owned(),
                    Family::Ipv6 => "fd00:96::1".to_owned(),
                });
            }
            Wanted::HostBits => return None,
        };
        Some(self.address(&endpoint, family)?.to_string())
    }
}
