//! What a namespace has, one line each, in the words of `ip`.

use std::{collections::BTreeMap, fmt::Write, io, net::IpAddr};

use futures::{Stream, TryStreamExt};
use rtnetlink::{
    Handle,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkFlags, LinkMessage},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
        route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType},
    },
};

use super::{RtnlError, start};
use crate::netns::{self, Netns};

/// The lists of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listing {
    pub(crate) links: Vec<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) routes: Vec<String>,
    pub(crate) neighbours: Vec<String>,
}

/// Link names by number.
type Names = BTreeMap<u32, String>;

pub(crate) fn list(namespace: &Netns) -> Result<Listing, RtnlError> {
    netns::on_own_thread(|| {
        namespace.settle().map_err(RtnlError::Socket)?;
        start()?.block_on(list_here())
    })
    .map_err(RtnlError::Socket)?
}

async fn list_here() -> Result<Listing, RtnlError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(RtnlError::Socket)?;
    let connection = tokio::spawn(connection);
    let links = collect("links", handle.link().get().execute()).await?;
    let names = names(&links);
    let listing = Listing {
        addresses: collect("addresses", handle.address().get().execute())
            .await?
            .iter()
            .map(|address| show_address(address, &names))
            .collect(),
        routes: routes(&handle, &names).await?,
        neighbours: collect("neighbours", handle.neighbours().get().execute())
            .await?
            .iter()
            .filter_map(|neighbour| show_neighbour(neighbour, &names))
            .collect(),
        links: links.iter().map(|link| show_link(link, &names)).collect(),
    };
    connection.abort();
    Ok(listing)
}

async fn collect<T>(
    what: &'static str,
    stream: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, RtnlError> {
    stream.try_collect().await.map_err(|error| RtnlError::List {
        what,
        source: io::Error::other(error),
    })
}

fn names(links: &[LinkMessage]) -> Names {
    let name = |link: &LinkMessage| {
        link.attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some((link.header.index, name.clone())),
                _ => None,
            })
    };
    links.iter().filter_map(name).collect()
}

fn name(names: &Names, index: u32) -> String {
    names
        .get(&index)
        .cloned()
        .unwrap_or_else(|| format!("link {index}"))
}

fn show_link(link: &LinkMessage, names: &Names) -> String {
    let index = link.header.index;
    let mut line = format!("{index}: {}", name(names, index));
    let up = link.header.flags.contains(LinkFlags::Up);
    line.push_str(if up { " up" } else { " down" });
    for attribute in &link.attributes {
        // Writing to a string cannot fail.
        let _ = match attribute {
            LinkAttribute::Mtu(mtu) => write!(line, " mtu {mtu}"),
            LinkAttribute::Controller(bridge) => write!(line, " master {}", name(names, *bridge)),
            LinkAttribute::Address(mac) if mac.iter().any(|byte| *byte != 0) => {
                write!(line, " mac {}", hex(mac))
            }
            _ => Ok(()),
        };
    }
    line
}

fn show_address(address: &AddressMessage, names: &Names) -> String {
    let local = address
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
    // IPv6 on loopback has no local part of its own.
    let any = address
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
    let shown = local
        .or(any)
        .map_or("?".into(), |address| address.to_string());
    let length = address.header.prefix_len;
    format!("{shown}/{length} dev {}", name(names, address.header.index))
}

async fn routes(handle: &Handle, names: &Names) -> Result<Vec<String>, RtnlError> {
    let mut lines = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut wanted = RouteMessage::default();
        wanted.header.address_family = family;
        let routes = collect("routes", handle.route().get(wanted).execute()).await?;
        let ours = routes.iter().filter(|route| {
            route.header.table == RouteHeader::RT_TABLE_MAIN
                && route.header.kind != RouteType::Multicast
        });
        lines.extend(ours.map(|route| show_route(route, names)));
    }
    Ok(lines)
}

fn show_route(route: &RouteMessage, names: &Names) -> String {
    let length = route.header.destination_prefix_length;
    let mut line = match route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(address) => ip(address),
            _ => None,
        }) {
        Some(address) => format!("{address}/{length}"),
        None => "default".into(),
    };
    let mut via = None;
    let mut device = None;
    let mut source = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(index) => device = Some(name(names, *index)),
            RouteAttribute::PrefSource(address) => source = ip(address),
            _ => {}
        }
    }
    if let Some(via) = via {
        line.push_str(&format!(" via {via}"));
    }
    if let Some(device) = device {
        line.push_str(&format!(" dev {device}"));
    }
    if let Some(source) = source {
        line.push_str(&format!(" src {source}"));
    }
    line
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn show_neighbour(neighbour: &NeighbourMessage, names: &Names) -> Option<String> {
    // Multicast and loopback entries, which the kernel makes by itself.
    if neighbour.header.state == NeighbourState::Noarp {
        return None;
    }
    let mut line = neighbour
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                Some(address.to_string())
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                Some(address.to_string())
            }
            _ => None,
        })?;
    let _ = write!(line, " dev {}", name(names, neighbour.header.ifindex));
    for attribute in &neighbour.attributes {
        if let NeighbourAttribute::LinkLayerAddress(mac) = attribute {
            let _ = write!(line, " mac {}", hex(mac));
        }
    }
    let state = format!("{:?}", neighbour.header.state).to_lowercase();
    let _ = write!(line, " {state}");
    Some(line)
}

fn hex(mac: &[u8]) -> String {
    let bytes: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}
