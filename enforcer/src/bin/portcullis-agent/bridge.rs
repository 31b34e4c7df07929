//! Whether traffic between pods of one bridge passes the rules.
//!
//! What a Linux bridge forwards never reaches the `forward` hook of `inet` unless br_netfilter is
//! loaded and `net.bridge.bridge-nf-call-iptables` is 1. Where pods hang on a bridge, same-node
//! traffic would then escape every policy.

use std::{fs, io, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// For the family with index 0 and 1: IPv4 and IPv6.
const SWITCHES: [&str; 2] = [
    "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
];

/// Why traffic between `pods` escapes the rules in the network namespace of the calling thread;
/// nothing if it does not. A switch that is off is switched on where that is allowed.
pub(crate) fn escapes(pods: &[IpAddr]) -> Option<String> {
    let bridges = match bridges() {
        Ok(bridges) => bridges,
        Err(error) => return Some(format!("the links of this node cannot be listed: {error}")),
    };
    bridges.into_iter().find_map(|bridge| {
        let pod = pods
            .iter()
            .find(|pod| bridge.networks.iter().any(|network| network.contains(*pod)))?;
        let switch = SWITCHES[usize::from(pod.is_ipv6())];
        is_off(switch).map(|why| {
            format!(
                "pods such as {pod} hang on bridge {}, and what it forwards escapes the rules: {why}",
                bridge.name
            )
        })
    })
}

/// The bridges in the network namespace of the calling thread.
///
/// # Errors
/// Whatever the kernel says.
pub(crate) fn names() -> io::Result<Vec<String>> {
    Ok(bridges()?.into_iter().map(|bridge| bridge.name).collect())
}

/// Why a switch is off and stays so.
fn is_off(switch: &str) -> Option<String> {
    match fs::read_to_string(switch) {
        Ok(value) if value.trim() == "1" => None,
        Ok(_) => fs::write(switch, "1").err().map(|error| {
            let key = switch.trim_start_matches("/proc/sys/").replace('/', ".");
            format!("{key} is 0 and cannot be set ({error}); on the node: sysctl -w {key}=1")
        }),
        Err(_) => Some(
            "the module br_netfilter is not loaded; on the node: modprobe br_netfilter".to_owned(),
        ),
    }
}

/// A bridge and the networks that lie behind it.
struct Bridge {
    index: u32,
    name: String,
    networks: Vec<IpNet>,
}

fn bridges() -> io::Result<Vec<Bridge>> {
    let links = dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut bridges: Vec<_> = links
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => bridge(&link),
            _ => None,
        })
        .collect();
    if bridges.is_empty() {
        return Ok(bridges);
    }
    for message in dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        let RouteNetlinkMessage::NewAddress(address) = message else {
            continue;
        };
        let network = address
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(ip) => {
                    let network = IpNet::new(*ip, address.header.prefix_len).ok()?;
                    Some(network.trunc())
                }
                _ => None,
            });
        let bridge = bridges
            .iter_mut()
            .find(|bridge| bridge.index == address.header.index);
        if let (Some(bridge), Some(network)) = (bridge, network) {
            bridge.networks.push(network);
        }
    }
    Ok(bridges)
}

fn bridge(link: &LinkMessage) -> Option<Bridge> {
    let is_bridge = link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(info)
            if info.contains(&LinkInfo::Kind(InfoKind::Bridge)))
    });
    let name = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
    is_bridge.then(|| Bridge {
        index: link.header.index,
        name: name.unwrap_or_default(),
        networks: Vec::new(),
    })
}

/// Everything of one kind in the network namespace of the calling thread.
fn dump(request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(inner) => found.push(inner),
                _ => {}
            }
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}
