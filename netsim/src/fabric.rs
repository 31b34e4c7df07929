//! How the pods of a node hang on it.
//!
//! Each fabric says what to change when a node is made, when a pod comes, and when it goes; whoever
//! calls makes the changes.
//!
//! - [`bridged`]: pods share a segment and see each other directly;
//! - [`routed`]: pods see nobody but the node.

use std::net::IpAddr;

use crate::{
    addresses::Ranges,
    link::{BRIDGE, Link},
    netns::Netns,
    rtnl::Change,
    topology::Fabric,
};

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
            Fabric::Bridge => bridged::admit(link, pod, addresses),
            Fabric::Routed => routed::admit(&self.ranges.node(self.node), link, pod, addresses),
        }
    }

    /// The changes of the pod's own namespace when it comes, after those of the node.
    pub(crate) fn settle<'a>(&self, link: Link, addresses: &[IpAddr]) -> Vec<Change<'a>> {
        match self.fabric {
            Fabric::Bridge => bridged::settle(self, addresses),
            Fabric::Routed => routed::settle(link, addresses),
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
