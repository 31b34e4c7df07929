//! What one node enforces: data, comparable, and able to answer for a packet.
//!
//! The Plan has the shape of the kernel's table (see [`crate::nft`]) so that asking it is asking
//! the compiled rules, not the policies again. [`Plan::verdict`] takes the kernel's steps:
//!
//! 1. a source, then a destination, of the node's pod range that no programmed pod has is held;
//! 2. egress of the source: its address is looked up among the isolated local pods; if it is there,
//!    its [`Profile`] asks the [`PeerTable`] about the destination's class, then the [`BlockTable`]
//!    about the destination, then its default;
//! 3. ingress of the destination, in the same way about the source. An allowed egress never skips
//!    it.
//!
//! A new connection thus costs the same number of look-ups whatever the number of policies, rules,
//! peers and pods.
//!
//! A *class* are all addresses that the same peers of policies match. Tables hold an answer per class
//! and not per address: an address that comes or goes changes one entry, however many tables there
//! are.
//!
//! A copy of a Plan shares memory with it, and what is shared is not compared: copying, changing and
//! comparing Plans costs what differs. Start at [`Plan`].

mod describe;
pub(crate) mod interval;
mod port_set;
mod sorted;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

pub use self::{
    describe::{Description, Passing, PodDescription, SideDescription, describe},
    port_set::{Allowed, PortSet},
    sorted::Sorted,
    table::{Block, BlockTable, ConnectionId, Grant, Id, PeerTable, Profile, Subject},
};
use ipnet::IpNet;

use crate::{
    cluster::PodRef,
    options::{Established, Options},
    policy::{Direction, PolicyRef, Protocol},
};

/// The transport of a packet, as `meta l4proto` and `th dport` see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A protocol with ports, and the destination port.
    Port(Protocol, u16),
    /// Any other protocol number; ICMP is 1, ICMPv6 is 58.
    Other(u8),
}

/// The first packet of a connection as the forward hook sees it: after DNAT, before SNAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Protocol and destination port.
    pub transport: Transport,
}

impl Packet {
    /// The address that is judged in `direction`, and the other one.
    pub(crate) fn ends(&self, direction: Direction) -> (IpAddr, IpAddr) {
        match direction {
            Direction::Egress => (self.source, self.destination),
            Direction::Ingress => (self.destination, self.source),
        }
    }
}

/// What becomes of a packet on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes both directions.
    Allowed,
    /// It is dropped.
    Denied {
        /// In which direction it was judged when it fell.
        direction: Direction,
        /// The isolated local pod.
        pod: PodRef,
        /// Everything that isolates the pod in that direction. None of it allows the packet; none
        /// of it alone denies it.
        isolated_by: Vec<PolicyRef>,
    },
    /// It is dropped because one of its addresses is the node's to give to pods, and no pod that
    /// is programmed has it (semantics 217, 218).
    Held {
        /// Whether it is the source (egress) or the destination (ingress).
        direction: Direction,
        /// The address.
        address: IpAddr,
    },
}

/// What one node enforces. The default enforces nothing and has no table; a node without policies
/// has a table that judges nobody, so that connections are tracked before the first policy comes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The node it is for; none if nothing is to be in the kernel at all.
    pub(crate) node: Option<Arc<str>>,
    /// What was chosen where the specification leaves a choice.
    pub(crate) options: Options,
    /// Isolated local pods by address.
    pub(crate) ingress: BTreeMap<IpAddr, Subject>,
    /// Isolated local pods by address.
    pub(crate) egress: BTreeMap<IpAddr, Subject>,
    pub(crate) profiles: BTreeMap<Id, Arc<Profile>>,
    /// The class of each address that is in one.
    pub(crate) classes: Sorted<IpAddr, Id>,
    pub(crate) peers: BTreeMap<Id, Arc<PeerTable>>,
    pub(crate) blocks: BTreeMap<Id, Arc<BlockTable>>,
    pub(crate) ports: BTreeMap<Id, Arc<PortSet>>,
    /// In which direction which port set is asked.
    pub(crate) port_uses: BTreeSet<(Direction, Id)>,
    /// (source, destination) of one isolated pod: it always reaches itself (semantics 176).
    pub(crate) own: BTreeSet<(IpAddr, IpAddr)>,
    /// Ranges of which nothing passes but what is programmed, neither overlapping nor adjacent;
    /// none unless that is chosen.
    pub(crate) pod_ranges: BTreeSet<IpNet>,
    /// Addresses in `pod_ranges` that pods are known to have, isolated or not.
    pub(crate) programmed: BTreeSet<IpAddr>,
    /// Live connections that were accepted and are so no longer.
    pub(crate) revoked: BTreeSet<ConnectionId>,
}

