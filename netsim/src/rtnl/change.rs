//! One change of the links, addresses, routes or neighbours of a namespace, as data.

use std::{
    fmt, io, iter,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
};
use nix::libc;
use rtnetlink::{
    LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressFlags, AddressMessage},
        link::{
            AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoData, InfoVeth,
            LinkAttribute, LinkMessage,
        },
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
        },
        route::{RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteScope, RouteType},
    },
};

use crate::{mac::Mac, netns::Netns};

/// `RT_TABLE_LOCAL` of linux/rtnetlink.h.
const LOCAL_TABLE: u8 = 255;

/// Every namespace has its loopback link under this number.
pub(crate) const LOOPBACK: u32 = 1;

/// One change. Links are known by numbers that we choose, so nothing is ever looked up.
#[derive(Debug, Clone)]
pub(crate) enum Change<'a> {
    /// A bridge that learns nothing by itself, up.
    AddBridge {
        index: u32,
        name: String,
        mac: Mac,
    },
    /// A pair of links. This end is up at once.
    AddVeth(Veth<'a>),
    /// This link is a bridge port that reaches itself (a pod behind its own Service), and its bridge
    /// neither learns nor guesses where a frame goes: [`Change::AddForwarding`] says so.
    SetPort {
        index: u32,
    },
    /// This link makes itself no IPv6 address. By setting instead, a busy kernel would refuse and have
    /// the call repeated dozens of times.
    SetNoLinkLocal {
        index: u32,
    },
    SetUp {
        index: u32,
    },
    /// The longest packet of a link, in bytes.
    SetMtu {
        index: u32,
        mtu: u32,
    },
    AddAddress {
        index: u32,
        address: IpNet,
    },
    /// This namespace answers to the address. The kernel says so by itself, but of IPv6 only some
    /// milliseconds after it has accepted the address; what comes earlier would be lost.
    AddLocal {
        index: u32,
        address: IpAddr,
    },
    AddRoute(Route),
    /// A neighbour for ever. The kernel's table of others ends at 1,024 for the whole machine.
    AddNeighbour {
        index: u32,
        address: IpAddr,
        mac: Mac,
    },
    /// The bridge port behind which a hardware address is, for ever.
    AddForwarding {
        port: u32,
        mac: Mac,
    },
    /// Not a change: waits until the link sends. It does not as soon as both ends are up, but as soon
    /// as the kernel's link watch has seen that; what is sent earlier is lost.
    AwaitUp {
        index: u32,
    },
    /// Cuts a link, at once. Deleting it would take 20 ms; it goes with the namespace at its other end.
    SetDown {
        index: u32,
    },
    DeleteRoute(Route),
    DeleteNeighbour {
        index: u32,
        address: IpAddr,
    },
}

/// Both ends of a link to be made.
#[derive(Debug, Clone)]
pub(crate) struct Veth<'a> {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Mac,
    /// The bridge that this end is a port of.
    pub(crate) bridge: Option<u32>,
    /// Where the other end is born.
    pub(crate) peer_namespace: &'a Netns,
    pub(crate) peer_index: u32,
    pub(crate) peer_name: &'static str,
    pub(crate) peer_mac: Mac,
    /// The longest packet, in bytes; `None`: as long as usual.
    pub(crate) mtu: Option<u32>,
}

/// A route in the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: IpNet,
    pub(crate) index: u32,
    pub(crate) via: Option<IpAddr>,
    /// The address that the machine itself uses as source.
    pub(crate) source: Option<IpAddr>,
    /// The longest TCP segment, in bytes, that the machine tells others it takes; `None`: one that
    /// fits the link.
    pub(crate) advertised: Option<u32>,
}

