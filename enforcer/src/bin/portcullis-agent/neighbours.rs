//! Other enforcers of network policies in the same kernel.
//!
//! They are recognised by the names of their tables and chains. Nothing else of what is not ours is
//! ever read: rules of others have crashed whoever parsed them.

use std::{collections::BTreeSet, fmt, io};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `NFNL_SUBSYS_NFTABLES << 8`, and the messages of it: `NFT_MSG_GETTABLE`, `NFT_MSG_GETCHAIN`.
const SUBSYSTEM: u16 = 10 << 8;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
/// Of every netlink family.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `struct nfgenmsg`, before the attributes.
const HEADER: usize = 4;
/// `NFTA_TABLE_NAME` and `NFTA_CHAIN_TABLE`; `NFTA_CHAIN_NAME`.
const TABLE: u16 = 1;
const CHAIN: u16 = 3;

/// An enforcer that is known by a name in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Enforcer {
    /// Who it is.
    pub(crate) name: &'static str,
    /// What the name begins with.
    prefix: &'static str,
    /// Whether it is a chain's name or a table's.
    is_chain: bool,
    /// How to get rid of it.
    pub(crate) fix: &'static str,
}

const KNOWN: &[Enforcer] = &[
    table(
        "kindnet",
        "kindnet-network-policies",
        "create the kind cluster with networking.disableDefaultCNI: true and another network",
    ),
    table(
        "kube-network-policies",
        "kube-network-policies",
        "delete its DaemonSet, then on each node: nft delete table inet kube-network-policies",
    ),
    table(
        "kube-router",
        "kube-router",
        "run kube-router with --run-firewall=false, then once with --cleanup-config",
    ),
    chain(
        "kube-router",
        "KUBE-NWPLCY",
        "run kube-router with --run-firewall=false, then once with --cleanup-config",
    ),
    chain(
        "kube-router",
        "KUBE-POD-FW",
        "run kube-router (k3s: server with --disable-network-policy) without its firewall, then clean up or restart the node",
    ),
    table(
        "Calico",
        "calico",
        "Calico enforces policies itself; remove Calico, or do not install this agent",
    ),
    chain(
        "Calico",
        "cali-",
        "Calico enforces policies itself; remove Calico, or do not install this agent",
    ),
    chain(
        "Cilium",
        "CILIUM_",
        "Cilium enforces policies itself; set enable-policy to never, or do not install this agent",
    ),
    chain(
        "Antrea",
        "ANTREA-",
        "Antrea enforces policies itself; remove Antrea, or do not install this agent",
    ),
    chain(
        "Weave Net",
        "WEAVE-NPC",
        "run Weave Net with EXPECT_NPC=0 and without weave-npc",
    ),
];

const fn table(name: &'static str, prefix: &'static str, fix: &'static str) -> Enforcer {
    Enforcer {
        name,
        prefix,
        is_chain: false,
        fix,
    }
}

const fn chain(name: &'static str, prefix: &'static str, fix: &'static str) -> Enforcer {
    Enforcer {
        name,
        prefix,
        is_chain: true,
        fix,
    }
}

/// An enforcer and the name by which it was recognised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) enforcer: Enforcer,
    pub(crate) by: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.enforcer.is_chain {
            "chain"
        } else {
            "table"
        };
        write!(f, "{} ({kind} {})", self.enforcer.name, self.by)
    }
}

/// The enforcers in the network namespace of the calling thread, each once. Those that work with
/// eBPF or the old iptables cannot be seen.
///
/// # Errors
/// Whatever the kernel says.
pub(crate) fn enforcers() -> io::Result<Vec<Found>> {
    let tables = names(GET_TABLE, TABLE)?;
    let chains = names(GET_CHAIN, CHAIN)?;
    Ok(recognised(&tables, &chains))
}

fn recognised(tables: &BTreeSet<String>, chains: &BTreeSet<String>) -> Vec<Found> {
    let mut found = Vec::<Found>::new();
    for enforcer in KNOWN {
        let names = if enforcer.is_chain { chains } else { tables };
        let by = names.iter().find(|name| name.starts_with(enforcer.prefix));
        if let Some(by) = by
            && !found
                .iter()
                .any(|found| found.enforcer.name == enforcer.name)
        {
            found.push(Found {
                enforcer: *enforcer,
                by: by.clone(),
            });
        }
    }
    found
}

/// Whether our own table is there.
///
/// # Errors
/// Whatever the kernel says.
pub(crate) fn has_own_table() -> io::Result<bool> {
    Ok(names(GET_TABLE, TABLE)?.contains(enforcer::nft::TABLE))
}

/// One attribute of every object of a kind, in all families.
fn names(message: u16, wanted: u16) -> io::Result<BTreeSet<String>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut question = [0; 20];
    question[0..4].copy_from_slice(&20_u32.to_ne_bytes());
    question[4..6].copy_from_slice(&message.to_ne_bytes());
    question[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    socket.send(&question, 0)?;
    let mut names = BTreeSet::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            match message.message_type() {
                DONE => return Ok(names),
                ERROR => return Err(refusal(message.payload())),
                _ => names.extend(attribute(message.payload(), wanted)),
            }
            let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn refusal(payload: &[u8]) -> io::Error {
    let code = payload
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    io::Error::from_raw_os_error(code.saturating_neg())
}

fn attribute(payload: &[u8], wanted: u16) -> Option<String> {
    let attribute = NlasIterator::new(payload.get(HEADER..)?)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == wanted)?;
    let text = String::from_utf8_lossy(attribute.value());
    Some(text.trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn neighbours_that_do_not_enforce_are_left_alone() {
        let tables = set(&[
            "kube-proxy",
            "portcullis",
            "filter",
            "nat",
            "docker",
            "kindnet-ipmasq",
        ]);
        let chains = set(&["forward", "KUBE-SERVICES", "FLANNEL-FWD", "DOCKER-USER"]);
        assert_eq!(recognised(&tables, &chains), []);
    }

    #[test]
    fn an_enforcer_is_named_once() {
        let tables = set(&["calico", "kindnet-network-policies"]);
        let chains = set(&["cali-FORWARD", "cali-INPUT", "KUBE-NWPLCY-ABC"]);
        let found = recognised(&tables, &chains);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "kindnet (table kindnet-network-policies)",
                "kube-router (chain KUBE-NWPLCY-ABC)",
                "Calico (table calico)",
            ]
        );
    }
}
