//! Who is measured, and how each gets its rules into the kernel of its node.

use std::{net::IpAddr, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use enforcer::{
    agent::NodeEnforcer,
    cluster::Cluster,
    nft::{Chain, Dataplane as _, Hook, Netlink, Operation, Rule, Statement, Transaction},
    options::Options,
};
use netsim::Netns;

use super::{
    exchange::Exchange,
    shape::{CLOSED, PORT, Present, Shape, events},
};
use crate::rival::{
    classic::Classic,
    iptables, nft,
    program::Programs,
    queue::{self, Passing, Queue},
};

/// One way to enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// No table at all, so no connection tracking either.
    Nothing,
    /// One rule: what is established passes. As good as it gets.
    Shortcut,
    Portcullis,
    Iptables,
    /// The rules of iptables, line by line.
    Nft,
    /// User space says what passes.
    Queue,
}

impl Contender {
    pub(super) const OURS: [Self; 3] = [Self::Nothing, Self::Shortcut, Self::Portcullis];
    pub(super) const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Shortcut,
        Self::Portcullis,
        Self::Iptables,
        Self::Nft,
        Self::Queue,
    ];

    /// In figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Shortcut => "shortcut",
            Self::Portcullis => "portcullis",
            Self::Iptables => "iptables",
            Self::Nft => "nft-lines",
            Self::Queue => "nfqueue",
        }
    }

    /// For people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Nothing => "no table",
            Self::Shortcut => "ct established alone",
            Self::Portcullis => "Portcullis",
            Self::Iptables => "iptables + ipset",
            Self::Nft => "the same in nft",
            Self::Queue => "NFQUEUE",
        }
    }

    /// Whether its rules are other ones if there are other policies.
    pub(super) fn depends_on_policies(self) -> bool {
        !matches!(self, Self::Nothing | Self::Shortcut)
    }
}

/// A contender's node, with a client and a server on it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) contender: Contender,
    pub(super) netns: Netns,
    pub(super) present: Present,
    pub(super) exchange: Exchange,
    /// Whoever says what passes, if that is not the kernel.
    pub(super) queue: Option<Queue>,
    /// Whether what is to be measured is in force.
    pub(super) is_able: bool,
}

impl Node {
    /// Puts the rules of a shape into the kernel, and makes sure that they are in force.
    pub(super) fn enforce(&mut self, shape: Shape, programs: Option<&Programs>) -> Result<()> {
        let title = self.contender.title();
        self.install(shape, programs)
            .with_context(|| format!("put the rules into the kernel: {title}"))?;
        let is_denied = |port| self.exchange.is_denied(port).context("probe the rules");
        ensure!(
            !is_denied(PORT)?,
            "measure {title}: it denies what the policies allow"
        );
        let should_deny = shape.policies > 0 && self.contender.depends_on_policies();
        ensure!(
            is_denied(CLOSED)? == should_deny,
            "measure {title}: it does not enforce the policies"
        );
        Ok(())
    }

    fn install(&mut self, shape: Shape, programs: Option<&Programs>) -> Result<()> {
        match self.contender {
            Contender::Nothing => Ok(()),
            Contender::Shortcut => {
                let mut netlink = self.netns.run(Netlink::open)??;
                Ok(netlink.apply(&shortcut())?)
            }
            Contender::Portcullis => {
                let netlink = self.netns.run(Netlink::open)??;
                let node = &self.present.node;
                let mut enforcer = NodeEnforcer::new(node, Options::default(), netlink);
                for event in events(shape, &self.present) {
                    enforcer.handle(event);
                }
                enforcer.commit()?;
                Ok(())
            }
            Contender::Iptables => {
                let programs = programs.context("find the programs of the others")?;
                let classic = self.classic(shape);
                self.netns.run(|| {
                    programs.ipset.run(&iptables::sets(&classic))?;
                    programs.iptables.run(&iptables::rules(&classic))
                })?
            }
            Contender::Nft => {
                let programs = programs.context("find the programs of the others")?;
                let script = nft::script(&self.classic(shape));
                self.netns.run(|| programs.nft.run(&script))?
            }
            Contender::Queue => {
                let programs = programs.context("find the programs of the others")?;
                self.netns.run(|| programs.iptables.run(queue::RULES))??;
                let (IpAddr::V4(client), IpAddr::V4(server)) =
                    (self.present.client, self.present.server)
                else {
                    bail!("judge packets of IPv6");
                };
                let mut passing = Passing::from([(client, server, PORT)]);
                if shape.policies == 0 {
                    passing.insert((client, server, CLOSED));
                }
                // One of them at a time.
                self.queue = None;
                self.queue = Some(Queue::answer(&self.netns, passing)?);
                Ok(())
            }
        }
    }

    fn classic(&self, shape: Shape) -> Classic {
        let mut cluster = Cluster::default();
        for event in events(shape, &self.present) {
            cluster.handle(event);
        }
        Classic::of(&cluster, &self.present.node)
    }
}

/// A table with one rule.
fn shortcut() -> Transaction {
    let name: Arc<str> = "forward".into();
    let chain = Chain {
        name: Arc::clone(&name),
        hook: Some(Hook::Forward),
    };
    let rule = Rule {
        statement: Statement::AcceptReplies,
        comment: None,
    };
    Transaction::from_iter([
        Operation::AddTable,
        Operation::DeleteTable,
        Operation::AddTable,
        Operation::AddChain(chain),
        Operation::AddRule { chain: name, rule },
    ])
}
