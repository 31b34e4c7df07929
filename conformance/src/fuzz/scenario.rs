//! A story as a scenario file that replays it: the oracle's verdicts are the expectations.
//!
//! What is finished or terminating in the beginning is made so by the first steps, and one step
//! follows per edit. `expect` is about the connections it is given, at every step at which both
//! ends are there. Where none of them is denied anywhere, a walled-in pod is added, because a file
//! that cannot fail is no scenario.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use enforcer::options::Options;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    cells::HOST_PORT,
    edit::{Edit, policy_name},
    plan::{Judges, honest},
    shrink::is_odd,
    story::Story,
    world::{Labels, Life, Pod, Target, World},
};
use crate::cell::{Cell, Endpoint, Family, Port, Protocol};

/// What a reader of the file is told besides.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// The scenario's name.
    pub name: String,
    /// Its claim in one line.
    pub title: String,
    /// How it was found and what the judges said.
    pub description: String,
    /// What the enforcers choose.
    pub options: Options,
}

/// The file's text. `cells` are the connections to look at.
pub fn text(story: &Story, cells: &[Cell], note: &Note) -> String {
    // Nobody can be sent from an address that nobody has.
    let is_stranger =
        |end: &Endpoint| matches!(end, Endpoint::External(name) if name.parse::<IpAddr>().is_ok());
    let played = cells.iter().filter(|cell| {
        let ends = [&cell.source, &cell.destination];
        !ends.into_iter().any(is_stranger)
    });
    let played: Vec<Cell> = played.cloned().collect();
    // Nor can two pods have one address.
    let story = Story {
        world: story.world.settled(),
        edits: story.edits.clone(),
    };
    let file = Writer::new(&story, &played).file(note);
    let text = serde_yaml::to_string(&file).expect("a scenario is plain data");
    let comment: String = note
        .description
        .lines()
        .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
        .collect();
    comment + &text
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Serialize)]
struct Metadata {
    name: String,
    title: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    cluster: Cluster,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    for_each: BTreeMap<&'static str, [&'static str; 1]>,
    requires: Vec<&'static str>,
    policies: BTreeMap<String, NetworkPolicy>,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Cluster {
    families: &'static str,
    nodes: Vec<Value>,
    namespaces: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    external: BTreeMap<String, Value>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    create_namespaces: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    create_pods: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    label: BTreeMap<String, Labels>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unlabel: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    apply: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    store: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delete: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    terminate_pods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    finish_pods: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delete_pods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delete_namespaces: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expect: Vec<Expect>,
}

#[derive(Serialize)]
struct Expect {
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<Family>,
    default: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    either: Vec<String>,
}

/// A namespace and a policy of its own, in case no other denies anything.
const WALL: &str = "wall";

struct Writer<'a> {
    story: &'a Story,
    cells: &'a [Cell],
    /// Policies by the names that steps use.
    policies: BTreeMap<String, NetworkPolicy>,
    steps: Vec<Step>,
    requires: BTreeSet<&'static str>,
    denies: bool,
}

impl<'a> Writer<'a> {
    fn new(story: &'a Story, cells: &'a [Cell]) -> Self {
        Self {
            story,
            cells,
            policies: BTreeMap::new(),
            steps: Vec::new(),
            requires: BTreeSet::new(),
            denies: false,
        }
    }

    fn file(mut self, note: &Note) -> File {
        let world = &self.story.world;
        let mut cluster = self.cluster(world);
        self.pods_come_and_go(world);
        self.policies_come(world);
        let mut now = world.clone();
        for edit in &self.story.edits {
            let before = now.clone();
            if now.edit(edit, honest).is_none() {
                break;
            }
            self.edit_step(edit, &before, &now);
        }
        if !self.denies && !self.policies.is_empty() {
            self.wall(&mut cluster);
        }
        File {
            api_version: "portcullis.dev/v1alpha1",
            kind: "Scenario",
            metadata: Metadata {
                name: note.name.clone(),
                title: note.title.clone(),
            },
            spec: Spec {
                cluster,
                for_each: choices(note.options),
                requires: self.requires.into_iter().collect(),
                policies: self.policies,
                steps: self.steps,
            },
        }
    }

