//! `spec.cluster`: the world before the first step.

use std::collections::BTreeMap;

use enforcer::{
    api::manifest::Object,
    diagnostic::Diagnostic,
    yaml::{Document, FieldPath},
};
use k8s_openapi::{
    api::core::v1::{ServicePort as ServicePortObject, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Reader;
use crate::{
    cell::Protocol,
    scenario::{
        text::endpoint::{self, Selector},
        world::{
            External, Namespace, Node, ObjectName, Pod, Service, World, labels_of,
            namespace_object, node_object, pods_of, service_object,
        },
        written::{
            cluster::{self, Cluster, Families, ServiceType, TrafficPolicy},
            short::{NamesOrMap, ShortOrLong},
        },
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
    read_services(reader, written, world);
    read_externals(reader, written, world);
    start
}

fn read_nodes(reader: &mut Reader, written: &Cluster, world: &mut World) {
    let mut add = |name: &str, labels: &BTreeMap<String, String>, listen| {
        world.nodes.insert(
            name.to_owned(),
            Node {
                object: node_object(name, labels.clone()),
                listen,
                pod_mtu: None,
                agent: true,
            },
        )
    };
    if written.nodes.is_empty() {
        for name in ["n1", "n2"] {
            add(name, &BTreeMap::new(), Vec::new());
        }
    }
    for (index, ShortOrLong(node)) in written.nodes.iter().enumerate() {
        let path = path_of("nodes").index(index);
        reader.check_name_at(reader.at(&path), &node.name, 63, true);
        let listen = reader.listen(&path.key("listen"), &node.listen);
        let listen = listen.into_iter().map(|p| p.value).collect();
        if add(&node.name, &node.labels, listen).is_some() {
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
            behind: None,
        };
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

fn read_services(reader: &mut Reader, written: &Cluster, world: &mut World) {
    for (key, service) in &written.services {
        let path = path_of("services").key(key);
        let location = reader.at_key(&path);
        let Ok(name) = key.parse::<ObjectName>() else {
            let problem =
                Diagnostic::new("scenario/name", format!("`{key}` does not name a Service"))
                    .at(location, "")
                    .help("a Service is written NAMESPACE/NAME");
            reader.report(problem);
            continue;
        };
        reader.check_name_at(location.clone(), &name.name, 63, false);
        reader.check_namespace_of(&name, location, world);
        let object = reader.service(&path, &name, service);
        world
            .services
            .insert(name.clone(), Service { name, object });
    }
}

impl Reader {
    fn service(
        &mut self,
        path: &FieldPath,
        name: &ObjectName,
        written: &cluster::Service,
    ) -> k8s_openapi::api::core::v1::Service {
        let is_node_port = written.r#type == ServiceType::NodePort;
        let mut ports = Vec::new();
        for (index, ShortOrLong(port)) in written.ports.iter().enumerate() {
            let path = path.key("ports").index(index);
            let problem = if is_node_port && port.node_port.is_none() {
                Some("a NodePort needs `nodePort`, so that the story can name it")
            } else if !is_node_port && port.node_port.is_some() {
                Some("only a Service of type NodePort has a `nodePort`")
            } else if port.port == 0 || port.node_port == Some(0) {
                Some("0 is not a port: ports are whole numbers from 1 to 65535")
            } else {
                None
            };
            if let Some(problem) = problem {
                let problem = Diagnostic::new("scenario/object", problem).at(self.at(&path), "");
                self.report(problem);
            }
            let protocol = port.protocol.map_or(Protocol::Tcp, |p| p.0);
            ports.push(ServicePortObject {
                port: port.port.into(),
                protocol: Some(protocol.to_string()),
                name: port.name.clone().or_else(|| {
                    // The API server wants names where there are several ports.
                    (written.ports.len() > 1)
                        .then(|| format!("port-{}-{}", port.port, protocol).to_lowercase())
                }),
                target_port: port
                    .target_port
                    .clone()
                    .or(Some(IntOrString::Int(port.port.into()))),
                node_port: port.node_port.map(Into::into),
                ..ServicePortObject::default()
            });
        }
        if written.headless && is_node_port {
            let problem = Diagnostic::new("scenario/object", "a headless Service has no NodePort")
                .at(self.at_key(&path.key("headless")), "");
            self.report(problem);
        }
        if written.external_traffic_policy.is_some() && !is_node_port {
            let problem = Diagnostic::new(
                "scenario/object",
                "only a Service of type NodePort has an externalTrafficPolicy",
            )
            .at(self.at_key(&path.key("externalTrafficPolicy")), "");
            self.report(problem);
        }
        let spec = ServiceSpec {
            cluster_ip: written.headless.then(|| "None".to_owned()),
            type_: Some(match written.r#type {
                ServiceType::ClusterIP => "ClusterIP".to_owned(),
                ServiceType::NodePort => "NodePort".to_owned(),
            }),
            external_traffic_policy: written.external_traffic_policy.map(|policy| match policy {
                TrafficPolicy::Cluster => "Cluster".to_owned(),
                TrafficPolicy::Local => "Local".to_owned(),
            }),
            ..ServiceSpec::default()
        };
        service_object(name, written.selector.clone(), ports, spec)
    }

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
