//! The table of one node's Services, as data.
//!
//! A new connection is looked up once, by destination address, protocol and port, among all cluster
//! addresses and node ports; what is found is a chain that chooses an endpoint. What has no endpoint
//! still has its old destination afterwards, by which it is recognised and rejected. Both happen
//! before routing: the node's policies see endpoints, never Services.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::{
    PodPort, Proxy, Service, ServiceError, ServicePort,
    choice::Endpoints,
    expression::{self, Expression, Family, Side},
    table::{Entry, Key, Table},
};
use crate::topology::Protocol;

/// The name of the table, family `inet`.
pub(super) const TABLE: &str = "services";

/// Before routing, where nft says `dstnat`.
const REWRITE: i32 = -100;
/// After [`REWRITE`], still before routing.
const REJECT: i32 = -90;
/// After routing, where nft says `srcnat`.
const MASQUERADE: i32 = 100;

/// Chooses the destination of whatever goes to a Service.
const DISPATCH: &str = "dispatch";
/// Rejects what no endpoint serves.
const UNSERVED: &str = "unserved";

/// All that the table consists of.
pub(super) fn table(proxy: &Proxy<'_>, services: &[Service]) -> Result<Table, ServiceError> {
    let mut table = Table::new(TABLE);
    entrances(&mut table);
    for family in Family::BOTH {
        Half::collect(&mut table, proxy, family, services)?.write(&mut table, family);
    }
    Ok(table)
}

/// The chains that packets enter by. They are there without Services too, and make the kernel track
/// connections.
fn entrances(table: &mut Table) {
    let entrances = [
        ("prerouting", "nat", InetHookNumber::PreRouting, REWRITE),
        ("output", "nat", InetHookNumber::LocalOut, REWRITE),
        (
            "prerouting-reject",
            "filter",
            InetHookNumber::PreRouting,
            REJECT,
        ),
        ("output-reject", "filter", InetHookNumber::LocalOut, REJECT),
        (
            "postrouting",
            "nat",
            InetHookNumber::PostRouting,
            MASQUERADE,
        ),
    ];
    for (name, kind, hook, priority) in entrances {
        let entry = Entry {
            kind,
            hook,
            priority,
        };
        table.entrance(name, entry);
    }
    table.chain(DISPATCH);
    table.chain(UNSERVED);
    for name in ["prerouting", "output"] {
        table.rule(name, [expression::go_to(DISPATCH)]);
    }
    for name in ["prerouting-reject", "output-reject"] {
        let new = expression::new_connection();
        table.rule(name, new.into_iter().chain([expression::go_to(UNSERVED)]));
    }
    let marked = expression::is_marked();
    table.rule(
        "postrouting",
        marked.into_iter().chain([expression::masquerade()]),
    );
}

/// What the Services of one family need.
#[derive(Default)]
struct Half {
    /// Destination to chain.
    served: BTreeMap<Vec<u8>, String>,
    /// Node ports without endpoints.
    unserved: BTreeSet<Vec<u8>>,
    cluster_ips: BTreeSet<Vec<u8>>,
    endpoints: BTreeSet<Vec<u8>>,
}

impl Half {
    /// Writes the chains of each Service and host port and collects what leads to them.
    fn collect(
        table: &mut Table,
        proxy: &Proxy<'_>,
        family: Family,
        services: &[Service],
    ) -> Result<Self, ServiceError> {
        let mut half = Self::default();
        let mut chains = BTreeSet::new();
        for service in services {
            half.cluster_ips
                .extend(of_family(family, &service.cluster_ips).map(bytes));
            for port in &service.ports {
                let endpoints = Endpoints::of(proxy, family, service, port);
                if !chains.insert(endpoints.chain("cluster")) {
                    return Err(ServiceError::Twice(endpoints.chain("cluster")));
                }
                half.port(table, proxy, service, port, &endpoints)?;
            }
        }
        for host_port in proxy.host_ports {
            half.host_port(table, proxy, family, host_port)?;
        }
        Ok(half)
    }

    fn port(
        &mut self,
        table: &mut Table,
        proxy: &Proxy<'_>,
        service: &Service,
        port: &ServicePort,
        endpoints: &Endpoints,
    ) -> Result<(), ServiceError> {
        let family = endpoints.family;
        let number = protocol_number(&service.name, port.protocol)?;
        let cluster_ips: Vec<IpAddr> = of_family(family, &service.cluster_ips).collect();
        if cluster_ips.is_empty() {
            return Ok(());
        }
        let node_ports = port.node_port.into_iter().flat_map(|node_port| {
            of_family(family, proxy.addresses).map(move |ip| key(ip, number, node_port))
        });
        self.endpoints
            .extend(endpoints.all.iter().map(|endpoint| bytes(endpoint.ip())));
        if endpoints.all.is_empty() {
            self.unserved.extend(node_ports);
            return Ok(());
        }
        let inside = endpoints.write_inside(table, service);
        for ip in cluster_ips {
            self.lead(key(ip, number, port.port), &inside)?;
        }
        if port.node_port.is_some() {
            let outside = endpoints.write_outside(table, proxy, service);
            for node_port in node_ports {
                self.lead(node_port, &outside)?;
            }
        }
        Ok(())
    }

