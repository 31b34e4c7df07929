//! The simulator as a back end: netsim builds nodes and pods, one enforcer per node enforces.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use enforcer::{
    agent::NodeEnforcer,
    api,
    cluster::{Event, PodRef},
    nft::{ApplyError, Dataplane, Netlink, NftBinary, Transaction},
    plan::Plan,
    policy::PolicyRef,
};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use netsim::topology::{Fabric, Families, Listen, Place, PodSpec, Topology};

use super::{Backend, BackendError, Change, LongLived, NewAddress, NewPod, Observation};
use crate::{
    cell::{Cell, Endpoint, Family, Outcome, Port, Protocol},
    endpoints,
    store::{Key, Store, key_of},
};

/// Which way rules take into the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DataplaneKind {
    /// Netlink messages; needs nothing installed.
    #[default]
    Netlink,
    /// JSON through the `nft` binary.
    Nft,
}

/// How to build a simulated cluster.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// How pods hang on their node.
    pub fabric: Fabric,
    /// Which addresses they have.
    pub families: Families,
    /// How rules reach the kernel.
    pub dataplane: DataplaneKind,
}

/// A simulated cluster.
pub struct Sim {
    store: Store,
    net: netsim::Cluster,
    enforcers: BTreeMap<String, NodeEnforcer<Box<dyn Dataplane>>>,
    families: Families,
}

impl Sim {
    /// Builds nodes and external machines; everything else comes by [`Change`]s.
    ///
    /// # Errors
    /// If the kernel refuses a namespace, a link or the first ruleset.
    pub fn build(
        nodes: &[String],
        externals: &[String],
        options: &SimOptions,
    ) -> Result<Self, BackendError> {
        let topology = Topology {
            families: options.families,
            fabric: options.fabric,
            nodes: nodes.to_vec(),
            externals: externals.to_vec(),
        };
        let net = netsim::Cluster::build(&topology).map_err(simulator("build the network"))?;
        let mut enforcers = BTreeMap::new();
        for node in nodes {
            let dataplane = open_dataplane(&net, node, options.dataplane)?;
            enforcers.insert(node.clone(), NodeEnforcer::new(node, dataplane));
        }
        Ok(Self {
            store: Store::default(),
            net,
            enforcers,
            families: options.families,
        })
    }

    /// The network under it, for those who keep it (`portcullis sim up`).
    pub fn net(&self) -> &netsim::Cluster {
        &self.net
    }

