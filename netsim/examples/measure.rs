//! How long clusters take to come and go: `cargo run --release -p netsim --example measure`.

use std::{
    error::Error,
    io::{Write, stdout},
    time::Instant,
};

use netsim::{Cluster, Fabric, Listen, PodSpec, Protocol, Topology, sandbox::Sandbox};

const LISTEN: [Listen; 2] = [
    Listen {
        port: 80,
        protocol: Protocol::Tcp,
    },
    Listen {
        port: 80,
        protocol: Protocol::Udp,
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    Sandbox::enter()?;
    let mut out = stdout().lock();
    for fabric in [Fabric::Bridge, Fabric::Routed] {
        for pods in [9, 500] {
            let start = Instant::now();
            let topology = Topology {
                fabric,
                nodes: vec!["n1".into(), "n2".into()],
                externals: vec!["internet".into()],
                ..Topology::default()
            };
            let mut cluster = Cluster::build(&topology)?;
            let machines = start.elapsed();
            let specs = (0..pods).map(|number| PodSpec {
                name: format!("x/p{number}"),
                node: topology.nodes[number % 2].name.clone(),
                listen: LISTEN.into(),
                ..PodSpec::default()
            });
            cluster.add_pods(specs.collect())?;
            let up = start.elapsed();
            let start = Instant::now();
            cluster.remove_pod("x/p0")?;
            let removed = start.elapsed();
            let start = Instant::now();
            drop(cluster);
            let down = start.elapsed();
            writeln!(
                out,
                "{fabric:?} {pods} pods: machines {machines:.1?}, up {up:.1?}, one removed {removed:.1?}, dropped {down:.1?}",
            )?;
        }
    }
    Ok(())
}
