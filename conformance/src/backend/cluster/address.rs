//! Where the endpoints of a scenario are on the cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Cluster;
use crate::{
    cell::{Endpoint, Family},
    endpoints,
    scenario::{ObjectName, Resolve, Template, Wanted},
};

/// The namespace of the pods that stand for processes of nodes.
pub(super) const NODES: &str = "portcullis-nodes";

impl Cluster {
    /// The pod that sends for an endpoint.
    pub(super) fn sender(&self, endpoint: &Endpoint) -> Option<ObjectName> {
        match endpoint {
            Endpoint::Pod { namespace, name } => Some(ObjectName::new(namespace, name)),
            Endpoint::Node(name) => Some(ObjectName::new(NODES, name)),
            Endpoint::External(_) | Endpoint::Service { .. } | Endpoint::Localhost => None,
        }
    }

    pub(super) fn address_of(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        let wanted = |address: &IpAddr| is_of(address, family);
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let pod = self.store.pod(namespace, name)?;
                endpoints::addresses(pod).find(wanted)
            }
            Endpoint::Node(name) => {
                let addresses = &self.nodes.get(name)?.addresses;
                addresses.iter().copied().find(wanted)
            }
            Endpoint::External(_) => None,
            Endpoint::Service { namespace, name } => {
                let service = self.store.service(namespace, name)?;
                endpoints::cluster_ips(service).find(wanted)
            }
            Endpoint::Localhost => Some(match family {
                Family::Ipv4 => Ipv4Addr::LOCALHOST.into(),
                Family::Ipv6 => Ipv6Addr::LOCALHOST.into(),
            }),
        }
    }
}

/// Templates take the addresses of the cluster.
impl Resolve for Cluster {
    fn resolve(&self, template: &Template) -> Option<String> {
        let family = template.family?;
        let address = |endpoint: Endpoint| Some(self.address_of(&endpoint, family)?.to_string());
        let range = |ranges: &[IpNet]| {
            let mut ranges = ranges.iter();
            Some(ranges.find(|r| is_of(&r.addr(), family))?.to_string())
        };
        let of_family = |addresses: &Vec<IpAddr>| {
            let mut addresses = addresses.iter();
            Some(addresses.find(|it| is_of(it, family))?.to_string())
        };
        match &template.wanted {
            Wanted::Pod { namespace, name } => {
                of_family(self.former.get(&ObjectName::new(namespace, name))?)
            }
            Wanted::FormerPod { namespace, name } => {
                let has_one = self.store.pod(namespace, name).is_some();
                let former = if has_one { &self.before } else { &self.former };
                of_family(former.get(&ObjectName::new(namespace, name))?)
            }
            Wanted::PodCidr => range(&self.facts.pod_cidrs),
            Wanted::ServiceCidr => range(&self.facts.service_cidrs),
            Wanted::HostBits => None,
            Wanted::Node(name) => address(Endpoint::Node(name.clone())),
            Wanted::NodePodCidr(node) => range(&self.nodes.get(node)?.pod_cidrs),
            Wanted::External(name) => address(Endpoint::External(name.clone())),
            Wanted::Service { namespace, name } => address(Endpoint::Service {
                namespace: namespace.clone(),
                name: name.clone(),
            }),
        }
    }
}

fn is_of(address: &IpAddr, family: Family) -> bool {
    address.is_ipv6() == (family == Family::Ipv6)
}