    /// Tells every node, and waits until every node's kernel has it.
    fn announce(&mut self, event: &Event) -> Result<(), BackendError> {
        for (node, enforcer) in &mut self.enforcers {
            enforcer.handle(event.clone());
            enforcer.commit().map_err(|source| BackendError::Program {
                node: node.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn announce_pod(&mut self, key: &Key) -> Result<(), BackendError> {
        let Some(pod) = self.store.pod(&key.0, &key.1) else {
            return Err(BackendError::Missing(format!("pod {}/{}", key.0, key.1)));
        };
        let event = Event::ApplyPod(api::pod(pod));
        self.announce(&event)?;
        self.resolve_services()
    }

    fn create_pods(&mut self, pods: Vec<NewPod>) -> Result<(), BackendError> {
        let specs: Vec<_> = pods.iter().filter_map(pod_spec).collect();
        let mut addresses: BTreeMap<String, Vec<IpAddr>> = specs
            .iter()
            .map(|spec| spec.name.clone())
            .zip(self.net.add_pods(&specs).map_err(simulator("add pods"))?)
            .collect();
        for new in pods {
            let key = key_of(&new.pod.metadata);
            let name = place_name(&key);
            let own = match &new.address {
                NewAddress::None => Vec::new(),
                NewAddress::Fresh | NewAddress::Chosen(_) => {
                    addresses.remove(&name).unwrap_or_default()
                }
            };
            self.store.create_pod(new.pod, &own, &new.phase);
            self.announce_pod(&key)?;
        }
        Ok(())
    }

    fn delete_pod(&mut self, key: &Key) -> Result<(), BackendError> {
        if self.store.delete_pod(key).is_none() {
            return Err(BackendError::Missing(format!("pod {}/{}", key.0, key.1)));
        }
        self.unplug(key)?;
        self.announce(&Event::DeletePod(PodRef::new(&key.0, &key.1)))?;
        self.resolve_services()
    }

    /// Takes a pod's network away, if it still has one.
    fn unplug(&mut self, key: &Key) -> Result<(), BackendError> {
        let name = place_name(key);
        if self.net.netns(&Place::Pod(name.clone())).is_some() {
            self.net
                .remove_pod(&name)
                .map_err(simulator("remove a pod"))?;
        }
        Ok(())
    }

    fn finish_pod(&mut self, key: &Key, succeeded: bool) -> Result<(), BackendError> {
        let phase = if succeeded { "Succeeded" } else { "Failed" };
        self.unplug(key)?;
        self.change_pod(key, |pod| {
            pod.status.get_or_insert_default().phase = Some(phase.to_owned());
        })
    }

    fn change_pod(&mut self, key: &Key, change: impl FnOnce(&mut Pod)) -> Result<(), BackendError> {
        if self.store.change_pod(key, change).is_none() {
            return Err(BackendError::Missing(format!("pod {}/{}", key.0, key.1)));
        }
        self.announce_pod(key)
    }

    fn apply_namespace(&mut self, namespace: Namespace) -> Result<(), BackendError> {
        let event = Event::ApplyNamespace(api::namespace(self.store.apply_namespace(namespace)));
        self.announce(&event)
    }

    fn delete_namespace(&mut self, name: &str) -> Result<(), BackendError> {
        let emptied = self.store.delete_namespace(name);
        for policy in emptied.policies {
            self.announce(&Event::DeletePolicy(PolicyRef::network_policy(
                &policy.0, &policy.1,
            )))?;
        }
        for pod in emptied.pods {
            self.unplug(&pod)?;
            self.announce(&Event::DeletePod(PodRef::new(&pod.0, &pod.1)))?;
        }
        self.announce(&Event::DeleteNamespace(name.into()))?;
        self.resolve_services()
    }

    fn resolve_services(&mut self) -> Result<(), BackendError> {
        let services = endpoints::resolve(&self.store);
        self.net
            .set_services(&services)
            .map_err(simulator("program the Services"))
    }

    fn place(&self, endpoint: &Endpoint) -> Option<Place> {
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let pod = self.store.pod(namespace, name)?;
                let spec = pod.spec.as_ref()?;
                if spec.host_network == Some(true) {
                    return Some(Place::Node(spec.node_name.clone()?));
                }
                Some(Place::Pod(format!("{namespace}/{name}")))
            }
            Endpoint::Node(name) => Some(Place::Node(name.clone())),
            Endpoint::External(name) => Some(Place::External(name.clone())),
            Endpoint::Service { .. } => None,
        }
    }

    fn netsim_probe(&self, cell: &Cell) -> Result<netsim::probe::Probe, BackendError> {
        let missing = || BackendError::Missing(cell.to_string());
        Ok(netsim::probe::Probe {
            from: self.place(&cell.source).ok_or_else(missing)?,
            to: self
                .address(&cell.destination, cell.family)
                .ok_or_else(missing)?,
            port: cell.port.number.unwrap_or(0),
            protocol: netsim_protocol(cell.port.protocol),
        })
    }
}

impl Backend for Sim {
    fn store(&self) -> &Store {
        &self.store
    }

    fn change(&mut self, change: Change) -> Result<(), BackendError> {
        match change {
            Change::CreateNode(node) => {
                let name = node.metadata.name.clone().unwrap_or_default();
                let addresses = self.net.node_addresses(&name);
                let cidrs = self.net.node_pod_cidrs(&name);
                let cidrs = cidrs.iter().map(ToString::to_string).collect();
                let node = self.store.apply_node(node, &addresses, cidrs);
                let event = Event::ApplyNode(api::node(node));
                self.announce(&event)
            }
            Change::ApplyNamespace(namespace) => self.apply_namespace(namespace),
            Change::DeleteNamespace(name) => self.delete_namespace(&name),
            Change::LabelNamespace(name, labels) => {
                let Some(namespace) = self.store.namespace(&name) else {
                    return Err(BackendError::Missing(format!("namespace {name}")));
                };
                let mut namespace = namespace.clone();
                change_labels(namespace.metadata.labels.get_or_insert_default(), labels);
                self.apply_namespace(namespace)
            }
            Change::LabelNode(name, labels) => {
                let Some(node) = self.store.nodes().find(|n| n.metadata.name.as_ref() == Some(&name))
                else {
                    return Err(BackendError::Missing(format!("node {name}")));
                };
                let mut node = node.clone();
                change_labels(node.metadata.labels.get_or_insert_default(), labels);
                self.change(Change::CreateNode(node))
            }
            Change::CreatePods(pods) => self.create_pods(pods),
            Change::DeletePod(key) => self.delete_pod(&key),
            Change::FinishPod { pod, succeeded } => self.finish_pod(&pod, succeeded),
            Change::LabelPod(key, labels) => self.change_pod(&key, |pod| {
                change_labels(pod.metadata.labels.get_or_insert_default(), labels);
            }),
            Change::ApplyPolicy(policy) => {
                let stored = self
                    .store
                    .apply_policy(*policy)
                    .map_err(BackendError::Refused)?;
                let event =
                    Event::ApplyPolicy(api::policy_ref(stored), api::lower_network_policy(stored));
                self.announce(&event)
            }
            Change::DeletePolicy(key) => {
                if !self.store.delete_policy(&key) {
                    return Err(BackendError::Missing(format!("policy {}/{}", key.0, key.1)));
                }
                self.announce(&Event::DeletePolicy(PolicyRef::network_policy(
                    &key.0, &key.1,
                )))
            }
            Change::ApplyService(service) => {
                self.store.apply_service(*service);
                self.resolve_services()
            }
            Change::DeleteService(key) => {
                self.store.delete_service(&key);
                self.resolve_services()
            }
        }
    }

    fn address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        let wanted = |address: &IpAddr| address.is_ipv6() == (family == Family::Ipv6);
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let status = self.store.pod(namespace, name)?.status.as_ref()?;
                let ips = status.pod_ips.iter().flatten();
                ips.filter_map(|ip| ip.ip.parse().ok()).find(wanted)
            }
            Endpoint::Node(name) => self.net.node_addresses(name).into_iter().find(wanted),
            Endpoint::External(name) => {
                self.net.external_addresses(name).into_iter().find(wanted)
            }
            Endpoint::Service { namespace, name } => {
                let spec = self.store.service(namespace, name)?.spec.as_ref()?;
                let ips = spec.cluster_ips.iter().flatten();
                ips.filter_map(|ip| ip.parse().ok()).find(wanted)
            }
        }
    }

    fn pod_cidrs(&self) -> Vec<IpNet> {
        self.net.pod_cidrs()
    }

    fn node_pod_cidrs(&self, node: &str) -> Vec<IpNet> {
        self.net.node_pod_cidrs(node)
    }

    fn probe(
        &mut self,
        cells: &[Cell],
        deadline: Duration,
    ) -> Result<Vec<Observation>, BackendError> {
        let probes = cells
            .iter()
            .map(|cell| self.netsim_probe(cell))
            .collect::<Result<Vec<_>, _>>()?;
        let answers = self
            .net
            .probe(&probes, deadline)
            .map_err(simulator("probe"))?;
        Ok(answers.into_iter().map(observation).collect())
    }

    fn open_flow(
        &mut self,
        cell: &Cell,
        deadline: Duration,
    ) -> Result<Box<dyn LongLived>, Outcome> {
        let probe = self.netsim_probe(cell).map_err(|_| Outcome::Unreachable)?;
        match self.net.open_flow(&probe, deadline) {
            Ok(flow) => Ok(Box::new(SimFlow(flow))),
            Err(error) => Err(outcome(error.outcome)),
        }
    }

    fn plans(&self) -> Vec<(&str, &Plan)> {
        self.enforcers
            .iter()
            .map(|(node, enforcer)| (node.as_str(), enforcer.plan()))
            .collect()
    }

    fn dump(&self, node: &str) -> String {
        match self.net.dump(node) {
            Ok(dump) => dump.to_string(),
            Err(error) => format!("failed to dump {node}: {error}\n"),
        }
    }
}