impl Change<'_> {
    /// The changes by which a namespace has an address, and has it at once.
    pub(crate) fn own(index: u32, address: IpNet) -> impl Iterator<Item = Self> {
        let local = address.addr().is_ipv6().then_some(Self::AddLocal {
            index,
            address: address.addr(),
        });
        iter::once(Self::AddAddress { index, address }).chain(local)
    }

    /// Whether this answer of the kernel is as good as success: without IPv6 there is nothing to keep
    /// it from.
    pub(super) fn forgives(&self, error: &io::Error) -> bool {
        let unknown_family = error.raw_os_error() == Some(libc::EAFNOSUPPORT);
        matches!(self, Self::SetNoLinkLocal { .. }) && unknown_family
    }

    pub(super) fn message(&self) -> NetlinkMessage<RouteNetlinkMessage> {
        const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;
        // What a pod left behind an instant ago may still be there when its successor comes.
        const NEW_OR_CHANGED: u16 = NLM_F_CREATE | NLM_F_REPLACE;
        let (message, flags) = match self {
            Self::AddBridge { index, name, mac } => {
                let bridge = LinkBridge::new(name)
                    .index(*index)
                    .address(mac.bytes())
                    .append_info_data(InfoBridge::MulticastSnooping(false))
                    .up();
                (RouteNetlinkMessage::NewLink(bridge.build()), NEW)
            }
            Self::AddVeth(veth) => (RouteNetlinkMessage::NewLink(veth.message()), NEW),
            Self::SetPort { index } => {
                let port = LinkBridgePort::new(*index)
                    .hairpin(true)
                    .learning(false)
                    .flood(false);
                (RouteNetlinkMessage::NewLink(port.build()), 0)
            }
            Self::SetNoLinkLocal { index } => {
                let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
                let inet6 = AfSpecUnspec::Inet6(vec![none]);
                let link = LinkUnspec::new_with_index(*index)
                    .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![inet6]));
                (RouteNetlinkMessage::SetLink(link.build()), 0)
            }
            Self::SetUp { index } => {
                let up = LinkUnspec::new_with_index(*index).up().build();
                (RouteNetlinkMessage::SetLink(up), 0)
            }
            Self::SetMtu { index, mtu } => {
                let link = LinkUnspec::new_with_index(*index)
                    .append_extra_attribute(LinkAttribute::Mtu(*mtu));
                (RouteNetlinkMessage::SetLink(link.build()), 0)
            }
            Self::AddAddress { index, address } => {
                let address = address_message(*index, *address);
                (RouteNetlinkMessage::NewAddress(address), NEW)
            }
            Self::AddLocal { index, address } => {
                let local = local_message(*index, *address);
                (RouteNetlinkMessage::NewRoute(local), NEW_OR_CHANGED)
            }
            Self::AddRoute(route) => (
                RouteNetlinkMessage::NewRoute(route.message()),
                NEW_OR_CHANGED,
            ),
            Self::AddNeighbour {
                index,
                address,
                mac,
            } => {
                let neighbour = neighbour_message(*index, *address, Some(*mac));
                (RouteNetlinkMessage::NewNeighbour(neighbour), NEW_OR_CHANGED)
            }
            Self::AddForwarding { port, mac } => {
                let mut entry = NeighbourMessage::default();
                entry.header.family = AddressFamily::Bridge;
                entry.header.ifindex = *port;
                // For a bridge, permanent means "an address of mine", static is what we want.
                entry.header.state = NeighbourState::Noarp;
                entry.header.flags = NeighbourFlags::Controller;
                entry
                    .attributes
                    .push(NeighbourAttribute::LinkLayerAddress(mac.bytes()));
                (RouteNetlinkMessage::NewNeighbour(entry), NEW_OR_CHANGED)
            }
            Self::AwaitUp { index } => {
                let link = LinkUnspec::new_with_index(*index).build();
                (RouteNetlinkMessage::GetLink(link), 0)
            }
            Self::SetDown { index } => {
                let down = LinkUnspec::new_with_index(*index).down().build();
                (RouteNetlinkMessage::SetLink(down), 0)
            }
            Self::DeleteRoute(route) => (RouteNetlinkMessage::DelRoute(route.message()), 0),
            Self::DeleteNeighbour { index, address } => {
                let neighbour = neighbour_message(*index, *address, None);
                (RouteNetlinkMessage::DelNeighbour(neighbour), 0)
            }
        };
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        message
    }
}

impl Veth<'_> {
    fn message(&self) -> LinkMessage {
        let mut peer = LinkMessageBuilder::<LinkUnspec>::new()
            .index(self.peer_index)
            .name(self.peer_name)
            .address(self.peer_mac.bytes())
            .setns_by_fd(self.peer_namespace.as_fd().as_raw_fd())
            .build();
        let mtu = self.mtu.map(LinkAttribute::Mtu);
        peer.attributes.extend(mtu.clone());
        let mut link = LinkVeth::new(&self.name, self.peer_name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .index(self.index)
            .address(self.mac.bytes())
            .up();
        if let Some(mtu) = mtu {
            link = link.append_extra_attribute(mtu);
        }
        match self.bridge {
            Some(bridge) => link.controller(bridge).build(),
            None => link.build(),
        }
    }
}