    fn cluster(&mut self, world: &World) -> Cluster {
        let all = self.cells;
        let listens = |endpoint: &Endpoint| {
            let cells = all.iter();
            let ports = cells
                .filter(|cell| cell.destination == *endpoint && !world.is_through_service(cell));
            let ports: BTreeSet<Port> = ports.map(|cell| cell.port).collect();
            let written: Vec<String> = ports.iter().filter_map(listen_text).collect();
            written
        };
        if !world.externals.is_empty() {
            self.requires.insert("external");
        }
        let mut nodes = Vec::new();
        for (name, labels) in &world.nodes {
            let listen = listens(&Endpoint::Node(name.clone()));
            let node = json!({"name": name, "labels": labels, "listen": listen});
            nodes.push(without_empty(node));
        }
        let external = world.externals.iter().map(|name| {
            let listen = listens(&Endpoint::External(name.clone()));
            (name.clone(), without_empty(json!({"listen": listen})))
        });
        let external = external.collect();
        let late = world.pods.iter().filter(|(_, pod)| is_late(world, pod));
        let late: BTreeSet<&String> = late.map(|(name, _)| name).collect();
        let early = world.pods.iter().filter(|(name, _)| !late.contains(name));
        let pods = early.map(|(name, pod)| (name.clone(), self.pod(world, name, pod)));
        let pods = pods.collect();
        Cluster {
            families: match &world.families[..] {
                [Family::Ipv4] => "ipv4",
                [Family::Ipv6] => "ipv6",
                _ => "dual",
            },
            nodes,
            namespaces: world
                .namespaces
                .iter()
                .map(|(name, labels)| {
                    let namespace = without_empty(json!({"labels": labels}));
                    (name.clone(), namespace)
                })
                .collect(),
            pods,
            services: self.services(world),
            external,
        }
    }

    fn services(&mut self, world: &World) -> BTreeMap<String, Value> {
        let mut services = BTreeMap::new();
        for (name, service) in &world.services {
            let mut port = json!({
                "port": service.port,
                "protocol": service.protocol.to_string(),
                "targetPort": match &service.target {
                    Target::Number(number) => json!(number),
                    Target::Name(name) => json!(name),
                },
            });
            let mut value = json!({"selector": service.selector});
            self.requires.insert("services");
            if let Some(node_port) = service.node_port {
                self.requires.insert("node-port");
                port["nodePort"] = json!(node_port);
                value["type"] = json!("NodePort");
                if service.external_local {
                    value["externalTrafficPolicy"] = json!("Local");
                }
            }
            if service.internal_local {
                value["internalTrafficPolicy"] = json!("Local");
            }
            if service.is_sticky {
                value["sessionAffinity"] = json!("ClientIP");
            }
            value["ports"] = json!([port]);
            services.insert(name.clone(), value);
        }
        services
    }

    /// A pod as `cluster.pods` and `createPods` write it. It listens on all it declares and on all
    /// that is looked at.
    fn pod(&mut self, world: &World, name: &str, pod: &Pod) -> Value {
        let endpoint = super::world::endpoint(name);
        let mut open = BTreeSet::new();
        let mut containers = serde_json::Map::new();
        for (index, ports) in pod.containers.iter().enumerate() {
            let mut listen = Vec::new();
            let mut declare = Vec::new();
            for port in ports {
                let mut entry = json!({"port": port.number, "protocol": port.protocol.to_string()});
                if let Some(name) = &port.name {
                    entry["name"] = json!(name);
                }
                // A port is open once, whatever the number of containers that declare it; those of a
                // hostNetwork pod would be its node's.
                let list = if !pod.host_network && open.insert(port.port()) {
                    &mut listen
                } else {
                    &mut declare
                };
                list.push(entry);
            }
            let container = json!({"listen": listen, "declare": declare});
            containers.insert(format!("c{index}"), without_empty(container));
        }
        let mut probed: BTreeSet<Port> = self
            .cells
            .iter()
            .filter(|cell| cell.destination == endpoint)
            .map(|cell| cell.port)
            .collect();
        probed.retain(|port| !open.contains(port));
        let extra: Vec<String> = probed.iter().filter_map(listen_text).collect();
        if !extra.is_empty() {
            containers.insert("probed".to_owned(), json!({"listen": extra}));
        }
        let mut value = json!({"labels": pod.labels, "node": pod.node});
        if !containers.is_empty() {
            value["containers"] = containers.into();
        }
        if pod.host_network {
            value["hostNetwork"] = json!(true);
            self.requires.insert("host-network");
        } else if pod.life == Life::Pending {
            value["phase"] = json!("Pending");
        } else {
            let addresses: Vec<IpAddr> = world.pod_addresses(pod);
            value["addresses"] = json!(addresses);
            self.requires.insert("chosen-address");
        }
        without_empty(value)
    }

