//! `packet`: what a new connection and an established one cost, with how many policies.
//!
//! Each contender has a node of its own in one simulated cluster, with a client and a server as
//! pods on it, and all take turns. The shortcut alone, one rule that lets established connections
//! pass, is the measure of all: an enforcer that costs nothing more is at 1.
//!
//! - `shape`: the policies;
//! - `contender`: who is measured;
//! - `exchange`: connections, and how they are timed;
//! - `outcome`: what is made of it.

mod contender;
mod exchange;
mod outcome;
mod shape;

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use enforcer::cluster::Event;
use netsim::{
    Cluster, Fabric, Families, Listen, Netns, Place, PodSpec, Protocol, Topology, probe::Probe,
};

pub(crate) use self::exchange::{Exchange, Stretch};
use self::{
    contender::{Contender, Node},
    exchange::throughput,
    outcome::{Results, Turns, plot, tell, word},
    shape::{Peers, Present, Shape},
};
use crate::{
    report::{Output, Report, progress},
    rival::program::Programs,
};

/// Streams at the same time.
const STREAMS: usize = 64;

/// Measures what connections cost.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many policies there are. [default: 0,10,100,1000,10000]
    #[arg(long, value_delimiter = ',', value_name = "N,..", value_parser = clap::value_parser!(u32).range(0..=20_000))]
    policies: Vec<u32>,
    /// How pods hang on their node. [default: both]
    #[arg(long)]
    fabric: Option<FabricChoice>,
    /// How often everybody has a turn.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: Option<u32>,
    /// Measure nothing but Portcullis and what it is compared to.
    #[arg(long)]
    ours_only: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FabricChoice {
    /// Ports of one bridge per node.
    Bridge,
    /// A route per pod.
    Routed,
}

impl Arguments {
    fn shapes(&self) -> Vec<Shape> {
        let usual: &[u32] = if self.output.quick {
            &[10, 100]
        } else {
            &[0, 10, 100, 1_000, 10_000]
        };
        let chosen = if self.policies.is_empty() {
            usual
        } else {
            &self.policies
        };
        let plain = chosen
            .iter()
            .map(|&policies| Shape::plain(policies as usize));
        let mut shapes: Vec<Shape> = plain.collect();
        if self.policies.is_empty() && !self.output.quick {
            let plain = Shape::plain(1_000);
            shapes.extend([
                Shape {
                    one_in: 10,
                    ..plain
                },
                Shape {
                    one_in: 10,
                    ..Shape::plain(10_000)
                },
                Shape {
                    peers: Peers::TenThousand,
                    ..plain
                },
                Shape {
                    peers: Peers::Blocks,
                    ..plain
                },
                Shape {
                    has_port_lists: true,
                    ..plain
                },
            ]);
        }
        shapes
    }

    fn fabrics(&self, report: &mut Report) -> Vec<Fabric> {
        let has_bridges = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists();
        match (self.fabric, has_bridges) {
            (Some(FabricChoice::Routed), _) => vec![Fabric::Routed],
            (Some(FabricChoice::Bridge), _) => vec![Fabric::Bridge],
            (None, true) if self.output.quick => vec![Fabric::Bridge],
            (None, true) => vec![Fabric::Bridge, Fabric::Routed],
            (None, false) => {
                report
                    .note("Routed only: br_netfilter is not loaded (sudo modprobe br_netfilter).");
                vec![Fabric::Routed]
            }
        }
    }

    fn rounds(&self) -> usize {
        let usual = if self.output.quick { 5 } else { 15 };
        self.rounds.map_or(usual, |rounds| rounds as usize)
    }

    fn stretch(&self) -> Stretch {
        let (count, at_most) = if self.output.quick {
            (50, 20)
        } else {
            (200, 100)
        };
        Stretch {
            count,
            at_most: Duration::from_millis(at_most),
        }
    }
}

pub(crate) fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let programs = if arguments.ours_only {
        None
    } else {
        Some(Programs::find()?)
    };
    let contenders: &[Contender] = if programs.is_some() {
        &Contender::ALL
    } else {
        &Contender::OURS
    };
    let mut plots = Vec::new();
    for fabric in arguments.fabrics(report) {
        let mut street = Street::new(fabric, contenders)?;
        let mut measured = Vec::new();
        for shape in arguments.shapes() {
            progress(&format!("{} fabric, {shape} ...", word(fabric)));
            street.enforce(shape, programs.as_ref(), report)?;
            let results = street.measure(arguments)?;
            tell(fabric, shape, &results, report);
            measured.push((shape, results));
        }
        plots.push(plot(fabric, &measured));
    }
    if let Some(first) = plots.into_iter().next() {
        report.plot(first);
    }
    report.note(
        "Rates are by processor time, medians over turns; a ratio is the median of the ratios to `ct established alone` \
         in the same turn, with the middle half of them in brackets.",
    );
    if let Some(programs) = programs {
        report.note(format!("iptables is {}.", programs.iptables.name()));
    }
    Ok(())
}

/// A node for each contender.
struct Street {
    cluster: Cluster,
    nodes: Vec<Node>,
}

