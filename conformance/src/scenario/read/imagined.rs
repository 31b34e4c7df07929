//! Addresses as a cluster could have them, to check policies with before there is a cluster.
//!
//! They have the structure of real ones: a pod's address lies in its node's range, which lies in
//! the cluster's. So whatever the API server would refuse of a policy is refused here too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    cell::Family,
    scenario::{
        policy::Resolve,
        text::template::{Template, Wanted},
        world::{ObjectName, World},
    },
};

/// Imagines the addresses of a world.
pub(super) struct Imagined<'a>(pub(super) &'a World);

impl Resolve for Imagined<'_> {
    fn resolve(&self, template: &Template) -> Option<String> {
        Some(address(self.0, &template.wanted, template.family?))
    }
}

/// The address, or the range, that a template stands for. Objects that do not exist (any more) get
/// addresses too: whether they exist is checked elsewhere.
fn address(world: &World, wanted: &Wanted, family: Family) -> String {
    let node_number = |name: &str| position(world.nodes.keys().map(String::as_str), name);
    match wanted {
        Wanted::Pod { namespace, name } | Wanted::FormerPod { namespace, name } => {
            let reference = ObjectName::new(namespace, name);
            let pod = world.pods.get(&reference);
            let node = pod.map_or(0, |pod| node_number(pod.node()));
            let number = world.pods.keys().position(|key| *key == reference);
            host(family, Range::Pods(node), number.unwrap_or(200)).to_string()
        }
        Wanted::PodCidr => match family {
            Family::Ipv4 => "10.244.0.0/16".to_owned(),
            Family::Ipv6 => "fd00:10:244::/48".to_owned(),
        },
        Wanted::ServiceCidr => match family {
            Family::Ipv4 => "10.96.0.0/16".to_owned(),
            Family::Ipv6 => "fd00:10:96::/112".to_owned(),
        },
        Wanted::NodePodCidr(name) => {
            let node = node_number(name);
            match family {
                Family::Ipv4 => format!("10.244.{node}.0/24"),
                Family::Ipv6 => format!("fd00:10:244:{node:x}::/64"),
            }
        }
        Wanted::Node(name) => host(family, Range::Nodes, node_number(name)).to_string(),
        Wanted::External(name) => {
            let number = position(world.externals.keys().map(String::as_str), name);
            host(family, Range::Outside, number).to_string()
        }
        Wanted::Service { namespace, name } => {
            let reference = ObjectName::new(namespace, name);
            let number = world.services.keys().position(|key| *key == reference);
            host(family, Range::Services, number.unwrap_or(200)).to_string()
        }
        Wanted::HostBits => match family {
            Family::Ipv4 => "32".to_owned(),
            Family::Ipv6 => "128".to_owned(),
        },
    }
}

fn position<'a>(mut names: impl Iterator<Item = &'a str>, name: &str) -> usize {
    names.position(|n| n == name).unwrap_or(200)
}

#[derive(Clone, Copy)]
enum Range {
    Pods(usize),
    Nodes,
    Outside,
    Services,
}

/// The `number`-th address of a range; the first one belongs to nobody.
fn host(family: Family, range: Range, number: usize) -> IpAddr {
    let last = u8::try_from(number % 250 + 2).expect("less than 252");
    let node = |node: usize| u8::try_from(node % 250).expect("less than 250");
    match family {
        Family::Ipv4 => {
            let [a, b, c] = match range {
                Range::Pods(n) => [10, 244, node(n)],
                Range::Nodes => [172, 18, 0],
                Range::Outside => [203, 0, 113],
                Range::Services => [10, 96, 0],
            };
            Ipv4Addr::new(a, b, c, last).into()
        }
        Family::Ipv6 => {
            let [a, b, c, d] = match range {
                Range::Pods(n) => [0xfd00, 0x10, 0x244, u16::from(node(n))],
                Range::Nodes => [0xfd00, 0x172, 0x18, 0],
                Range::Outside => [0x2001, 0xdb8, 0, 0],
                Range::Services => [0xfd00, 0x10, 0x96, 0],
            };
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, last.into()).into()
        }
    }
}
