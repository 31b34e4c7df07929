//! `portcullis kind`.

use std::{env, ffi::OsString, path::PathBuf};

use anyhow::Context;

use super::{Failure, say};
use crate::{
    kind::{
        Enforcer, Engine, Family, Network, Options, Proxy,
        lifecycle::{self, KindError},
    },
    process::{self, Programs},
    report::Exit,
};

/// The node image, if none is chosen.
const NODE_IMAGE: &str = "kindest/node:v1.36.1";

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  portcullis kind test                                   the whole library against our agent
  portcullis kind test --enforcer none --negative-control  the suite can fail
  portcullis kind test --network kindnet --enforcer none   judge kind's own plug-in
  portcullis kind test --network bring --enforcer calico.yaml
  portcullis kind up --family dual; portcullis kind down")]
pub(super) enum Command {
    /// Make a cluster, connect its pods, install an enforcer, and wait until all is ready.
    Up(Up),
    /// The same, then play scenarios, collect what explains failures, and delete the cluster.
    Test(Test),
    /// Delete the cluster.
    Down(Which),
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The cluster's name.
    #[arg(long, default_value = "portcullis")]
    name: String,
    /// The program that runs containers [default: the first of docker, podman, nerdctl that is
    /// installed].
    #[arg(long)]
    engine: Option<Engine>,
    /// The cluster's kubeconfig; yours is not touched [default: target/kind/NAME.kubeconfig].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Up {
    #[command(flatten)]
    which: Which,
    /// The image of the nodes.
    #[arg(long, value_name = "IMAGE", default_value = NODE_IMAGE)]
    node_image: String,
    /// Nodes beside the control plane.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    workers: u8,
    /// Addresses of pods and Services.
    #[arg(long, default_value = "dual")]
    family: Family,
    /// How Services are made.
    #[arg(long, default_value = "nftables")]
    proxy: Proxy,
    /// Who connects pods: routes (no policies), kindnet (kind's own), or bring (the enforcer does).
    #[arg(long, default_value = "routes")]
    network: Network,
    /// Who enforces policies: portcullis, none, or the path of a manifest.
    #[arg(
        long,
        value_name = "portcullis|none|FILE",
        default_value = "portcullis"
    )]
    enforcer: Enforcer,
    /// The folder with the image archives that `cargo xtask image` writes.
    #[arg(long, value_name = "DIR", default_value = "target/image")]
    images: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Test {
    #[command(flatten)]
    up: Up,
    /// Keep the cluster.
    #[arg(long)]
    keep: bool,
    /// Where logs, events and rulesets go when a scenario fails.
    #[arg(long, value_name = "DIR", default_value = "target/kind/logs")]
    logs: PathBuf,
    /// Scenario files or folders, and further arguments of `portcullis test`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Which {
    fn engine(&self) -> Engine {
        let installed = |engine: &Engine| process::find(engine.program()).is_some();
        let all = [Engine::Docker, Engine::Podman, Engine::Nerdctl];
        self.engine
            .or_else(|| all.into_iter().find(installed))
            .unwrap_or(Engine::Docker)
    }

    fn kubeconfig(&self) -> PathBuf {
        let usual = || PathBuf::from(format!("target/kind/{}.kubeconfig", self.name));
        self.kubeconfig.clone().unwrap_or_else(usual)
    }
}

impl Up {
    fn options(&self) -> Options {
        Options {
            name: self.which.name.clone(),
            engine: self.which.engine(),
            node_image: self.node_image.clone(),
            workers: self.workers,
            family: self.family,
            proxy: self.proxy,
            network: self.network,
            enforcer: self.enforcer.clone(),
            images: self.images.clone(),
            kubeconfig: self.which.kubeconfig(),
        }
    }
}

impl From<KindError> for Failure {
    fn from(error: KindError) -> Self {
        match error {
            KindError::Incomplete(incomplete) => Self::Environment(incomplete.into()),
            other => Self::Environment(anyhow::Error::from(other).context("failed to use kind")),
        }
    }
}

pub(super) fn run(command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Up(up) => {
            let options = up.options();
            make(&options)?;
            say(&format!(
                "ready: portcullis test --backend cluster --kubeconfig {}",
                options.kubeconfig.display()
            ));
            Ok(Exit::Yes)
        }
        Command::Test(test) => run_test(test),
        Command::Down(which) => {
            let up = Up {
                which: Which {
                    name: which.name.clone(),
                    engine: which.engine,
                    kubeconfig: which.kubeconfig.clone(),
                },
                node_image: NODE_IMAGE.to_owned(),
                workers: 1,
                family: Family::Dual,
                proxy: Proxy::Nftables,
                network: Network::Routes,
                enforcer: Enforcer::None,
                images: PathBuf::new(),
            };
            lifecycle::down(&up.options(), &mut Programs)?;
            Ok(Exit::Yes)
        }
    }
}

fn make(options: &Options) -> Result<(), Failure> {
    if let Some(folder) = options.kubeconfig.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
    }
    lifecycle::up(options, &mut Programs, &mut |what| say(what))?;
    Ok(())
}

/// How this program is started once more, to play on the cluster.
fn play(options: &Options, further: &[OsString]) -> Vec<OsString> {
    let on_cluster = ["test", "--backend", "cluster", "--kubeconfig"];
    let kubeconfig = options.kubeconfig.clone().into();
    let arguments = on_cluster.map(OsString::from).into_iter();
    arguments
        .chain([kubeconfig])
        .chain(further.iter().cloned())
        .collect()
}

fn run_test(test: &Test) -> Result<Exit, Failure> {
    let options = test.up.options();
    make(&options)?;
    let own = env::current_exe().context("failed to find this program")?;
    let played = process::status(&own, &play(&options, &test.arguments));
    let is_good = matches!(played, Ok(Some(0)));
    if !is_good {
        say(&format!("collecting into {}", test.logs.display()));
        lifecycle::collect(&options, &mut Programs, &test.logs, &mut |what| say(what))?;
    }
    if test.keep {
        say(&format!(
            "kept: portcullis kind down --name {}",
            options.name
        ));
    } else {
        lifecycle::down(&options, &mut Programs)?;
    }
    let code = played.context("failed to play the scenarios")?;
    Ok(match code {
        Some(0) => Exit::Yes,
        Some(2) => Exit::BadInput,
        Some(4) => Exit::NothingSelected,
        Some(5) => Exit::JudgesDisagree,
        Some(1) => Exit::No,
        _ => Exit::Environment,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// As `.github/workflows/kind.yaml` types it.
    const TYPED: &str = "portcullis kind test --family dual --proxy nftables --enforcer none \
        --network routes -- scenarios --negative-control --report junit=a.xml --report json=a.json";

    #[test]
    fn what_is_played_on_the_cluster_is_understood() {
        let typed =
            super::super::Arguments::try_parse_from(TYPED.split(' ').filter(|it| !it.is_empty()));
        let super::super::Command::Kind(Command::Test(test)) = typed.unwrap().command else {
            panic!("another command");
        };
        let own = OsString::from("portcullis");
        let again = [own]
            .into_iter()
            .chain(play(&test.up.options(), &test.arguments));
        let again: Vec<OsString> = again.collect();
        let words: Vec<_> = again.iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(
            words.join(" "),
            "portcullis test --backend cluster --kubeconfig target/kind/portcullis.kubeconfig \
             scenarios --negative-control --report junit=a.xml --report json=a.json"
        );
        super::super::Arguments::try_parse_from(again).unwrap();
    }
}