    fn host_port(
        &mut self,
        table: &mut Table,
        proxy: &Proxy<'_>,
        family: Family,
        host_port: &PodPort<'_>,
    ) -> Result<(), ServiceError> {
        let PodPort { pod, port, .. } = *host_port;
        let number = protocol_number(pod, port.protocol)?;
        let Some(address) = of_family(family, host_port.addresses).next() else {
            return Ok(());
        };
        let chain = chain_name("host-port", pod, port.protocol, port.port, family);
        table.chain(&chain);
        let rewrite = expression::rewrite_destination(family, bytes(address), port.pod_port);
        table.rule(&chain, rewrite);
        self.endpoints.insert(bytes(address));
        for ip in of_family(family, proxy.addresses) {
            self.lead(key(ip, number, port.port), &chain)?;
        }
        Ok(())
    }

    fn lead(&mut self, key: Vec<u8>, chain: &str) -> Result<(), ServiceError> {
        match self.served.insert(key, chain.to_owned()) {
            None => Ok(()),
            Some(other) => Err(ServiceError::Clash {
                one: other,
                other: chain.to_owned(),
            }),
        }
    }

    /// Writes sets, maps and the rules that look things up in them.
    fn write(self, table: &mut Table, family: Family) {
        let name = |what: &str| format!("{what}-{}", family_name(family));
        let (served, unserved) = (name("served"), name("unserved"));
        let (cluster_ips, hairpins) = (name("cluster-ips"), name("hairpins"));
        let verdicts = self
            .served
            .into_iter()
            .map(|(key, chain)| (key, expression::goto(&chain)));
        table.verdict_map(&served, Key::Destination(family), verdicts);
        table.set(&unserved, Key::Destination(family), self.unserved);
        table.set(&cluster_ips, Key::Address(family), self.cluster_ips);
        // A pod that is its own server must hear somebody else, else it answers itself directly.
        let twice = self.endpoints.into_iter().map(|ip| ip.repeat(2));
        table.set(&hairpins, Key::TwoAddresses(family), twice);

        let mut rule = |chain: &str, loads: &[Expression], rest: Vec<Expression>| {
            let of_family = expression::of_family(family);
            table.rule(chain, of_family.iter().chain(loads).cloned().chain(rest));
        };
        let destination = expression::load_destination(family);
        let address = [expression::load_address(family, Side::Destination)];
        let addresses = expression::load_both_addresses(family);
        let (in_set, reject) = (expression::in_set, expression::reject);
        rule(
            DISPATCH,
            &destination,
            vec![expression::verdict_of(&served)],
        );
        rule(UNSERVED, &address, vec![in_set(&cluster_ips), reject()]);
        rule(UNSERVED, &destination, vec![in_set(&unserved), reject()]);
        rule(
            "postrouting",
            &addresses,
            vec![in_set(&hairpins), expression::masquerade()],
        );
    }
}

/// `address . protocol . port`, each in whole words of four bytes.
fn key(address: IpAddr, protocol: u8, port: u16) -> Vec<u8> {
    let mut key = bytes(address);
    key.extend([protocol, 0, 0, 0]);
    key.extend(port.to_be_bytes());
    key.extend([0, 0]);
    key
}

pub(super) fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(super) fn is_of_family(family: Family, address: IpAddr) -> bool {
    address.is_ipv4() == (family == Family::V4)
}

fn of_family(family: Family, addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    addresses
        .iter()
        .copied()
        .filter(move |address| is_of_family(family, *address))
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// As in IP headers. `name`: who wants a port of it.
fn protocol_number(name: &str, protocol: Protocol) -> Result<u8, ServiceError> {
    match protocol {
        Protocol::Tcp => Ok(6),
        Protocol::Udp => Ok(17),
        Protocol::Sctp => Ok(132),
        Protocol::Icmp => Err(ServiceError::NoPorts(name.to_owned())),
    }
}

/// What a person who lists the table reads.
pub(super) fn chain_name(
    what: &str,
    name: &str,
    protocol: Protocol,
    port: u16,
    family: Family,
) -> String {
    let clean = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '.' | '_' | '-' => letter,
        _ => '-',
    };
    let name: String = name.chars().map(clean).collect();
    format!("{what}/{name}/{protocol}/{port}/{}", family_name(family))
}