impl Route {
    /// To everywhere that no other route leads to.
    pub(crate) fn default_via(gateway: IpAddr, index: u32) -> Self {
        let everything = match gateway {
            IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
            IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
        };
        Self {
            to: everything,
            index,
            via: Some(gateway),
            source: None,
            advertised: None,
        }
    }

    fn message(&self) -> RouteMessage {
        let mut message = RouteMessageBuilder::<IpAddr>::new()
            .output_interface(self.index)
            .build();
        message.header.address_family = family(self.to.addr());
        message.header.destination_prefix_length = self.to.prefix_len();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        if self.via.is_none() {
            message.header.scope = RouteScope::Link;
        }
        let attributes = &mut message.attributes;
        if self.to.prefix_len() > 0 {
            attributes.push(RouteAttribute::Destination(self.to.addr().into()));
        }
        attributes.extend(self.via.map(|via| RouteAttribute::Gateway(via.into())));
        attributes.extend(
            self.source
                .map(|source| RouteAttribute::PrefSource(source.into())),
        );
        let metrics = self.advertised.map(|size| vec![RouteMetric::Advmss(size)]);
        attributes.extend(metrics.map(RouteAttribute::Metrics));
        message
    }
}

fn address_message(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.addr());
    message.header.prefix_len = address.prefix_len();
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Address(address.addr()),
        AddressAttribute::Local(address.addr()),
        // Nobody else can have the address, so nobody is asked.
        AddressAttribute::Flags(AddressFlags::Nodad),
    ];
    message
}

fn local_message(index: u32, address: IpAddr) -> RouteMessage {
    let mut message = RouteMessageBuilder::<IpAddr>::new()
        .output_interface(index)
        .build();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = IpNet::from(address).prefix_len();
    message.header.table = LOCAL_TABLE;
    message.header.kind = RouteType::Local;
    message.header.scope = RouteScope::Host;
    let destination = RouteAttribute::Destination(address.into());
    message.attributes.push(destination);
    message
}

fn neighbour_message(index: u32, address: IpAddr, mac: Option<Mac>) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message
        .attributes
        .push(NeighbourAttribute::Destination(match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        }));
    message
        .attributes
        .extend(mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.bytes())));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// Reads after "failed to".
impl fmt::Display for Change<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddBridge { name, .. } => write!(formatter, "add bridge {name}"),
            Self::AddVeth(veth) => write!(formatter, "add link {}", veth.name),
            Self::SetPort { index } => write!(formatter, "make link {index} a bridge port"),
            Self::SetNoLinkLocal { index } => {
                write!(formatter, "keep link {index} from making itself an address")
            }
            Self::SetUp { index } => write!(formatter, "set link {index} up"),
            Self::SetMtu { index, mtu } => {
                write!(formatter, "limit packets of link {index} to {mtu} bytes")
            }
            Self::AddAddress { index, address } => {
                write!(formatter, "add address {address} to link {index}")
            }
            Self::AddLocal { index, address } => {
                write!(formatter, "make link {index} answer to {address}")
            }
            Self::AddRoute(route) => write!(formatter, "add route {route}"),
            Self::AddNeighbour {
                index,
                address,
                mac,
            } => {
                write!(
                    formatter,
                    "add neighbour {address} at {mac} on link {index}"
                )
            }
            Self::AddForwarding { port, mac } => {
                write!(formatter, "add {mac} behind bridge port {port}")
            }
            Self::AwaitUp { index } => write!(formatter, "see link {index} up"),
            Self::SetDown { index } => write!(formatter, "set link {index} down"),
            Self::DeleteRoute(route) => write!(formatter, "delete route {route}"),
            Self::DeleteNeighbour { index, address } => {
                write!(formatter, "delete neighbour {address} on link {index}")
            }
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.to)?;
        if let Some(via) = self.via {
            write!(formatter, " via {via}")?;
        }
        write!(formatter, " on link {}", self.index)
    }
}
