//! `spec.cluster`: what exists before the first step.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::short::{NamesOrMap, Short, ShortOrLong};
use crate::{
    cell::{Port, Protocol},
    scenario::{text::listen, world::Phase},
};

/// What exists before the first step.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Cluster {
    /// The families pods have addresses of. Where it is left out, `forEach: {family: …}` or the
    /// command line decides, and without those pods have both.
    pub(crate) families: Option<Families>,
    /// How pods are connected to their node; `forEach: {fabric: …}` and the command line decide
    /// where it is left out. Only simulators have a choice.
    pub(crate) fabric: Option<Fabric>,
    /// The usual fixture: the same pods in several namespaces.
    pub(crate) grid: Option<Grid>,
    /// The nodes; n1 and n2 if this is left out.
    #[serde(default)]
    pub(crate) nodes: Vec<ShortOrLong<Node>>,
    /// Which pods run on which node, as in `{"*/a": n1}`. Pods that neither this nor their own
    /// `node` puts anywhere are dealt out to the nodes in the order of their names.
    #[serde(default)]
    pub(crate) place: BTreeMap<String, String>,
    /// Namespaces by name. `default` always exists; `kubernetes.io/metadata.name` is added as the
    /// API server does.
    #[serde(default)]
    pub(crate) namespaces: NamesOrMap<Namespace>,
    /// Pods by `namespace/name`. An entry for a pod of the grid changes that pod: labels are added,
    /// everything else is replaced.
    #[serde(default)]
    pub(crate) pods: BTreeMap<String, Option<Pod>>,
    /// Services by `namespace/name`.
    #[serde(default)]
    pub(crate) services: BTreeMap<String, Service>,
    /// Machines outside the cluster, by name.
    #[serde(default)]
    pub(crate) external: NamesOrMap<External>,
    /// Paths of YAML files or folders, relative to this file: Namespaces, Pods, Deployments,
    /// ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs, Services, Nodes and Lists of them.
    /// NetworkPolicies among them are in force from the first step on.
    #[serde(default)]
    pub(crate) manifests: Vec<String>,
}

/// Which families pods have addresses of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Families {
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both.
    Dual,
}

/// How pods are connected to their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fabric {
    /// By a bridge.
    Bridge,
    /// By a route of their own.
    Routed,
}

impl fmt::Display for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge",
            Self::Routed => "routed",
        })
    }
}

/// The usual fixture: every namespace has a pod of every name. Namespaces are labelled
/// `ns: NAME`, pods `pod: NAME`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Grid {
    /// The namespaces; x, y and z if this is left out.
    #[serde(default = "usual_namespaces")]
    #[schemars(length(min = 1))]
    pub(crate) namespaces: Vec<String>,
    /// The pods of each namespace; a, b and c if this is left out.
    #[serde(default = "usual_pods")]
    #[schemars(length(min = 1))]
    pub(crate) pods: Vec<String>,
    /// What each pod listens on; 80/tcp if this is left out.
    #[serde(default = "usual_ports")]
    pub(crate) listen: Vec<ShortOrLong<Listen>>,
}

fn usual_namespaces() -> Vec<String> {
    ["x", "y", "z"].map(str::to_owned).to_vec()
}

fn usual_pods() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).to_vec()
}

fn usual_ports() -> Vec<ShortOrLong<Listen>> {
    vec![ShortOrLong(Listen {
        port: Some(80),
        protocol: Some(ProtocolName(Protocol::Tcp)),
        name: None,
        host_port: None,
    })]
}

/// A node.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// Its labels.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// What a process in the node's own network namespace listens on.
    #[serde(default)]
    pub(crate) listen: Vec<ShortOrLong<Listen>>,
    /// The MTU of the links to its pods, in bytes, so that bigger packets get fragmented. Only
    /// simulators can choose it.
    #[schemars(range(min = 1280, max = 1500))]
    pub(crate) pod_mtu: Option<u16>,
    /// Whether an agent runs on it from the beginning; if not, `startAgents` starts it.
    #[serde(default = "yes")]
    pub(crate) agent: bool,
}

