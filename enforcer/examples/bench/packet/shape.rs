//! The policies that a connection has to pass.

use std::{fmt, net::IpAddr};

use enforcer::cluster::Event;
use k8s_openapi::api::{
    core::v1::Pod,
    networking::v1::{NetworkPolicy, NetworkPolicyPort},
};

use crate::object::{self, Told as _, block, from, namespace, node, pod, policy, port, ports};

/// Pods that policies let in, none of which is there in truth.
const CROWD: usize = 10_000;
/// They are of so many groups.
const GROUPS: usize = 100;
/// Ranges of addresses that policies let in.
const BLOCKS: usize = 1_000;
/// Where the server listens.
pub(super) const PORT: u16 = 80;
/// Where nobody listens and nobody is let in.
pub(super) const CLOSED: u16 = 81;

/// How many policies there are, and what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) policies: usize,
    /// One in so many selects the server; the others select a neighbour of it on its node.
    pub(super) one_in: usize,
    pub(super) peers: Peers,
    /// Whether each names ten ports and a range instead of one port.
    pub(super) has_port_lists: bool,
}

/// Whom each policy lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peers {
    /// 100 pods by their label.
    Hundred,
    /// 10,000 pods by their namespace.
    TenThousand,
    /// A range of addresses, one of 1,000.
    Blocks,
}

impl Shape {
    /// So many policies that all select the server, each for 100 pods and one port.
    pub(super) fn plain(policies: usize) -> Self {
        Self {
            policies,
            one_in: 1,
            peers: Peers::Hundred,
            has_port_lists: false,
        }
    }

    pub(super) fn is_plain(self) -> bool {
        self == Self::plain(self.policies)
    }

    /// In figures.
    pub(super) fn name(self) -> String {
        let mut name = self.policies.to_string();
        if self.one_in > 1 {
            name += &format!("-one-in-{}", self.one_in);
        }
        name += match self.peers {
            Peers::Hundred => "",
            Peers::TenThousand => "-10000-peers",
            Peers::Blocks => "-blocks",
        };
        if self.has_port_lists {
            name += "-port-lists";
        }
        name
    }

    /// The policy of this number. The last one lets the client in.
    fn policy(self, number: usize) -> NetworkPolicy {
        let is_last = number + 1 == self.policies;
        let selected = if is_last || number.is_multiple_of(self.one_in) {
            "server"
        } else {
            "neighbour"
        };
        let mut peers = match self.peers {
            Peers::Hundred => {
                let group = format!("g{}", number % GROUPS);
                vec![object::pods_where(
                    &[("crowd", "yes")],
                    &[("group", &group)],
                )]
            }
            Peers::TenThousand => vec![object::pods_where(&[("crowd", "yes")], &[])],
            Peers::Blocks => {
                let block_number = number % BLOCKS;
                let (third, fourth) = (block_number / 16, block_number % 16 * 16);
                vec![block(&format!("172.20.{third}.{fourth}/28"), &[])]
            }
        };
        let mut allowed = self.ports(number);
        if is_last {
            peers.push(object::pods(&[("app", "client")]));
            allowed.push(port("TCP", PORT));
            allowed.push(port("UDP", PORT));
        }
        policy(
            "shop",
            &format!("policy-{number}"),
            &[("app", selected)],
            vec![from(peers, allowed)],
            Vec::new(),
        )
    }

    fn ports(self, number: usize) -> Vec<NetworkPolicyPort> {
        let own = 10_000 + u16::try_from(number % 20_000).expect("less than 20,000");
        if self.has_port_lists {
            let list = (0..10).map(|step| port("TCP", 1_000 + (own + step * 97) % 8_000));
            list.chain([ports("TCP", own, own + 99)]).collect()
        } else {
            vec![port("TCP", own)]
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} policies", self.policies)?;
        if self.one_in > 1 {
            write!(f, ", one in {} for the server", self.one_in)?;
        }
        f.write_str(match self.peers {
            Peers::Hundred => ", 100 pods each",
            Peers::TenThousand => ", 10,000 pods each",
            Peers::Blocks => ", a range each",
        })?;
        f.write_str(if self.has_port_lists {
            ", ten ports and a range"
        } else {
            ", one port"
        })
    }
}

/// Who is there in truth.
#[derive(Clone, Debug)]
pub(super) struct Present {
    /// The node that is enforced.
    pub(super) node: String,
    pub(super) node_address: IpAddr,
    pub(super) range: String,
    pub(super) client: IpAddr,
    pub(super) server: IpAddr,
    /// An address of the node that no pod has.
    pub(super) neighbour: IpAddr,
}

impl Present {
    fn pod(&self, name: &str, address: IpAddr) -> Pod {
        pod("shop", name, &self.node, address, &[("app", name)])
    }
}

/// The client and the server, and that the one may reach the other.
pub(super) fn pair(present: &Present) -> [Event; 4] {
    [
        namespace("shop", &[]).told(),
        present.pod("client", present.client).told(),
        present.pod("server", present.server).told(),
        Shape::plain(1).policy(0).told(),
    ]
}

/// Everything that an enforcer of the node is told.
pub(super) fn events(shape: Shape, present: &Present) -> impl Iterator<Item = Event> {
    let before = [
        node(&present.node, present.node_address, &present.range).told(),
        namespace("shop", &[]).told(),
        namespace("crowd", &[("crowd", "yes")]).told(),
        present.pod("client", present.client).told(),
        present.pod("server", present.server).told(),
        present.pod("neighbour", present.neighbour).told(),
    ];
    let crowd = (0..CROWD).map(|number| {
        let group = format!("g{}", number % GROUPS);
        let (name, address) = (format!("pod-{number}"), object::address(11, number));
        pod("crowd", &name, "elsewhere", address, &[("group", &group)]).told()
    });
    let policies = (0..shape.policies).map(move |number| shape.policy(number).told());
    before.into_iter().chain(crowd).chain(policies)
}
