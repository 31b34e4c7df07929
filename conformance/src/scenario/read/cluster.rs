//! `spec.cluster`: the world before the first step.

use std::{collections::BTreeMap, ops::RangeInclusive};

use enforcer::{
    api::manifest::Object,
    diagnostic::Diagnostic,
    yaml::{Document, FieldPath},
};

use super::{Reader, service};
use crate::scenario::{
    text::endpoint::{self, Selector},
    world::{
        External, Namespace, Node, ObjectName, Pod, Service, World, labels_of, namespace_object,
        node_object, pods_of,
    },
    written::{
        cluster::{self, Cluster, Families},
        short::{NamesOrMap, ShortOrLong},
    },
};

/// What `spec.cluster` says.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// What exists before the first step.
    pub(super) world: World,
    /// The families it asks for.
    pub(super) families: Option<Families>,
    /// The NetworkPolicies among its manifests.
    pub(super) policies: Vec<Document>,
}

/// No link may have less, because of IPv6, and the others have no more.
const MTUS: RangeInclusive<u16> = 1_280..=1_500;

fn path_of(part: &str) -> FieldPath {
    FieldPath::root().key("spec").key("cluster").key(part)
}

/// Reads `spec.cluster`.
pub(super) fn read(reader: &mut Reader, written: &Cluster) -> Start {
    let mut start = Start {
        world: World::default(),
        families: written.families,
        policies: Vec::new(),
    };
    let world = &mut start.world;
    read_nodes(reader, written, world);
    world.namespaces.insert(
        "default".to_owned(),
        Namespace {
            object: namespace_object("default", BTreeMap::new()),
        },
    );
    read_grid(reader, written, world);
    read_namespaces(reader, &written.namespaces, world);
    let mut workloads = Vec::new();
    for (index, path) in written.manifests.iter().enumerate() {
        let at = path_of("manifests").index(index);
        for found in reader.objects_of_path(&at, path) {
            if let Object::NetworkPolicy(_) = found.object {
                start.policies.push(found.document);
            } else {
                workloads.push(found);
            }
        }
    }
    // Namespaces and nodes first, whatever the order of the files.
    for found in &workloads {
        reader.add_cluster_object(&found.object, &found.document, world);
    }
    for found in &workloads {
        reader.add_namespaced_object(&found.object, &found.document, world);
    }
    read_pods(reader, written, world);
    place_pods(reader, &written.place, world);
    service::read(reader, written, world);
    read_externals(reader, written, world);
    start
}

fn read_nodes(reader: &mut Reader, written: &Cluster, world: &mut World) {
    if written.nodes.is_empty() {
        for name in ["n1", "n2"] {
            let node = Node {
                object: node_object(name, BTreeMap::new()),
                listen: Vec::new(),
                pod_mtu: None,
                agent: true,
            };
            world.nodes.insert(name.to_owned(), node);
        }
    }
    for (index, ShortOrLong(node)) in written.nodes.iter().enumerate() {
        let path = path_of("nodes").index(index);
        reader.check_name_at(reader.at(&path), &node.name, 63, true);
        let listen = reader.listen(&path.key("listen"), &node.listen);
        if let Some(mtu) = node.pod_mtu.filter(|mtu| !MTUS.contains(mtu)) {
            let problem = Diagnostic::new(
                "scenario/object",
                format!("a link to pods cannot have an MTU of {mtu}"),
            )
            .at(
                reader.at(&path.key("podMtu")),
                format!("expected {} to {}", MTUS.start(), MTUS.end()),
            );
            reader.report(problem);
        }
        let object = Node {
            object: node_object(&node.name, node.labels.clone()),
            listen: listen.into_iter().map(|p| p.value).collect(),
            pod_mtu: node.pod_mtu,
            agent: node.agent,
        };
        if world.nodes.insert(node.name.clone(), object).is_some() {
            let problem = Diagnostic::new(
                "scenario/duplicate",
                format!("there are two nodes `{}`", node.name),
            )
            .at(reader.at(&path), "");
            reader.report(problem);
        }
    }
}

fn read_grid(reader: &mut Reader, written: &Cluster, world: &mut World) {
    let Some(grid) = &written.grid else {
        return;
    };
    let path = path_of("grid");
    for (index, name) in grid.namespaces.iter().enumerate() {
        reader.check_namespace_name(reader.at(&path.key("namespaces").index(index)), name);
        let labels = BTreeMap::from([("ns".to_owned(), name.clone())]);
        let object = namespace_object(name, labels);
        world.namespaces.insert(name.clone(), Namespace { object });
    }
    let pod = cluster::Pod {
        listen: Some(grid.listen.clone()),
        ..cluster::Pod::default()
    };
    for (index, name) in grid.pods.iter().enumerate() {
        reader.check_name_at(reader.at(&path.key("pods").index(index)), name, 253, true);
        for namespace in &grid.namespaces {
            let pod = cluster::Pod {
                labels: BTreeMap::from([("pod".to_owned(), name.clone())]),
                ..pod.clone()
            };
            let name = ObjectName::new(namespace, name);
            let pod = reader.pod(&path, &name, &pod, None, world);
            world.pods.insert(name, pod);
        }
    }
}