/// A long-lived connection of the simulator.
struct SimFlow(netsim::flow::Flow);

impl LongLived for SimFlow {
    fn exchange(&mut self, deadline: Duration) -> Outcome {
        outcome(self.0.exchange(deadline))
    }
}

/// Runs every transaction on a thread that has entered the node's namespace; for a dataplane that
/// starts processes.
struct Inside<D> {
    netns: netsim::netns::Netns,
    dataplane: D,
}

impl<D: Dataplane> Dataplane for Inside<D> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let dataplane = &mut self.dataplane;
        self.netns
            .run(|| dataplane.apply(transaction))
            .map_err(ApplyError::from)?
    }
}

fn open_dataplane(
    net: &netsim::Cluster,
    node: &str,
    kind: DataplaneKind,
) -> Result<Box<dyn Dataplane>, BackendError> {
    let failed = |source: ApplyError| BackendError::Program {
        node: node.to_owned(),
        source,
    };
    let netns = net
        .netns(&Place::Node(node.to_owned()))
        .ok_or_else(|| BackendError::Missing(format!("node {node}")))?;
    match kind {
        DataplaneKind::Netlink => {
            let opened = netns.run(Netlink::open).and_then(|opened| opened);
            Ok(Box::new(opened.map_err(|e| failed(e.into()))?))
        }
        DataplaneKind::Nft => {
            let netns = netns.try_clone().map_err(|e| failed(e.into()))?;
            let dataplane = NftBinary::find().map_err(failed)?;
            Ok(Box::new(Inside { netns, dataplane }))
        }
    }
}

