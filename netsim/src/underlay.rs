//! The network between nodes and external machines: one bridge in a namespace of its own, which is
//! also the nodes' default router.
//!
//! Machines know by routes what is behind the nodes: pod ranges and other machines. So everybody sees
//! everybody's own address: nothing is masqueraded unless a Service asks for it.
//! The router knows nothing else: what nobody owns is unreachable.

use std::{iter, net::IpAddr};

use ipnet::IpNet;

use crate::{
    addresses::{Ranges, same_family},
    link::{BRIDGE, ETH0, Link, wake},
    mac::Mac,
    netns::Netns,
    rtnl::{Change, LOOPBACK, Route},
};

const ROUTER: Mac = Mac::bridge(u32::MAX);

/// A node or an external machine, as its neighbours see it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) link: Link,
    pub(crate) addresses: Vec<IpAddr>,
    /// What is behind it: pod ranges and machines. Nothing behind an external machine.
    pub(crate) behind: Vec<IpNet>,
}

/// The changes of the underlay's own namespace.
pub(crate) fn build<'a>(
    ranges: Ranges,
    machines: &[Machine],
    namespaces: &[&'a Netns],
) -> Vec<Change<'a>> {
    let mut changes = vec![
        Change::SetUp { index: LOOPBACK },
        Change::AddBridge {
            index: BRIDGE,
            name: "underlay".into(),
            mac: ROUTER,
        },
    ];
    for (machine, namespace) in iter::zip(machines, namespaces) {
        changes.extend(machine.link.make_port(namespace, None));
    }
    changes.extend(own(BRIDGE, &ranges.router(), &ranges.nodes()));
    changes.extend(on_link(BRIDGE, &ranges.router(), &ranges.externals()));
    for machine in machines {
        changes.extend(meet(BRIDGE, machine));
    }
    changes
}

/// Waits in the underlay's namespace until every cable carries packets.
pub(crate) fn await_cables<'a>(machines: &[Machine]) -> Vec<Change<'a>> {
    let cables = machines.iter().map(|machine| machine.link.outside());
    // The bridge wakes after its first port.
    cables
        .chain((!machines.is_empty()).then_some(BRIDGE))
        .map(|index| Change::AwaitUp { index })
        .collect()
}

/// The changes of one machine. `own_ranges` are the underlay's ranges that its addresses are from,
/// `other_ranges` the rest of the underlay.
pub(crate) fn attach<'a>(
    machine: &Machine,
    own_ranges: &[IpNet],
    other_ranges: &[IpNet],
    everybody: &[Machine],
) -> Vec<Change<'a>> {
    let mut changes = wake().to_vec();
    changes.extend(own(ETH0, &machine.addresses, own_ranges));
    changes.extend(on_link(ETH0, &machine.addresses, other_ranges));
    for other in everybody.iter().filter(|other| other.link != machine.link) {
        changes.extend(meet(ETH0, other));
    }
    changes
}

/// The changes that give a node its default router.
pub(crate) fn route_by_default<'a>(ranges: Ranges) -> Vec<Change<'a>> {
    let routers = ranges.router().into_iter();
    routers
        .flat_map(|router| {
            [
                Change::AddNeighbour {
                    index: ETH0,
                    address: router,
                    mac: ROUTER,
                },
                Change::AddRoute(Route::default_via(router, ETH0)),
            ]
        })
        .collect()
}

/// A machine's own addresses.
fn own<'a>(index: u32, addresses: &[IpAddr], ranges: &[IpNet]) -> Vec<Change<'a>> {
    iter::zip(addresses, ranges)
        .flat_map(|(address, range)| {
            let address = IpNet::new(*address, range.prefix_len())
                .expect("the length comes from a range of the same family");
            Change::own(index, address)
        })
        .collect()
}

/// Ranges whose machines are on the same segment.
fn on_link<'a>(index: u32, addresses: &[IpAddr], ranges: &[IpNet]) -> Vec<Change<'a>> {
    ranges
        .iter()
        .map(|range| {
            Change::AddRoute(Route {
                to: *range,
                index,
                via: None,
                source: same_family(addresses, range.addr()),
                advertised: None,
            })
        })
        .collect()
}

/// Where another machine is, and what is behind it.
fn meet<'a>(index: u32, other: &Machine) -> Vec<Change<'a>> {
    let neighbours = other.addresses.iter().map(|address| Change::AddNeighbour {
        index,
        address: *address,
        mac: other.link.inside_mac(),
    });
    let routes = other.behind.iter().map(|range| {
        Change::AddRoute(Route {
            to: *range,
            index,
            via: same_family(&other.addresses, range.addr()),
            source: None,
            advertised: None,
        })
    });
    neighbours.chain(routes).collect()
}