fn read_namespaces(
    reader: &mut Reader,
    written: &NamesOrMap<cluster::Namespace>,
    world: &mut World,
) {
    let path = path_of("namespaces");
    for (index, (name, details)) in written.entries.iter().enumerate() {
        let location = if written.is_list {
            reader.at(&path.index(index))
        } else {
            reader.at_key(&path.key(name))
        };
        reader.check_namespace_name(location, name);
        let mut labels = match world.namespaces.get(name) {
            Some(namespace) => namespace.labels().clone(),
            None => BTreeMap::new(),
        };
        labels.extend(details.labels.clone());
        let object = namespace_object(name, labels);
        world.namespaces.insert(name.clone(), Namespace { object });
    }
}

fn read_pods(reader: &mut Reader, written: &Cluster, world: &mut World) {
    for (key, pod) in &written.pods {
        let path = path_of("pods").key(key);
        let Some(name) = reader.pod_key(&path, key) else {
            continue;
        };
        reader.check_namespace_of(&name, reader.at_key(&path), world);
        let pod = pod.clone().unwrap_or_default();
        if pod.addresses_of.is_some() {
            let problem = Diagnostic::new(
                "scenario/object",
                "no pod has been deleted yet whose addresses could be taken over",
            )
            .at(reader.at_key(&path.key("addressesOf")), "")
            .help("create the pod in a step, with createPods");
            reader.report(problem);
        }
        let pod = reader.pod(&path, &name, &pod, world.pods.get(&name), world);
        world.pods.insert(name, pod);
    }
}

/// Puts every pod without a node on one: by `place`, else in turn.
fn place_pods(reader: &mut Reader, place: &BTreeMap<String, String>, world: &mut World) {
    let mut chosen: BTreeMap<ObjectName, (String, String)> = BTreeMap::new();
    for (key, node) in place {
        let path = path_of("place").key(key);
        reader.check_node(&path, node, world);
        let pods = reader.select_pods(reader.at_key(&path), key, world);
        for name in pods {
            let other = chosen.insert(name.clone(), (key.clone(), node.clone()));
            if let Some((other, elsewhere)) = other
                && elsewhere != *node
            {
                let problem = Diagnostic::new(
                    "scenario/contradiction",
                    format!("{name} is placed on {elsewhere} and on {node}"),
                )
                .at(reader.at_key(&path), "")
                .also(reader.at_key(&path_of("place").key(other)), "");
                reader.report(problem);
            }
        }
    }
    let nodes: Vec<String> = world.nodes.keys().cloned().collect();
    let mut turn = 0;
    for (name, pod) in &mut world.pods {
        if !pod.node().is_empty() {
            continue;
        }
        let node = match chosen.get(name) {
            Some((_, node)) => node.clone(),
            None => {
                turn += 1;
                nodes[(turn - 1) % nodes.len()].clone()
            }
        };
        pod.object.spec.get_or_insert_default().node_name = Some(node);
    }
}

fn read_externals(reader: &mut Reader, written: &Cluster, world: &mut World) {
    let path = path_of("external");
    for (index, (name, details)) in written.external.entries.iter().enumerate() {
        let (location, path) = if written.external.is_list {
            (reader.at(&path.index(index)), path.index(index))
        } else {
            (reader.at_key(&path.key(name)), path.key(name))
        };
        reader.check_name_at(location.clone(), name, 63, false);
        let listen = reader.listen(&path.key("listen"), &details.listen);
        let external = External {
            listen: listen.into_iter().map(|p| p.value).collect(),
            behind: details.behind.clone(),
        };
        if let Some(node) = &details.behind {
            reader.check_node(&path.key("behind"), node, world);
        }
        if world.externals.insert(name.clone(), external).is_some() {
            let problem = Diagnostic::new(
                "scenario/duplicate",
                format!("there are two machines `{name}`"),
            )
            .at(location, "");
            reader.report(problem);
        }
    }
}