/// What the simulator needs to know of a pod; nothing for a pod that has no network yet.
fn pod_spec(new: &NewPod) -> Option<PodSpec> {
    let spec = new.pod.spec.as_ref()?;
    let addresses = match &new.address {
        NewAddress::Fresh => None,
        NewAddress::Chosen(addresses) => Some(addresses.clone()),
        NewAddress::None => return None,
    };
    Some(PodSpec {
        name: place_name(&key_of(&new.pod.metadata)),
        node: spec.node_name.clone()?,
        host_network: spec.host_network == Some(true),
        addresses,
        listen: new.listen.iter().filter_map(listen).collect(),
    })
}

fn listen(port: &Port) -> Option<Listen> {
    Some(Listen {
        port: port.number?,
        protocol: netsim_protocol(port.protocol),
    })
}

fn netsim_protocol(protocol: Protocol) -> netsim::topology::Protocol {
    match protocol {
        Protocol::Tcp => netsim::topology::Protocol::Tcp,
        Protocol::Udp => netsim::topology::Protocol::Udp,
        Protocol::Sctp => netsim::topology::Protocol::Sctp,
        Protocol::Icmp => netsim::topology::Protocol::Icmp,
    }
}

fn outcome(outcome: netsim::probe::Outcome) -> Outcome {
    match outcome {
        netsim::probe::Outcome::Allowed => Outcome::Allowed,
        netsim::probe::Outcome::Denied => Outcome::Denied,
        netsim::probe::Outcome::Refused => Outcome::Refused,
        netsim::probe::Outcome::Unreachable => Outcome::Unreachable,
    }
}

fn observation(answer: netsim::probe::Answer) -> Observation {
    Observation {
        outcome: outcome(answer.outcome),
        source_seen: answer.source_seen.map(|address| address.ip()),
        served_by: answer.served_by,
        latency: answer.latency,
    }
}

fn place_name(key: &Key) -> String {
    format!("{}/{}", key.0, key.1)
}

fn change_labels(labels: &mut BTreeMap<String, String>, change: super::change::LabelChange) {
    for (name, value) in change {
        match value {
            Some(value) => labels.insert(name, value),
            None => labels.remove(&name),
        };
    }
}

fn simulator(operation: &str) -> impl Fn(netsim::Error) -> BackendError {
    move |source| BackendError::Simulator {
        operation: operation.to_owned(),
        source,
    }
}
