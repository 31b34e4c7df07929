//! The table of one node's Services, as data.
//!
//! A new connection is looked up once, by destination address, protocol and port, among all cluster
//! addresses and node ports; what is found is a chain that chooses an endpoint. What has no endpoint
//! still has its old destination afterwards, by which it is recognised and rejected. Both happen
//! before routing: the node's policies see endpoints, never Services.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use netlink_packet_netfilter::nftables::{InetHookNumber, NfTablesMessage};

use super::{
    Proxy, Service, ServiceError, ServicePort,
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
pub(super) fn messages(
    proxy: &Proxy<'_>,
    services: &[Service],
) -> Result<Vec<NfTablesMessage>, ServiceError> {
    let mut table = Table::new(TABLE);
    entrances(&mut table);
    for family in Family::BOTH {
        Half::collect(&mut table, proxy, family, services)?.write(&mut table, family);
    }
    Ok(table.into_messages())
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
        table.chain(name, Some(entry));
    }
    table.chain(DISPATCH, None);
    table.chain(UNSERVED, None);
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
    /// Writes the chains of each Service and collects what leads to them.
    fn collect(
        table: &mut Table,
        proxy: &Proxy<'_>,
        family: Family,
        services: &[Service],
    ) -> Result<Self, ServiceError> {
        let mut half = Self::default();
        let mut chains = BTreeSet::new();
        for service in services {
            let cluster_ips: Vec<IpAddr> = of_family(family, &service.cluster_ips).collect();
            half.cluster_ips
                .extend(cluster_ips.iter().copied().map(bytes));
            for port in &service.ports {
                let number = protocol_number(service, port)?;
                let node_ports: Vec<IpAddr> = match port.node_port {
                    Some(_) if !cluster_ips.is_empty() => {
                        of_family(family, proxy.addresses).collect()
                    }
                    _ => Vec::new(),
                };
                let node_port = port.node_port.unwrap_or_default();
                let endpoints = Endpoints::of(proxy, family, port);
                half.endpoints
                    .extend(endpoints.all.iter().map(|endpoint| bytes(endpoint.ip())));

                let cluster_chain = chain_name("cluster", service, port, family);
                let node_chain = chain_name("node-port", service, port, family);
                if !chains.insert(cluster_chain.clone()) {
                    return Err(ServiceError::Twice(cluster_chain));
                }
                if endpoints.all.is_empty() {
                    let keys = node_ports.iter().map(|ip| key(*ip, number, node_port));
                    half.unserved.extend(keys);
                    continue;
                }
                if cluster_ips.is_empty() {
                    continue;
                }
                endpoints.write_cluster(table, &cluster_chain);
                for ip in cluster_ips.iter().copied() {
                    half.lead(key(ip, number, port.port), &cluster_chain)?;
                }
                if !node_ports.is_empty() {
                    endpoints.write_node_port(table, proxy, service, &node_chain, &cluster_chain);
                }
                for ip in node_ports {
                    half.lead(key(ip, number, node_port), &node_chain)?;
                }
            }
        }
        Ok(half)
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

/// The endpoints of one port, of one family.
struct Endpoints {
    family: Family,
    all: Vec<SocketAddr>,
    /// Those on this node.
    here: Vec<SocketAddr>,
}

impl Endpoints {
    fn of(proxy: &Proxy<'_>, family: Family, port: &ServicePort) -> Self {
        let mut ours: Vec<_> = port
            .endpoints
            .iter()
            .filter(|endpoint| is_of_family(family, endpoint.address.ip()))
            .collect();
        ours.sort();
        ours.dedup();
        let here = ours.iter().filter(|endpoint| endpoint.node == proxy.node);
        Self {
            family,
            here: here.map(|endpoint| endpoint.address).collect(),
            all: ours.iter().map(|endpoint| endpoint.address).collect(),
        }
    }

    /// Any endpoint; the client's address stays.
    fn write_cluster(&self, table: &mut Table, chain: &str) {
        table.chain(chain, None);
        self.choose(table, chain, &self.all);
    }

    /// The way in from outside.
    fn write_node_port(
        &self,
        table: &mut Table,
        proxy: &Proxy<'_>,
        service: &Service,
        chain: &str,
        cluster_chain: &str,
    ) {
        table.chain(chain, None);
        let mark = expression::mark_for_masquerade;
        let anywhere = || expression::go_to(cluster_chain);
        if !service.external_local {
            table.rule(chain, mark().into_iter().chain([anywhere()]));
            return;
        }
        // `Local` is about clients from outside: as in kube-proxy, those of the cluster reach any
        // endpoint.
        for cidr in proxy.pod_cidrs {
            if is_of_family(self.family, cidr.addr()) {
                let source = expression::load_address(self.family, Side::Source);
                let inside = expression::in_network(bytes(cidr.network()), mask(*cidr));
                let rule = [source].into_iter().chain(inside).chain([anywhere()]);
                table.rule(chain, rule);
            }
        }
        let own = expression::from_here().into_iter().chain(mark());
        table.rule(chain, own.chain([anywhere()]));
        if self.here.is_empty() {
            table.rule(chain, [expression::drop_it()]);
        } else {
            self.choose(table, chain, &self.here);
        }
    }

    /// Each with the same probability: the first of n takes one of n, the next one of n - 1, and so
    /// on.
    fn choose(&self, table: &mut Table, chain: &str, among: &[SocketAddr]) {
        let mut left = u32::try_from(among.len()).expect("a Service has few endpoints");
        for endpoint in among {
            let chance = (left > 1).then(|| expression::one_of(left));
            let (address, port) = (bytes(endpoint.ip()), endpoint.port());
            let rewrite = expression::rewrite_destination(self.family, address, port);
            table.rule(chain, chance.into_iter().flatten().chain(rewrite));
            left -= 1;
        }
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

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn mask(cidr: IpNet) -> Vec<u8> {
    bytes(cidr.netmask())
}

fn is_of_family(family: Family, address: IpAddr) -> bool {
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

fn protocol_number(service: &Service, port: &ServicePort) -> Result<u8, ServiceError> {
    match port.protocol {
        Protocol::Tcp => Ok(6),
        Protocol::Udp => Ok(17),
        Protocol::Sctp => Ok(132),
        Protocol::Icmp => Err(ServiceError::NoPorts(service.name.clone())),
    }
}

/// What a person who lists the table reads.
fn chain_name(what: &str, service: &Service, port: &ServicePort, family: Family) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
        Protocol::Icmp => "icmp",
    };
    let clean = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '.' | '_' | '-' => letter,
        _ => '-',
    };
    let name: String = service.name.chars().map(clean).collect();
    format!(
        "{what}/{name}/{protocol}/{}/{}",
        port.port,
        family_name(family)
    )
}
