//! Other enforcers of network policies in the same kernel.
//!
//! They are recognised by the names of their tables and chains. Nothing else of what is not ours is
//! ever read: rules of others have crashed whoever parsed them.

use std::{collections::BTreeSet, fmt, io};

use crate::listing::{CHAINS, EVERYBODY, INET, TABLES, list, text};

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
    table(
        "Antrea",
        "antrea",
        "Antrea enforces policies itself; remove Antrea, or do not install this agent",
    ),
    chain(
        "Azure Network Policy Manager",
        "AZURE-NPM",
        "it enforces policies itself; delete its DaemonSet azure-npm and restart the node, or do not install this agent",
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
    let tables = names(TABLES, EVERYBODY, TABLE)?;
    let chains = names(CHAINS, EVERYBODY, CHAIN)?;
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
    // Others may call theirs the same in another family.
    Ok(names(TABLES, INET, TABLE)?.contains(enforcer::nft::TABLE))
}

/// One attribute of every object of a kind in a family.
fn names(kind: u16, family: u8, wanted: u16) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    list(kind, family, &[], |object| {
        names.extend(text(object, wanted));
    })?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

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
            "cni_hostport",
        ]);
        let chains = set(&[
            "forward",
            "KUBE-SERVICES",
            "FLANNEL-FWD",
            "DOCKER-USER",
            "KUBE-ROUTER-SERVICES",
        ]);
        assert_eq!(recognised(&tables, &chains), []);
    }

    /// The names are those of the programs' own sources.
    #[rstest]
    #[case("kindnet", "kindnet-network-policies", "")]
    #[case("kube-network-policies", "kube-network-policies", "")]
    #[case("kube-router", "kube-router-filter-ipv4", "KUBE-ROUTER-FORWARD")]
    #[case("kube-router", "filter", "KUBE-NWPLCY-DEFAULT")]
    #[case("kube-router", "filter", "KUBE-POD-FW-2J2QPDTXRXUR4ZCK")]
    #[case("Calico", "calico", "filter-cali-FORWARD")]
    #[case("Calico", "filter", "cali-from-wl-dispatch")]
    #[case("Cilium", "filter", "CILIUM_FORWARD")]
    #[case("Antrea", "filter", "ANTREA-FORWARD")]
    #[case("Azure Network Policy Manager", "filter", "AZURE-NPM")]
    #[case("Weave Net", "filter", "WEAVE-NPC-EGRESS")]
    fn an_enforcer_is_known_by_what_it_makes(
        #[case] name: &str,
        #[case] table: &str,
        #[case] chain: &str,
    ) {
        let found = recognised(&set(&["nat", table]), &set(&["FORWARD", chain]));
        let found: Vec<_> = found.iter().map(|found| found.enforcer.name).collect();
        assert_eq!(found, [name]);
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
