//! How the rules of a simulated node reach its kernel.

use enforcer::nft::{ApplyError, Dataplane, Netlink, NftBinary, Transaction};
use netsim::{netns::Netns, place::Place};

use crate::backend::BackendError;

/// How rules reach the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DataplaneKind {
    /// Netlink messages; needs nothing installed.
    #[default]
    Netlink,
    /// JSON through the `nft` binary.
    Nft,
}

/// Opens the dataplane of a node.
pub(super) fn open(
    net: &netsim::Cluster,
    node: &str,
    kind: DataplaneKind,
) -> Result<Box<dyn Dataplane>, BackendError> {
    let netns = net
        .netns(&Place::Node(node.to_owned()))
        .ok_or_else(|| BackendError::Missing(format!("node {node}")))?;
    let opened = match kind {
        DataplaneKind::Netlink => open_netlink(netns),
        DataplaneKind::Nft => open_binary(netns),
    };
    opened.map_err(|source| BackendError::Dataplane {
        node: node.to_owned(),
        source,
    })
}

fn open_netlink(netns: &Netns) -> anyhow::Result<Box<dyn Dataplane>> {
    Ok(Box::new(netns.run(Netlink::open)??))
}

fn open_binary(netns: &Netns) -> anyhow::Result<Box<dyn Dataplane>> {
    Ok(Box::new(Inside {
        netns: netns.try_clone()?,
        dataplane: NftBinary::find()?,
    }))
}

/// Runs every transaction on a thread that has entered the node's namespace, because the process
/// that the dataplane starts inherits it.
struct Inside {
    netns: Netns,
    dataplane: NftBinary,
}

impl Dataplane for Inside {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let dataplane = &mut self.dataplane;
        let applied = self.netns.run(|| dataplane.apply(transaction));
        applied.map_err(|source| ApplyError::Send {
            total: transaction.len(),
            source,
        })?
    }
    fn is_sender(&self, port: u32) -> bool {
        self.dataplane.is_sender(port)
    }
}
