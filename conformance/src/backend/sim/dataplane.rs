//! How an agent of a simulated node reaches its kernel.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use enforcer::{
    agent::{Agent, Kernel},
    nft::{ApplyError, Chain, Dataplane, NftBinary, Operation, Transaction},
    options::Options,
};
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

/// What the agents of one node are made with.
#[derive(Debug)]
pub(super) struct Openings {
    netns: Netns,
    kind: DataplaneKind,
    options: Options,
}

impl Openings {
    pub(super) fn of(
        net: &netsim::Cluster,
        node: &str,
        kind: DataplaneKind,
        options: Options,
    ) -> Result<Self, BackendError> {
        let netns = net
            .netns(&Place::Node(node.to_owned()))
            .ok_or_else(|| BackendError::Missing(format!("node {node}")))?;
        let netns = netns.try_clone().map_err(|error| failed(node, error))?;
        Ok(Self {
            netns,
            kind,
            options,
        })
    }

    /// A new agent, whose kernel refuses as many of its transactions as `refusals` says.
    pub(super) fn agent(
        &self,
        node: &str,
        refusals: &Arc<AtomicU32>,
    ) -> Result<Agent, BackendError> {
        let agent = self.kernel(refusals).and_then(|kernel| {
            let agent = Agent::start(node, self.options, kernel)?;
            Ok(agent)
        });
        agent.map_err(|error| failed(node, error))
    }

    fn kernel(&self, refusals: &Arc<AtomicU32>) -> anyhow::Result<Kernel> {
        let Kernel {
            dataplane,
            connections,
            watch,
        } = self.netns.run(Kernel::open)??;
        let dataplane = match self.kind {
            DataplaneKind::Netlink => dataplane,
            DataplaneKind::Nft => Box::new(Inside {
                netns: self.netns.try_clone()?,
                dataplane: NftBinary::find()?,
            }),
        };
        Ok(Kernel {
            dataplane: Box::new(Refusing {
                dataplane,
                refusals: Arc::clone(refusals),
            }),
            connections,
            watch,
        })
    }
}

fn failed(node: &str, error: impl Into<anyhow::Error>) -> BackendError {
    BackendError::Dataplane {
        node: node.to_owned(),
        source: error.into(),
    }
}

/// Lets the kernel refuse transactions, by asking it for something impossible at their end.
struct Refusing {
    dataplane: Box<dyn Dataplane>,
    /// How many more.
    refusals: Arc<AtomicU32>,
}

impl Dataplane for Refusing {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let one_less = |left: u32| left.checked_sub(1);
        let is_refused = !transaction.is_empty()
            && self
                .refusals
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok();
        if !is_refused {
            return self.dataplane.apply(transaction);
        }
        let impossible = Operation::DeleteChain(Chain {
            name: "no-such-chain".into(),
            hook: None,
        });
        let operations = transaction.operations().iter().cloned();
        let refused: Transaction = operations.chain([impossible]).collect();
        self.dataplane.apply(&refused)
    }

    fn is_sender(&self, port: u32) -> bool {
        self.dataplane.is_sender(port)
    }
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
