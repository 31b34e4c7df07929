//! The network between nodes and external machines: one bridge in a namespace of its own.
//!
//! Nodes know each other's pod ranges by routes. External machines know the pod ranges too, so that
//! they and pods see each other's own addresses: nothing is masqueraded unless a Service asks for it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    addresses::same_family,
    link::{BRIDGE, ETH0, Link, wake},
    mac::Mac,
    netns::Netns,
    rtnl::{Change, Route},
};

/// A node or an external machine, as its neighbours see it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) link: Link,
    pub(crate) addresses: Vec<IpAddr>,
    /// The pod ranges behind it. None for an external machine.
    pub(crate) pods: Vec<IpNet>,
}

/// The changes of the underlay's own namespace.
pub(crate) fn build<'a>(machines: impl Iterator<Item = (Link, &'a Netns)>) -> Vec<Change<'a>> {
    let mut changes = vec![Change::AddBridge {
        index: BRIDGE,
        name: "underlay".into(),
        mac: Mac::bridge(u32::MAX),
    }];
    changes.extend(machines.flat_map(|(link, machine)| link.make_port(machine)));
    changes
}

/// The changes of one machine. `own_ranges` are the underlay's ranges that its addresses are from,
/// `other_ranges` the rest of the underlay.
pub(crate) fn attach<'a>(
    machine: &Machine,
    own_ranges: &[IpNet],
    other_ranges: &[IpNet],
    others: &[Machine],
) -> Vec<Change<'a>> {
    let mut changes = wake().to_vec();
    for (address, range) in machine.addresses.iter().zip(own_ranges) {
        changes.push(Change::AddAddress {
            index: ETH0,
            address: IpNet::new(*address, range.prefix_len())
                .expect("the length comes from a range of the same family"),
        });
    }
    for range in other_ranges {
        changes.push(Change::AddRoute(Route {
            to: *range,
            index: ETH0,
            via: None,
            source: same_family(&machine.addresses, range.addr()),
        }));
    }
    for other in others.iter().filter(|other| other.link != machine.link) {
        for address in &other.addresses {
            changes.push(Change::AddNeighbour {
                index: ETH0,
                address: *address,
                mac: other.link.inside_mac(),
            });
        }
        for range in &other.pods {
            changes.push(Change::AddRoute(Route {
                to: *range,
                index: ETH0,
                via: same_family(&other.addresses, range.addr()),
                source: None,
            }));
        }
    }
    changes
}