impl Reader {
    /// Reports a namespace that does not exist.
    pub(super) fn check_namespace_of(
        &mut self,
        name: &ObjectName,
        location: enforcer::yaml::Location,
        world: &World,
    ) {
        if !world.namespaces.contains_key(&name.namespace) {
            let problem = self
                .unknown(
                    location,
                    "scenario/unknown",
                    format!("there is no namespace `{}`", name.namespace),
                    &name.namespace,
                    world.namespaces.keys().map(String::as_str),
                )
                .help(
                    "namespaces are created under spec.cluster.namespaces, or by createNamespaces",
                );
            self.report(problem);
        }
    }

    /// The pods a selector means; none, and a report, if it means none or is no selector of pods.
    pub(super) fn select_pods(
        &mut self,
        location: enforcer::yaml::Location,
        text: &str,
        world: &World,
    ) -> Vec<ObjectName> {
        let selector = match endpoint::parse(text) {
            Ok(selector @ (Selector::Pods { .. } | Selector::Labelled { .. })) => selector,
            Ok(_) => {
                let problem = Diagnostic::new("scenario/endpoint", format!("`{text}` is no pod"))
                    .at(location, "only pods can stand here");
                self.report(problem);
                return Vec::new();
            }
            Err(error) => {
                let place = super::place::within(&location, text, error.span);
                let mut problem = Diagnostic::new("scenario/endpoint", error.message)
                    .at(place.unwrap_or(location), "");
                problem.help.extend(error.help);
                self.report(problem);
                return Vec::new();
            }
        };
        let found: Vec<ObjectName> = world
            .select(&selector)
            .into_iter()
            .filter_map(|endpoint| world.pod(&endpoint).map(|pod| pod.name.clone()))
            .collect();
        if found.is_empty() {
            let problem = self.no_endpoint(location, &selector, world);
            self.report(problem);
        }
        found
    }

    /// Adds a Namespace or Node of a manifest.
    pub(super) fn add_cluster_object(
        &mut self,
        object: &Object,
        document: &Document,
        world: &mut World,
    ) {
        let name_at = document.location(&FieldPath::root().key("metadata").key("name"));
        match object {
            Object::Namespace(namespace) => {
                let name = namespace.metadata.name.clone().unwrap_or_default();
                self.check_namespace_name(name_at, &name);
                let mut object = (**namespace).clone();
                let labels = labels_of(&namespace.metadata).clone();
                object.metadata.labels = namespace_object(&name, labels).metadata.labels;
                world.namespaces.insert(name, Namespace { object });
            }
            Object::Node(node) => {
                let name = node.metadata.name.clone().unwrap_or_default();
                self.check_name_at(name_at, &name, 63, true);
                let mut object = (**node).clone();
                object.status = None;
                world.nodes.insert(
                    name,
                    Node {
                        object,
                        listen: Vec::new(),
                        pod_mtu: None,
                        agent: true,
                    },
                );
            }
            _ => {}
        }
    }

    /// Adds a Service, or the pods of a Pod or workload, of a manifest. Returns the names of the
    /// pods.
    pub(super) fn add_namespaced_object(
        &mut self,
        object: &Object,
        document: &Document,
        world: &mut World,
    ) -> Vec<ObjectName> {
        let name_path = FieldPath::root().key("metadata").key("name");
        if let Object::Service(service) = object {
            let name = ObjectName::of(&service.metadata);
            self.check_namespace_of(&name, document.location(&name_path), world);
            let mut object = (**service).clone();
            object.metadata.namespace = Some(name.namespace.clone());
            object.status = None;
            world
                .services
                .insert(name.clone(), Service { name, object });
            return Vec::new();
        }
        let nodes: Vec<&str> = world.nodes.keys().map(String::as_str).collect();
        let pods = match pods_of(object, &nodes) {
            Ok(pods) => pods,
            Err(error) => {
                let problem = Diagnostic::new("scenario/manifest", "no pods can be made of this")
                    .at(document.location(&name_path), error.to_string());
                self.report(problem);
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for pod in pods {
            self.check_namespace_of(&pod.name, document.location(&name_path), world);
            self.check_pod_node(&pod, document, world);
            names.push(pod.name.clone());
            if let Some(other) = world.pods.insert(pod.name.clone(), pod) {
                let problem = Diagnostic::new(
                    "scenario/duplicate",
                    format!("there is a pod {} already", other.name),
                )
                .at(document.location(&name_path), "");
                self.report(problem);
            }
        }
        names
    }

    fn check_pod_node(&mut self, pod: &Pod, document: &Document, world: &World) {
        if !pod.node().is_empty() && !world.nodes.contains_key(pod.node()) {
            let path = FieldPath::root().key("spec").key("nodeName");
            let problem = self.unknown(
                document.location(&path),
                "scenario/unknown",
                format!("there is no node `{}`", pod.node()),
                pod.node(),
                world.nodes.keys().map(String::as_str),
            );
            self.report(problem);
        }
    }
}
