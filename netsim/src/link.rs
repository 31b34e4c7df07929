//! The link between a machine and what it hangs on.

use crate::{
    mac::Mac,
    netns::Netns,
    rtnl::{Change, LOOPBACK, Veth},
};

/// The number of `eth0` in every pod, node and external machine.
pub(crate) const ETH0: u32 = LOOPBACK + 1;

/// The number of the bridge in the underlay and in each bridged node.
pub(crate) const BRIDGE: u32 = ETH0 + 1;

/// Smaller numbers are taken by the links above.
const FIRST_PORT: u32 = 10;

/// A link, known by a number that no other link of the cluster has had.
///
/// Inside, with the machine, it is `eth0`. Outside, with its node or with the underlay, it is `vethN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link(pub(crate) u32);

impl Link {
    pub(crate) fn outside(self) -> u32 {
        FIRST_PORT + self.0
    }

    pub(crate) fn outside_name(self) -> String {
        format!("veth{}", self.0)
    }

    pub(crate) fn outside_mac(self) -> Mac {
        Mac::outside(self.0)
    }

    pub(crate) fn inside_mac(self) -> Mac {
        Mac::inside(self.0)
    }

    /// Makes both ends, from outside. The inner one is still down. `mtu`: the longest packet, in bytes,
    /// if it is not as long as usual.
    pub(crate) fn make(self, bridge: Option<u32>, machine: &Netns, mtu: Option<u32>) -> Change<'_> {
        Change::AddVeth(Veth {
            index: self.outside(),
            name: self.outside_name(),
            mac: self.outside_mac(),
            bridge,
            peer_namespace: machine,
            peer_index: ETH0,
            peer_name: "eth0",
            peer_mac: self.inside_mac(),
            mtu,
        })
    }

    /// Makes both ends, the outer one a port of [`BRIDGE`].
    pub(crate) fn make_port(self, machine: &Netns, mtu: Option<u32>) -> [Change<'_>; 3] {
        let port = self.outside();
        [
            self.make(Some(BRIDGE), machine, mtu),
            Change::SetPort { index: port },
            Change::AddForwarding {
                port,
                mac: self.inside_mac(),
            },
        ]
    }
}

/// What every machine does first.
pub(crate) fn wake<'a>() -> [Change<'a>; 3] {
    [
        Change::SetUp { index: LOOPBACK },
        Change::SetNoLinkLocal { index: ETH0 },
        Change::SetUp { index: ETH0 },
    ]
}
