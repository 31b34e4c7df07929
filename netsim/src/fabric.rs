//! How pods, and others, hang on their node.
//!
//! Each fabric says what to change when a node is made, when a pod comes, and when it goes; whoever
//! calls makes the changes.
//!
//! - [`bridged`]: pods share a segment and see each other directly;
//! - [`routed`]: pods see nobody but the node;
//! - [`attached`]: machines that are no pods, whatever the fabric.

use std::net::IpAddr;

use crate::{
    addresses::Ranges,
    link::{BRIDGE, ETH0, Link},
    netns::Netns,
    rtnl::{Change, Route},
    topology::Fabric,
};

pub(crate) mod attached;
mod bridged;
mod routed;

pub(crate) use bridged::acquaint;

/// A node, as its pods see it.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) fabric: Fabric,
    pub(crate) ranges: Ranges,
    /// The node's number.
    pub(crate) node: usize,
    /// The longest packet of its pods' links, in bytes, if it is not as long as usual.
    pub(crate) pod_mtu: Option<u32>,
}

impl Ground {
    /// The changes of the node's namespace before its first pod.
    pub(crate) fn prepare<'a>(&self) -> Vec<Change<'a>> {
        match self.fabric {
            Fabric::Bridge => bridged::prepare(self),
            Fabric::Routed => Vec::new(),
        }
    }

    /// The changes of the node's namespace when a pod comes.
    pub(crate) fn admit<'a>(
        &self,
        link: Link,
        pod: &'a Netns,
        addresses: &[IpAddr],
    ) -> Vec<Change<'a>> {
        match self.fabric {
            Fabric::Bridge => bridged::admit(self, link, pod, addresses),
            Fabric::Routed => {
                let node = self.ranges.node(self.node);
                routed::admit(&node, link, pod, addresses, self.pod_mtu)
            }
        }
    }

    /// The changes of the pod's own namespace when it comes, after those of the node.
    pub(crate) fn settle<'a>(&self, link: Link, addresses: &[IpAddr]) -> Vec<Change<'a>> {
        match self.fabric {
            Fabric::Bridge => bridged::settle(self, addresses),
            Fabric::Routed => routed::settle(link, addresses, |gateway| self.way_out(gateway)),
        }
    }

    /// A pod's way to everybody else. However short its packets must be, it tells others to send it
    /// segments of the usual length: only then the node finds some too long for the pod's link.
    fn way_out(&self, gateway: IpAddr) -> Route {
        let usual = if gateway.is_ipv4() { 1_460 } else { 1_440 };
        Route {
            advertised: self.pod_mtu.map(|_| usual),
            ..Route::default_via(gateway, ETH0)
        }
    }

    /// Waits in the node's namespace until pods that came can be sent to.
    pub(crate) fn await_up<'a>(&self, links: &[Link]) -> Vec<Change<'a>> {
        // The bridge wakes after its first port.
        let bridge = (self.fabric == Fabric::Bridge && !links.is_empty()).then_some(BRIDGE);
        let links = links.iter().map(|link| link.outside());
        links
            .chain(bridge)
            .map(|index| Change::AwaitUp { index })
            .collect()
    }

    /// The changes of the node's namespace when a pod goes. Its link goes with its namespace.
    pub(crate) fn dismiss<'a>(&self, link: Link, addresses: &[IpAddr]) -> Vec<Change<'a>> {
        match self.fabric {
            Fabric::Bridge => bridged::dismiss(link, addresses),
            Fabric::Routed => routed::dismiss(link, addresses),
        }
    }
}