impl Plan {
    /// The node it is for; none if it is the default.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// What was chosen where the specification leaves a choice.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Isolated local pods of one direction, by address.
    pub fn subjects(&self, direction: Direction) -> &BTreeMap<IpAddr, Subject> {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// Everything that pods are judged by, by name.
    pub fn profiles(&self) -> &BTreeMap<Id, Arc<Profile>> {
        &self.profiles
    }

    /// Live connections that are cut.
    pub fn revoked(&self) -> &BTreeSet<ConnectionId> {
        &self.revoked
    }

    /// The same Plan with other connections cut: usually [`crate::conntrack::revoked`]. Who
    /// compiles a Plan anew starts with those of the last one, so that nothing is let through
    /// before it is known again what has to be cut. Without effect unless the Plan is to revoke
    /// ([`Established::Revoke`]).
    pub fn set_revoked(&mut self, connections: BTreeSet<ConnectionId>) {
        if self.options.established == Established::Revoke {
            self.revoked = connections;
        }
    }

    /// What becomes of `packet` in this node's forward hook.
    ///
    /// Traffic between a node and its own pods never comes there and always passes (semantics 164,
    /// 165); nor is a reply or an ICMP error ever asked about. Of ICMPv6 an echo request is meant:
    /// neighbour discovery always passes (semantics 117).
    pub fn verdict(&self, packet: &Packet) -> Verdict {
        self.hold(packet)
            .or_else(|| self.denial(packet))
            .unwrap_or(Verdict::Allowed)
    }

    /// Whether an end of the packet is an address that waits for its pod to be programmed.
    fn hold(&self, packet: &Packet) -> Option<Verdict> {
        [Direction::Egress, Direction::Ingress]
            .into_iter()
            .find_map(|direction| {
                let (address, _) = packet.ends(direction);
                let is_held = self.pod_ranges.iter().any(|range| range.contains(&address))
                    && !self.programmed.contains(&address);
                is_held.then_some(Verdict::Held { direction, address })
            })
    }

    /// What the policies say against `packet`, whatever is held.
    pub(crate) fn denial(&self, packet: &Packet) -> Option<Verdict> {
        for direction in [Direction::Egress, Direction::Ingress] {
            let (judged, peer) = packet.ends(direction);
            let Some(subject) = self.subjects(direction).get(&judged) else {
                continue;
            };
            let profile = &self.profiles[&subject.profile];
            if self
                .grant(profile, peer)
                .is_some_and(|grant| self.admits(grant, packet.transport))
            {
                continue;
            }
            if self.own.contains(&(packet.source, packet.destination)) {
                return None;
            }
            return Some(Verdict::Denied {
                direction,
                pod: subject.pod.clone(),
                isolated_by: profile.policies.clone(),
            });
        }
        None
    }

    fn grant(&self, profile: &Profile, peer: IpAddr) -> Option<Grant> {
        let by_pod = || {
            let class = self.classes.get(&peer)?;
            self.peers[&profile.peers?].answers.get(class).copied()
        };
        let by_block = || self.blocks[&profile.blocks?].get(peer);
        by_pod().or_else(by_block).or(profile.otherwise)
    }

    fn admits(&self, grant: Grant, transport: Transport) -> bool {
        match (grant, transport) {
            (Grant::Everything, _) => true,
            (Grant::Ports(id), Transport::Port(protocol, port)) => {
                self.ports[&id].contains(protocol, port)
            }
            (Grant::Ports(_), Transport::Other(_)) => false,
        }
    }
}
