//! Barriers on a node: routes that swallow packets, or say no.

use std::net::IpAddr;

use netsim::{Cluster, Place};
use rtnetlink::{
    Handle, RouteMessageBuilder, new_connection,
    packet_route::route::{RouteMessage, RouteType},
};
use tokio::runtime;

/// No packet for these addresses passes the node; nobody hears why.
pub(crate) fn swallow(cluster: &Cluster, node: &str, addresses: &[IpAddr]) {
    add(cluster, node, addresses, RouteType::BlackHole);
}

/// No packet for these addresses passes the node, which says that it is prohibited.
pub(crate) fn prohibit(cluster: &Cluster, node: &str, addresses: &[IpAddr]) {
    add(cluster, node, addresses, RouteType::Prohibit);
}

/// Takes a [`swallow`] back.
pub(crate) fn let_pass(cluster: &Cluster, node: &str, addresses: &[IpAddr]) {
    each(cluster, node, addresses, async |handle, address| {
        let route = route(address, RouteType::BlackHole);
        handle.route().del(route).execute().await
    });
}

fn add(cluster: &Cluster, node: &str, addresses: &[IpAddr], kind: RouteType) {
    each(cluster, node, addresses, async |handle, address| {
        handle.route().add(route(address, kind)).execute().await
    });
}

fn each(
    cluster: &Cluster,
    node: &str,
    addresses: &[IpAddr],
    change: impl AsyncFn(Handle, IpAddr) -> Result<(), rtnetlink::Error> + Sync,
) {
    let netns = cluster.netns(&Place::Node(node.into())).unwrap();
    let done = netns.run(|| {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (connection, handle, _) = new_connection().unwrap();
            tokio::spawn(connection);
            for address in addresses {
                change(handle.clone(), *address).await.unwrap();
            }
        });
    });
    done.unwrap();
}

/// One address is more precise than any range that has a way.
fn route(address: IpAddr, kind: RouteType) -> RouteMessage {
    match address {
        IpAddr::V4(address) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .kind(kind)
            .build(),
        IpAddr::V6(address) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
            .destination_prefix(address, 128)
            .kind(kind)
            .build(),
    }
}
