//! Which endpoint a connection goes to.
//!
//! A chain throws dice. With session affinity every endpoint has a chain of its own, which remembers
//! the client; whoever is remembered goes there without dice.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;

use super::{
    Proxy, Service, ServicePort,
    expression::{self, Expression, Family, Side},
    ruleset::{bytes, chain_name, is_of_family},
    table::{Key, Table},
};
use crate::topology::Protocol;

/// The endpoints of one port, of one family.
pub(super) struct Endpoints {
    pub(super) family: Family,
    pub(super) all: Vec<SocketAddr>,
    /// Those on this node.
    here: Vec<SocketAddr>,
    affinity: Option<Duration>,
    service: String,
    protocol: Protocol,
    port: u16,
}

impl Endpoints {
    pub(super) fn of(
        proxy: &Proxy<'_>,
        family: Family,
        service: &Service,
        port: &ServicePort,
    ) -> Self {
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
            affinity: service.affinity,
            service: service.name.clone(),
            protocol: port.protocol,
            port: port.port,
        }
    }

    /// The name of a chain of this port.
    pub(super) fn chain(&self, what: &str) -> String {
        chain_name(what, &self.service, self.protocol, self.port, self.family)
    }

    /// Writes the way from inside and says where it begins. The client's address stays.
    pub(super) fn write_inside(&self, table: &mut Table, service: &Service) -> String {
        self.write_single(table);
        let any = self.chain("cluster");
        table.chain(&any);
        self.choose(table, &any, &self.all);
        if !service.internal_local {
            return any;
        }
        let local = self.chain("cluster-local");
        table.chain(&local);
        self.choose_here(table, &local);
        local
    }

    /// Writes the way in from outside, after that from inside, and says where it begins.
    pub(super) fn write_outside(
        &self,
        table: &mut Table,
        proxy: &Proxy<'_>,
        service: &Service,
    ) -> String {
        let chain = self.chain("node-port");
        table.chain(&chain);
        let mark = expression::mark_for_masquerade;
        let anywhere = || expression::go_to(&self.chain("cluster"));
        if !service.external_local {
            table.rule(&chain, mark().into_iter().chain([anywhere()]));
            return chain;
        }
        // `Local` is about clients from outside: as in kube-proxy (`detectLocalMode: NodeCIDR`),
        // this node and its pods reach any endpoint.
        for cidr in proxy.pod_cidrs {
            if is_of_family(self.family, cidr.addr()) {
                let inside = expression::in_network(bytes(cidr.network()), mask(*cidr));
                let rule = self.client().into_iter().chain(inside);
                table.rule(&chain, rule.chain([anywhere()]));
            }
        }
        let own = expression::from_here().into_iter().chain(mark());
        table.rule(&chain, own.chain([anywhere()]));
        self.choose_here(table, &chain);
        chain
    }

    /// An endpoint of this node, or silence.
    fn choose_here(&self, table: &mut Table, chain: &str) {
        if self.here.is_empty() {
            table.rule(chain, [expression::drop_it()]);
        } else {
            self.choose(table, chain, &self.here);
        }
    }

    /// Each with the same probability: the first of n takes one of n, the next one of n - 1, and so
    /// on.
    fn choose(&self, table: &mut Table, chain: &str, among: &[SocketAddr]) {
        if self.affinity.is_some() {
            for endpoint in among {
                let known = expression::in_set(&self.name("affinity", *endpoint));
                let go = expression::go_to(&self.name("endpoint", *endpoint));
                table.rule(chain, self.client().into_iter().chain([known, go]));
            }
        }
        let mut left = u32::try_from(among.len()).expect("a Service has few endpoints");
        for endpoint in among {
            let chance = (left > 1).then(|| expression::one_of(left));
            let go = match self.affinity {
                Some(_) => vec![expression::go_to(&self.name("endpoint", *endpoint))],
                None => self.rewrite(*endpoint).into(),
            };
            table.rule(chain, chance.into_iter().flatten().chain(go));
            left -= 1;
        }
    }

    /// With session affinity: the chains of the endpoints, and who has been sent there.
    fn write_single(&self, table: &mut Table) {
        let Some(timeout) = self.affinity else { return };
        for endpoint in &self.all {
            let (chain, memory) = (
                self.name("endpoint", *endpoint),
                self.name("affinity", *endpoint),
            );
            table.memory(&memory, Key::Address(self.family), timeout);
            table.chain(&chain);
            let client = self.client().into_iter();
            let remember = client.chain([expression::remember_in(&memory)]);
            table.rule(&chain, remember.chain(self.rewrite(*endpoint)));
        }
    }

    /// The name of something that one endpoint has, for as long as its affinity lasts as long.
    fn name(&self, what: &str, endpoint: SocketAddr) -> String {
        let seconds = self.affinity.unwrap_or_default().as_secs_f64();
        let (address, port) = (endpoint.ip().to_string().replace(':', "-"), endpoint.port());
        format!("{}/{address}/{port}/{seconds}s", self.chain(what))
    }

    /// The client's address. Of the family that it has in any case: people read the rule by that.
    fn client(&self) -> [Expression; 3] {
        let [load, compare] = expression::of_family(self.family);
        let address = expression::load_address(self.family, Side::Source);
        [load, compare, address]
    }

    fn rewrite(&self, endpoint: SocketAddr) -> [Expression; 3] {
        expression::rewrite_destination(self.family, bytes(endpoint.ip()), endpoint.port())
    }
}

fn mask(cidr: IpNet) -> Vec<u8> {
    bytes(cidr.netmask())
}