    /// The pods that have finished or are ending in the beginning, and those that have their
    /// addresses.
    fn pods_come_and_go(&mut self, world: &World) {
        let mut ending = Step {
            name: "some pods end".to_owned(),
            ..Step::default()
        };
        let mut leaving = Step {
            name: "and some of these are to end, too".to_owned(),
            ..Step::default()
        };
        for (name, pod) in &world.pods {
            match pod.life {
                Life::Terminating if is_late(world, pod) => {
                    leaving.terminate_pods.push(name.clone());
                }
                Life::Terminating => ending.terminate_pods.push(name.clone()),
                Life::Succeeded => ending
                    .finish_pods
                    .push(json!({"pod": name, "phase": "Succeeded"})),
                Life::Failed => ending
                    .finish_pods
                    .push(json!({"pod": name, "phase": "Failed"})),
                Life::Pending | Life::Running => {}
            }
        }
        if !ending.terminate_pods.is_empty() || !ending.finish_pods.is_empty() {
            self.steps.push(ending);
        }
        let late = world.pods.iter().filter(|(_, pod)| is_late(world, pod));
        let create_pods: BTreeMap<String, Value> = late
            .map(|(name, pod)| (name.clone(), self.pod(world, name, pod)))
            .collect();
        if !create_pods.is_empty() {
            self.steps.push(Step {
                name: "others get their addresses".to_owned(),
                create_pods,
                ..Step::default()
            });
        }
        if !leaving.terminate_pods.is_empty() {
            self.steps.push(leaving);
        }
    }

    fn policies_come(&mut self, world: &World) {
        let mut step = Step {
            name: "the policies come".to_owned(),
            ..Step::default()
        };
        for policy in &world.policies {
            self.put(policy, &mut step);
        }
        step.expect = self.expect(world);
        if !step.apply.is_empty() || !step.store.is_empty() || !step.expect.is_empty() {
            self.steps.push(step);
        }
    }

    /// Applies a policy, or stores one that no server takes today.
    fn put(&mut self, policy: &NetworkPolicy, step: &mut Step) {
        let name = policy_name(policy).replace('/', "-");
        let mut key = name.clone();
        let mut count = 1;
        while self.policies.contains_key(&key) {
            count += 1;
            key = format!("{name}-{count}");
        }
        self.policies.insert(key.clone(), policy.clone());
        if is_odd(policy) {
            self.requires.insert("stored-objects");
            step.store.push(key);
        } else {
            step.apply.push(key);
        }
    }

    fn edit_step(&mut self, edit: &Edit, before: &World, after: &World) {
        let mut step = Step {
            name: format!("{}: {edit}", self.steps.len()),
            ..Step::default()
        };
        match edit {
            Edit::ApplyPolicy(policy) => self.put(policy, &mut step),
            Edit::DeletePolicy(name) => step.delete.push(name.clone()),
            Edit::CreatePod(name, pod) => {
                step.create_pods
                    .insert(name.clone(), self.pod(after, name, pod));
            }
            Edit::DeletePod(name) => step.delete_pods.push(name.clone()),
            Edit::ReplacePod(name, pod) => {
                self.steps.push(Step {
                    name: format!("{}: delete pod {name}", self.steps.len()),
                    delete_pods: vec![name.clone()],
                    ..Step::default()
                });
                step.name = format!("{}: {edit}", self.steps.len());
                step.create_pods
                    .insert(name.clone(), self.pod(after, name, pod));
            }
            Edit::LabelPod(name, labels) => {
                relabel(&mut step, name.clone(), &before.pods[name].labels, labels);
            }
            Edit::EndPod(name, Life::Terminating) => step.terminate_pods.push(name.clone()),
            Edit::EndPod(name, life) => {
                step.finish_pods.push(json!({"pod": name, "phase": life}));
            }
            Edit::CreateNamespace(name, labels) => {
                step.create_namespaces
                    .insert(name.clone(), json!({"labels": labels}));
            }
            Edit::LabelNamespace(name, labels) => {
                let key = format!("namespace/{name}");
                relabel(&mut step, key, &before.namespaces[name], labels);
            }
            Edit::DeleteNamespace(name) => step.delete_namespaces.push(name.clone()),
            Edit::LabelNode(name, labels) => {
                relabel(
                    &mut step,
                    format!("node/{name}"),
                    &before.nodes[name],
                    labels,
                );
            }
        }
        step.expect = self.expect(after);
        self.steps.push(step);
    }

