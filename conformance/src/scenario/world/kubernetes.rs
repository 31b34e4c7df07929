//! From the short forms of a scenario to Kubernetes objects.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, Namespace, Node, Pod, PodSpec, Service, ServicePort, ServiceSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Named, ObjectName};
use crate::cell::{Port, Protocol};

/// The label by which a namespace can be selected by its name (semantics 56).
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The image of containers that exist only as a set of ports; back ends bring their own.
const IMAGE: &str = "scenario";

/// A namespace, with the label the API server adds.
pub(crate) fn namespace_object(name: &str, mut labels: BTreeMap<String, String>) -> Namespace {
    labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
    Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// A node.
pub(crate) fn node_object(name: &str, labels: BTreeMap<String, String>) -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Node::default()
    }
}

/// What [`pod_object`] makes a pod of.
pub(crate) struct PodParts {
    pub(crate) name: ObjectName,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) node: String,
    pub(crate) host_network: bool,
    pub(crate) service_account: Option<String>,
    /// Name and ports.
    pub(crate) containers: Vec<(String, Vec<DeclaredPort>)>,
}

/// A port as a container declares it.
pub(crate) struct DeclaredPort {
    pub(crate) port: Named<Port>,
    /// The port of the node that leads to it.
    pub(crate) host: Option<u16>,
}

/// A pod.
pub(crate) fn pod_object(parts: PodParts) -> Pod {
    let containers = parts.containers.into_iter().flat_map(unambiguous);
    let containers = containers.map(|(name, ports)| Container {
        name,
        image: Some(IMAGE.to_owned()),
        ports: Some(ports.into_iter().filter_map(container_port).collect()),
        ..Container::default()
    });
    Pod {
        metadata: ObjectMeta {
            namespace: Some(parts.name.namespace),
            name: Some(parts.name.name),
            labels: Some(parts.labels),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: containers.collect(),
            host_network: parts.host_network.then_some(true),
            node_name: Some(parts.node),
            service_account_name: parts.service_account,
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

/// As many containers as it takes, because the API server wants the names of a container's ports to
/// differ: another protocol does not make another name.
fn unambiguous((name, ports): (String, Vec<DeclaredPort>)) -> Vec<(String, Vec<DeclaredPort>)> {
    let mut containers = vec![(name.clone(), Vec::<DeclaredPort>::new())];
    for declared in ports {
        let has_name = |ports: &[DeclaredPort]| {
            let mut names = ports.iter().map(|other| &other.port.name);
            declared.port.name.is_some() && names.any(|other| *other == declared.port.name)
        };
        match containers.iter_mut().find(|(_, ports)| !has_name(ports)) {
            Some((_, ports)) => ports.push(declared),
            None => {
                let another = format!("{name}-{}", containers.len() + 1);
                containers.push((another, vec![declared]));
            }
        }
    }
    containers
}

/// ICMP has no port a container could declare.
fn container_port(declared: DeclaredPort) -> Option<ContainerPort> {
    let DeclaredPort { port, host } = declared;
    Some(ContainerPort {
        name: port.name,
        container_port: port.value.number?.into(),
        host_port: host.map(Into::into),
        protocol: Some(port.value.protocol.to_string())
            .filter(|p| *p != Protocol::Icmp.to_string()),
        ..ContainerPort::default()
    })
}

/// A Service.
pub(crate) fn service_object(
    name: &ObjectName,
    selector: BTreeMap<String, String>,
    ports: Vec<ServicePort>,
    spec: ServiceSpec,
) -> Service {
    Service {
        metadata: ObjectMeta {
            namespace: Some(name.namespace.clone()),
            name: Some(name.name.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            selector: Some(selector),
            ports: Some(ports),
            ..spec
        }),
        ..Service::default()
    }
}