fn yes() -> bool {
    true
}

impl Short for Node {
    const EXPECTED: &'static str = "a name, or a mapping with name, labels, listen and so on";
    const SHORT: &'static str = "The name of a node.";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            name: text.to_owned(),
            labels: BTreeMap::new(),
            listen: Vec::new(),
            pod_mtu: None,
            agent: true,
        })
    }
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Namespace {
    /// Its labels.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Pod {
    /// Its labels.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// The node it runs on.
    pub(crate) node: Option<String>,
    /// What it listens on: nothing if this is left out. Every port is also a container port, so
    /// that policies and Services can name it.
    pub(crate) listen: Option<Vec<ShortOrLong<Listen>>>,
    /// Several containers by name, in place of `listen`.
    #[serde(default)]
    pub(crate) containers: BTreeMap<String, Container>,
    /// Whether it shares the network namespace of its node.
    pub(crate) host_network: Option<bool>,
    /// The name of its ServiceAccount.
    pub(crate) service_account: Option<String>,
    /// Its phase; Running if this is left out.
    pub(crate) phase: Option<Phase>,
    /// Addresses to give it, one of each family at most. Only simulators can.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) addresses: Vec<IpAddr>,
    /// The pod whose addresses it takes over: one that has been deleted or has finished. Only
    /// simulators can.
    pub(crate) addresses_of: Option<String>,
}

/// One of several containers of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Container {
    /// Ports it listens on.
    #[serde(default)]
    pub(crate) listen: Vec<ShortOrLong<Listen>>,
    /// Ports its manifest names, though nothing listens on them.
    #[serde(default)]
    pub(crate) declare: Vec<ShortOrLong<Listen>>,
}

/// A port on which something listens.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Listen {
    /// Its number; ICMP has none.
    #[schemars(range(min = 1))]
    pub(crate) port: Option<u16>,
    /// Its protocol; TCP if this is left out.
    pub(crate) protocol: Option<ProtocolName>,
    /// The name by which policies and Services can mean it.
    pub(crate) name: Option<String>,
    /// The port of the pod's node that leads here, as in `node/n1:8080`.
    #[schemars(range(min = 1))]
    pub(crate) host_port: Option<u16>,
}

impl Listen {
    /// The port, or why it is none.
    pub(crate) fn port(&self) -> Result<Port, &'static str> {
        let protocol = self.protocol.map_or(Protocol::Tcp, |p| p.0);
        match (self.port, protocol) {
            (None, Protocol::Icmp)
            | (Some(1..), Protocol::Tcp | Protocol::Udp | Protocol::Sctp) => Ok(Port {
                number: self.port,
                protocol,
            }),
            (Some(_), Protocol::Icmp) => Err("ICMP has no ports"),
            (None, _) => Err("the port number is missing"),
            (Some(0), _) => Err("0 is not a port: ports are whole numbers from 1 to 65535"),
        }
    }
}

impl Short for Listen {
    const EXPECTED: &'static str =
        "a port such as 80/tcp, or a mapping with port, protocol and name";
    const SHORT: &'static str =
        "Number and protocol: 80/tcp, 53/udp, 132/sctp; icmp has no number.";

    fn from_text(text: &str) -> Result<Self, String> {
        let port = listen::parse(text).map_err(|error| error.line())?;
        Ok(Self {
            port: port.number,
            protocol: Some(ProtocolName(port.protocol)),
            name: None,
            host_port: None,
        })
    }

    fn short_schema() -> Schema {
        json_schema!({
            "description": Self::SHORT,
            "examples": ["80/tcp", "53/udp", "icmp"],
            "pattern": "^([0-9]+(/([tT][cC][pP]|[uU][dD][pP]|[sS][cC][tT][pP]))?|[iI][cC][mM][pP])$",
            "type": ["string", "integer"],
        })
    }
}

