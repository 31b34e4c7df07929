//! Pods are ports of one bridge per node, which is also their gateway.
//!
//! Packets between two pods of a node never reach the node's routing. Its rules see them because
//! `bridge-nf-call-iptables` is set.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Ground;
use crate::{
    addresses::same_family,
    link::{BRIDGE, ETH0, Link, wake},
    mac::Mac,
    netns::Netns,
    rtnl::Change,
};

pub(super) fn prepare<'a>(ground: &Ground) -> Vec<Change<'a>> {
    let mut changes = vec![Change::AddBridge {
        index: BRIDGE,
        name: "pods".into(),
        mac: gateway_mac(ground),
    }];
    changes.extend(
        ground
            .pod_mtu
            .map(|mtu| Change::SetMtu { index: BRIDGE, mtu }),
    );
    let gateways = ground.ranges.gateways_of_node(ground.node);
    let ranges = ground.ranges.pods_of_node(ground.node);
    for (gateway, range) in gateways.into_iter().zip(ranges) {
        changes.extend(Change::own(BRIDGE, inside(gateway, range)));
    }
    changes
}

pub(super) fn admit<'a>(
    ground: &Ground,
    link: Link,
    pod: &'a Netns,
    addresses: &[IpAddr],
) -> Vec<Change<'a>> {
    let mut changes = Vec::from(link.make_port(pod, ground.pod_mtu));
    changes.extend(addresses.iter().map(|address| Change::AddNeighbour {
        index: BRIDGE,
        address: *address,
        mac: link.inside_mac(),
    }));
    changes
}

pub(super) fn settle<'a>(ground: &Ground, addresses: &[IpAddr]) -> Vec<Change<'a>> {
    let mut changes = wake().to_vec();
    let gateways = ground.ranges.gateways_of_node(ground.node);
    let ranges = ground.ranges.pods_of_node(ground.node);
    for address in addresses {
        let range = ranges.iter().find(|range| range.contains(address));
        let gateway = same_family(&gateways, *address);
        let (Some(range), Some(gateway)) = (range, gateway) else {
            continue;
        };
        changes.extend(Change::own(ETH0, inside(*address, *range)));
        changes.push(Change::AddNeighbour {
            index: ETH0,
            address: gateway,
            mac: gateway_mac(ground),
        });
        changes.push(Change::AddRoute(ground.way_out(gateway)));
    }
    changes
}

pub(super) fn dismiss<'a>(link: Link, addresses: &[IpAddr]) -> Vec<Change<'a>> {
    let mut changes = vec![Change::SetDown {
        index: link.outside(),
    }];
    changes.extend(addresses.iter().map(|address| Change::DeleteNeighbour {
        index: BRIDGE,
        address: *address,
    }));
    changes
}

/// The change by which one pod knows another of its segment for ever, so that they need not ask.
pub(crate) fn acquaint<'a>(other: Link, address: IpAddr) -> Change<'a> {
    Change::AddNeighbour {
        index: ETH0,
        address,
        mac: other.inside_mac(),
    }
}

fn gateway_mac(ground: &Ground) -> Mac {
    Mac::bridge(u32::try_from(ground.node).expect("at most 64 nodes"))
}

/// An address with the length of the range it is in.
fn inside(address: IpAddr, range: IpNet) -> IpNet {
    IpNet::new(address, range.prefix_len()).expect("the range has the address's family")
}