impl Street {
    fn new(fabric: Fabric, contenders: &[Contender]) -> Result<Self> {
        let names: Vec<String> = contenders.iter().map(|c| c.name().to_owned()).collect();
        let mut cluster = Cluster::build(&Topology {
            families: Families::Ipv4,
            fabric,
            nodes: names.iter().map(Into::into).collect(),
            externals: Vec::new(),
        })
        .context("build a cluster")?;
        let mut nodes = Vec::new();
        for (contender, name) in contenders.iter().zip(names) {
            let node = node(&mut cluster, *contender, &name)
                .with_context(|| format!("furnish the node of {name}"))?;
            nodes.push(node);
        }
        Ok(Self { cluster, nodes })
    }

    /// Everybody enforces the policies of a shape. Others may be unable to: kernels without NFQUEUE
    /// are common, and without root the messages of nft are limited.
    fn enforce(
        &mut self,
        shape: Shape,
        programs: Option<&Programs>,
        report: &mut Report,
    ) -> Result<()> {
        for node in &mut self.nodes {
            let enforced = node.enforce(shape, programs);
            node.is_able = enforced.is_ok();
            match enforced {
                Err(error) if Contender::OURS.contains(&node.contender) => return Err(error),
                Err(error) => report.note(format!("Left out with {shape}: failed to {error:#}")),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn measure(&self, arguments: &Arguments) -> Result<Results> {
        let stretch = arguments.stretch();
        let mut results: BTreeMap<usize, Turns> = BTreeMap::new();
        for round in 0..arguments.rounds() {
            for turn in 0..self.nodes.len() {
                // Nobody is always the first, or always after the slowest.
                let index = (round + turn) % self.nodes.len();
                let Node {
                    exchange,
                    contender,
                    is_able: true,
                    ..
                } = &self.nodes[index]
                else {
                    continue;
                };
                let turns = results.entry(index).or_default();
                let measured = measure_one(exchange, stretch, turns);
                measured.with_context(|| format!("measure {}", contender.title()))?;
            }
            self.cluster
                .flush_conntrack()
                .context("forget the connections")?;
        }
        let contender = |index: usize| self.nodes[index].contender;
        let results = results.into_iter();
        Ok(results
            .map(|(index, turns)| (contender(index), turns))
            .collect())
    }
}

/// One node with a client and a server, for other benchmarks.
pub(crate) struct Pair {
    _cluster: Cluster,
    node: Node,
}

impl Pair {
    /// On the routed fabric, which every machine has.
    pub(crate) fn new(node: &str) -> Result<Self> {
        let mut cluster = Cluster::build(&Topology {
            families: Families::Ipv4,
            fabric: Fabric::Routed,
            nodes: vec![node.into()],
            externals: Vec::new(),
        })?;
        Ok(Self {
            node: self::node(&mut cluster, Contender::Portcullis, node)?,
            _cluster: cluster,
        })
    }

    pub(crate) fn node(&self) -> &Netns {
        &self.node.netns
    }

    pub(crate) fn exchange(&self) -> &Exchange {
        &self.node.exchange
    }

    /// What makes an enforcer know both, and that the one may reach the other.
    pub(crate) fn events(&self) -> impl Iterator<Item = Event> {
        shape::pair(&self.node.present).into_iter()
    }
}

fn node(cluster: &mut Cluster, contender: Contender, name: &str) -> Result<Node> {
    let listen = Listen {
        port: 9,
        protocol: Protocol::Tcp,
    };
    let pod = |pod: &str| PodSpec {
        name: format!("{name}/{pod}"),
        node: name.to_owned(),
        listen: vec![listen],
        ..PodSpec::default()
    };
    let addresses = cluster.add_pods(vec![pod("client"), pod("server")])?;
    let (client, server) = (addresses[0][0], addresses[1][0]);
    let place = |pod: &str| Place::Pod(format!("{name}/{pod}"));
    // Pods of a bridge get to know each other when they are about to talk.
    let probe = Probe::new(place("client"), server, listen.port, listen.protocol);
    cluster.probe(&[probe], Duration::from_secs(2))?;
    let netns = |place: &Place| -> Result<_> {
        Ok(cluster
            .netns(place)
            .context("find a namespace")?
            .try_clone()?)
    };
    let range = cluster.node_pod_cidrs(name)[0];
    let last = range.hosts().last().context("find an address")?;
    Ok(Node {
        contender,
        netns: netns(&Place::Node(name.to_owned()))?,
        present: Present {
            node: name.to_owned(),
            node_address: cluster.node_addresses(name)[0],
            range: range.to_string(),
            client,
            server,
            neighbour: last,
        },
        exchange: Exchange::new(netns(&place("client"))?, &netns(&place("server"))?, server)?,
        queue: None,
        is_able: true,
    })
}

fn measure_one(exchange: &Exchange, stretch: Stretch, turns: &mut Turns) -> std::io::Result<()> {
    turns.connections.push(exchange.connections(stretch)?);
    turns.requests.push(exchange.requests(stretch)?);
    let while_ = stretch.at_most / 10;
    let mut one = exchange.streams(1)?;
    turns.one_stream.push(throughput(&mut one, while_)?);
    let mut many = exchange.streams(STREAMS)?;
    turns.many_streams.push(throughput(&mut many, while_)?);
    Ok(())
}
