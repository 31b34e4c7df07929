//! Where the endpoints of a scenario are in the simulator: places and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netsim::place::Place;

use super::Sim;
use crate::{
    cell::{Endpoint, Family},
    endpoints,
    scenario::{Resolve, Template, Wanted},
};

impl Sim {
    /// The addresses by which others know a node.
    pub(in crate::backend) fn node_addresses(&self, node: &str) -> Vec<IpAddr> {
        self.net.node_addresses(node)
    }

    /// The pod ranges of a node.
    pub(in crate::backend) fn pod_cidrs_of(&self, node: &str) -> Vec<IpNet> {
        self.net.node_pod_cidrs(node)
    }

    /// Which addresses there are.
    pub(in crate::backend) fn families(&self) -> netsim::topology::Families {
        self.options.families
    }

    pub(super) fn place(&self, endpoint: &Endpoint) -> Option<Place> {
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let spec = self.store.pod(namespace, name)?.spec.as_ref()?;
                if spec.host_network == Some(true) {
                    return Some(Place::Node(spec.node_name.clone()?));
                }
                Some(Place::Pod(format!("{namespace}/{name}")))
            }
            Endpoint::Node(name) => Some(Place::Node(name.clone())),
            Endpoint::External(name) => Some(Place::External(name.clone())),
            Endpoint::Service { .. } | Endpoint::Localhost => None,
        }
    }

    pub(super) fn address_of(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        let wanted = |address: &IpAddr| is_of(address, family);
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let pod = self.store.pod(namespace, name)?;
                endpoints::addresses(pod).find(wanted)
            }
            Endpoint::Node(name) => self.net.node_addresses(name).into_iter().find(wanted),
            Endpoint::External(name) => {
                let addresses = self.net.external_addresses(name);
                addresses.into_iter().find(wanted)
            }
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

/// Templates take the addresses of the simulated network.
impl Resolve for Sim {
    fn resolve(&self, template: &Template) -> Option<String> {
        let family = template.family?;
        let address = |endpoint: Endpoint| Some(self.address_of(&endpoint, family)?.to_string());
        let range = |ranges: Vec<IpNet>| {
            let mut ranges = ranges.into_iter();
            Some(ranges.find(|r| is_of(&r.addr(), family))?.to_string())
        };
        match &template.wanted {
            Wanted::Pod { namespace, name } => {
                let mut former = self.former.get(&format!("{namespace}/{name}"))?.iter();
                Some(former.find(|address| is_of(address, family))?.to_string())
            }
            Wanted::FormerPod { namespace, name } => {
                let has_one = self.store.pod(namespace, name).is_some();
                let former = if has_one { &self.before } else { &self.former };
                let mut former = former.get(&format!("{namespace}/{name}"))?.iter();
                Some(former.find(|address| is_of(address, family))?.to_string())
            }
            Wanted::PodCidr => range(self.net.pod_cidrs()),
            Wanted::ServiceCidr => range(self.net.service_cidrs()),
            Wanted::HostBits => None,
            Wanted::Node(name) => address(Endpoint::Node(name.clone())),
            Wanted::NodePodCidr(node) => range(self.net.node_pod_cidrs(node)),
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
