//! The node has a route to each pod; a pod sends everything to a gateway that exists only as a
//! permanent neighbour. As Calico and kindnet do it.

use std::net::IpAddr;

use crate::{
    addresses::{ROUTED_GATEWAYS, alone, same_family},
    link::{ETH0, Link, wake},
    netns::Netns,
    rtnl::{Change, Route},
};

pub(super) fn admit<'a>(
    node: &[IpAddr],
    link: Link,
    pod: &'a Netns,
    addresses: &[IpAddr],
    mtu: Option<u32>,
) -> Vec<Change<'a>> {
    let mut changes = vec![link.make(None, pod, mtu)];
    for address in addresses {
        changes.push(Change::AddRoute(Route {
            source: same_family(node, *address),
            ..route(link, *address)
        }));
        changes.push(Change::AddNeighbour {
            index: link.outside(),
            address: *address,
            mac: link.inside_mac(),
        });
    }
    changes
}

/// `way_out` is the pod's route to everybody else, by way of its gateway.
pub(super) fn settle<'a>(
    link: Link,
    addresses: &[IpAddr],
    way_out: impl Fn(IpAddr) -> Route,
) -> Vec<Change<'a>> {
    let mut changes = wake().to_vec();
    for address in addresses {
        changes.extend(Change::own(ETH0, alone(*address)));
        let Some(gateway) = same_family(&ROUTED_GATEWAYS, *address) else {
            continue;
        };
        changes.push(Change::AddNeighbour {
            index: ETH0,
            address: gateway,
            mac: link.outside_mac(),
        });
        // A link-local IPv6 gateway needs no route to itself.
        if gateway.is_ipv4() {
            changes.push(Change::AddRoute(Route {
                to: alone(gateway),
                index: ETH0,
                via: None,
                source: None,
                advertised: None,
            }));
        }
        changes.push(Change::AddRoute(way_out(gateway)));
    }
    changes
}

pub(super) fn dismiss<'a>(link: Link, addresses: &[IpAddr]) -> Vec<Change<'a>> {
    let mut changes: Vec<_> = addresses
        .iter()
        .map(|address| Change::DeleteRoute(route(link, *address)))
        .collect();
    changes.push(Change::SetDown {
        index: link.outside(),
    });
    changes
}

fn route(link: Link, address: IpAddr) -> Route {
    Route {
        to: alone(address),
        index: link.outside(),
        via: None,
        source: None,
        advertised: None,
    }
}