    /// What the oracle says of every connection both ends of which are there.
    fn expect(&mut self, world: &World) -> Vec<Expect> {
        let judges = Judges::of(world, Options::default(), honest);
        let mut blocks = Vec::new();
        for family in &world.families {
            let mut block = Expect {
                family: (world.families.len() > 1).then_some(*family),
                default: "unprobed",
                allow: Vec::new(),
                deny: Vec::new(),
                either: Vec::new(),
            };
            let cells: BTreeSet<&Cell> = self.cells.iter().collect();
            for cell in cells.into_iter().filter(|cell| cell.family == *family) {
                if world.is_through_service(cell) {
                    // Which pod answers is not known; the judges are asked all the same. A block
                    // that accepts anything would be refused.
                    block.either.push(flow_text(cell));
                    block.allow.push(format!("{0} -> {0}:icmp", cell.source));
                    continue;
                }
                let Some(judgement) = judges.oracle(cell) else {
                    continue;
                };
                if cell.port.protocol == Protocol::Sctp {
                    self.requires.insert("sctp");
                }
                let list = if judgement.allowed {
                    &mut block.allow
                } else {
                    &mut block.deny
                };
                list.push(flow_text(cell));
            }
            block.allow.dedup();
            self.denies |= !block.deny.is_empty();
            if !(block.allow.is_empty() && block.deny.is_empty() && block.either.is_empty()) {
                blocks.push(block);
            }
        }
        blocks
    }

    /// Two pods to themselves, one of which is walled in: something that can fail.
    fn wall(&mut self, cluster: &mut Cluster) {
        cluster.namespaces.insert(WALL.to_owned(), json!({}));
        cluster.pods.insert(format!("{WALL}/outside"), json!({}));
        let inside = json!({"listen": ["80/tcp"]});
        cluster.pods.insert(format!("{WALL}/inside"), inside);
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": WALL, "name": WALL},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        });
        let policy = serde_json::from_value(policy).expect("a NetworkPolicy");
        self.policies.insert(WALL.to_owned(), policy);
        self.steps.push(Step {
            name: "a wall shows that something can be denied".to_owned(),
            apply: vec![WALL.to_owned()],
            expect: vec![Expect {
                family: None,
                default: "unprobed",
                allow: Vec::new(),
                either: Vec::new(),
                deny: vec![format!("{WALL}/outside -> {WALL}/inside:80/tcp")],
            }],
            ..Step::default()
        });
    }
}

/// What is not chosen anyway.
fn choices(options: Options) -> BTreeMap<&'static str, [&'static str; 1]> {
    let usual = Options::default();
    let all = [
        (
            "established",
            options.established.name(),
            options.established != usual.established,
        ),
        (
            "unprogrammed",
            options.unprogrammed.name(),
            options.unprogrammed != usual.unprogrammed,
        ),
        ("deny", options.deny.name(), options.deny != usual.deny),
    ];
    let chosen = all.into_iter().filter(|(_, _, is_unusual)| *is_unusual);
    chosen.map(|(choice, value, _)| (choice, [value])).collect()
}

/// Whether a pod can only come when another has ended.
fn is_late(world: &World, pod: &Pod) -> bool {
    let has_its_place = |other: &Pod| {
        other.life.is_finished()
            && !other.host_network
            && (&other.node, other.host) == (&pod.node, pod.host)
    };
    pod.is_running_apart() && world.pods.values().any(has_its_place)
}

fn relabel(step: &mut Step, object: String, before: &Labels, after: &Labels) {
    let new = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value));
    let new: Labels = new.map(|(k, v)| (k.clone(), v.clone())).collect();
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let gone: Vec<String> = gone.cloned().collect();
    if !new.is_empty() {
        step.label.insert(object.clone(), new);
    }
    if !gone.is_empty() {
        step.unlabel.insert(object, gone);
    }
}

/// An object without the lists and maps that say nothing.
fn without_empty(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        let is_empty = |value: &Value| *value == json!([]) || *value == json!({});
        fields.retain(|_, value| !is_empty(value));
    }
    value
}

fn listen_text(port: &Port) -> Option<String> {
    Some(format!("{}/{}", port.number?, port.protocol).to_lowercase())
}

fn flow_text(cell: &Cell) -> String {
    let port = match cell.port.protocol {
        Protocol::Icmp => "icmp".to_owned(),
        protocol => {
            let number = cell.port.number.unwrap_or(HOST_PORT);
            format!("{number}/{protocol}").to_lowercase()
        }
    };
    format!("{} -> {}:{port}", cell.source, cell.destination)
}
