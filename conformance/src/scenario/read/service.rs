//! `cluster.services`: Services as the file writes them.

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};
use k8s_openapi::{
    api::core::v1::{ServicePort as ServicePortObject, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Reader;
use crate::{
    cell::Protocol,
    scenario::{
        world::{ObjectName, Service, World, service_object},
        written::{
            cluster::{self, Cluster, ServiceType, SessionAffinity, TrafficPolicy},
            short::ShortOrLong,
        },
    },
};

/// Reads `cluster.services`.
pub(super) fn read(reader: &mut Reader, written: &Cluster, world: &mut World) {
    let path = FieldPath::root().key("spec").key("cluster").key("services");
    for (key, service) in &written.services {
        let path = path.key(key);
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
        if written.headless && written.internal_traffic_policy.is_some() {
            let problem = Diagnostic::new(
                "scenario/object",
                "a headless Service has no address to which a traffic policy could apply",
            )
            .at(self.at_key(&path.key("internalTrafficPolicy")), "");
            self.report(problem);
        }
        let policy = |policy: TrafficPolicy| match policy {
            TrafficPolicy::Cluster => "Cluster".to_owned(),
            TrafficPolicy::Local => "Local".to_owned(),
        };
        let spec = ServiceSpec {
            cluster_ip: written.headless.then(|| "None".to_owned()),
            type_: Some(match written.r#type {
                ServiceType::ClusterIP => "ClusterIP".to_owned(),
                ServiceType::NodePort => "NodePort".to_owned(),
            }),
            external_traffic_policy: written.external_traffic_policy.map(policy),
            internal_traffic_policy: written.internal_traffic_policy.map(policy),
            session_affinity: written.session_affinity.map(|affinity| match affinity {
                SessionAffinity::None => "None".to_owned(),
                SessionAffinity::ClientIP => "ClientIP".to_owned(),
            }),
            ..ServiceSpec::default()
        };
        service_object(name, written.selector.clone(), ports, spec)
    }
}