/// A protocol's name in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProtocolName(pub(crate) Protocol);

impl<'de> Deserialize<'de> for ProtocolName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for ProtocolName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Protocol".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        json_schema!({
            "enum": ["TCP", "UDP", "SCTP", "ICMP", "tcp", "udp", "sctp", "icmp"],
        })
    }
}

/// A machine that is no pod and no node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct External {
    /// What it listens on: nothing if this is left out.
    #[serde(default)]
    pub(crate) listen: Vec<ShortOrLong<Listen>>,
    /// The node behind which it is, so that this node forwards its traffic; it is still no pod, and
    /// nobody enforces policies for it. Outside the cluster if this is left out.
    pub(crate) behind: Option<String>,
}

/// A Service, with the fields of Kubernetes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Service {
    /// Labels of the pods behind it.
    pub(crate) selector: BTreeMap<String, String>,
    /// Its ports.
    #[schemars(length(min = 1))]
    pub(crate) ports: Vec<ShortOrLong<ServicePort>>,
    /// ClusterIP if this is left out.
    #[serde(default)]
    pub(crate) r#type: ServiceType,
    /// Whether it has no ClusterIP: its name means its pods.
    #[serde(default)]
    pub(crate) headless: bool,
    /// Whether a NodePort keeps the client's address and answers only for pods of its own node.
    pub(crate) external_traffic_policy: Option<TrafficPolicy>,
    /// Whether clients in the cluster reach only pods of their own node.
    pub(crate) internal_traffic_policy: Option<TrafficPolicy>,
    /// Whether a client stays with the pod that it reached first.
    pub(crate) session_affinity: Option<SessionAffinity>,
}

/// How a Service can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum ServiceType {
    /// At an address inside the cluster.
    #[default]
    ClusterIP,
    /// Also at a port of every node.
    NodePort,
}

/// Whether a client stays with one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum SessionAffinity {
    /// It does not.
    None,
    /// Connections from one address reach one pod.
    ClientIP,
}

/// Which endpoints a Service leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum TrafficPolicy {
    /// All; a NodePort may rewrite the source address.
    Cluster,
    /// Those of the same node; a NodePort keeps the source address.
    Local,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ServicePort {
    /// The number clients dial.
    #[schemars(range(min = 1))]
    pub(crate) port: u16,
    /// Its protocol; TCP if this is left out.
    pub(crate) protocol: Option<ProtocolName>,
    /// Its name.
    pub(crate) name: Option<String>,
    /// The number, or the name, of the port on the pods; `port` if this is left out.
    #[schemars(with = "Option<TargetSchema>")]
    pub(crate) target_port: Option<IntOrString>,
    /// The port of every node; a Service of type NodePort needs it.
    #[schemars(range(min = 1))]
    pub(crate) node_port: Option<u16>,
}

impl Short for ServicePort {
    const EXPECTED: &'static str =
        "a port such as 80/tcp, or a mapping with port, targetPort and so on";
    const SHORT: &'static str = "Number and protocol; the pods listen on the same number.";

    fn from_text(text: &str) -> Result<Self, String> {
        let port = listen::parse(text).map_err(|error| error.line())?;
        match port.number {
            Some(number) => Ok(Self {
                port: number,
                protocol: Some(ProtocolName(port.protocol)),
                name: None,
                target_port: None,
                node_port: None,
            }),
            None => Err("a Service has no ICMP".to_owned()),
        }
    }

    fn short_schema() -> Schema {
        json_schema!({
            "description": Self::SHORT,
            "examples": ["80/tcp", "53/udp"],
            "type": ["string", "integer"],
        })
    }
}

/// A number or a name. Only for the schema.
pub(crate) struct TargetSchema;

impl JsonSchema for TargetSchema {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TargetPort".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
}
