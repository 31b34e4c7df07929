//! Where `portcullis test` plays: `--backend` and what belongs to it.

use std::{num::NonZero, path::PathBuf};

use super::{
    Failure,
    cluster::{Connected, OnCluster},
    say,
};
use crate::{
    backend::{
        api::{ApiCluster, ApiServers, Settings, VenueError},
        live::{LiveError, Target},
    },
    report::{RunReport, ScenarioReport, progress::Progress},
    runner::{self, Observer, Play},
};

/// The back end, and how it is reached.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Where scenarios are played.
    #[arg(long, default_value = "sim", env = "PORTCULLIS_TEST_BACKEND")]
    pub(super) backend: BackendChoice,
    /// The kubeconfig of a cluster or API server [default: $KUBECONFIG or ~/.kube/config]. With
    /// `--backend api` it may be repeated: one scenario at a time is played on each server.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Vec<PathBuf>,
    /// A context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The program of the agents that `--backend api` starts [default: $PORTCULLIS_AGENT, or
    /// portcullis-agent beside this program].
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    #[command(flatten)]
    pub(super) cluster: OnCluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum BackendChoice {
    /// Simulated nodes and pods, with the agent's code in this process. Needs no cluster.
    Sim,
    /// Objects in a Kubernetes API server (a bare one is enough), simulated nodes and pods, and one
    /// agent process per node that reads the objects back.
    Api,
    /// Pods of ours on the nodes of a cluster, in namespaces of ours; whoever enforces there is
    /// judged. One scenario at a time.
    Cluster,
}

impl Place {
    fn targets(&self) -> Vec<Target> {
        let target = |kubeconfig: Option<PathBuf>| Target {
            kubeconfig,
            context: self.context.clone(),
        };
        if self.kubeconfig.is_empty() {
            return vec![target(None)];
        }
        let all = self.kubeconfig.iter().cloned();
        all.map(|path| target(Some(path))).collect()
    }

    /// What must not be combined.
    pub(super) fn check(&self, keep: bool, jobs: Option<NonZero<usize>>) -> Result<(), Failure> {
        let wrong = |text: &str| Err(Failure::Usage(text.to_owned()));
        match self.backend {
            BackendChoice::Sim => {
                let is_unused =
                    self.kubeconfig.is_empty() && self.context.is_none() && self.agent.is_none();
                match is_unused {
                    true => Ok(()),
                    false => wrong(
                        "--kubeconfig, --context and --agent are for --backend api: the simulator \
                         needs no API server",
                    ),
                }
            }
            BackendChoice::Api if keep => {
                wrong("--keep is for --backend sim: the networks end with this program")
            }
            BackendChoice::Api if jobs.is_some() => wrong(
                "--jobs is for --backend sim: here one scenario is played at a time on each \
                 --kubeconfig",
            ),
            BackendChoice::Api if self.cluster.negative_control => {
                wrong("--negative-control is for the other back ends: here every node has an agent")
            }
            BackendChoice::Cluster if jobs.is_some() => wrong(
                "--jobs is for --backend sim: on a cluster one scenario is played at a time, since \
                 namespaces have the names that scenarios give them",
            ),
            BackendChoice::Cluster if self.agent.is_some() => {
                wrong("--agent is for --backend api: a cluster has its own enforcer")
            }
            BackendChoice::Cluster if self.kubeconfig.len() > 1 => {
                wrong("--backend cluster takes one --kubeconfig")
            }
            BackendChoice::Api | BackendChoice::Cluster => Ok(()),
        }
    }

    /// Connects to the cluster, if one is to be played on.
    pub(super) fn connect(
        &self,
        options: enforcer::options::Options,
    ) -> Result<Option<Connected>, Failure> {
        if self.backend != BackendChoice::Cluster {
            return Ok(None);
        }
        let kubeconfig = self.kubeconfig.first().cloned();
        let connected = self
            .cluster
            .connect(kubeconfig, self.context.clone(), options)?;
        Ok(Some(connected))
    }

    /// Connects to the API servers, if some are to be played on. The sandbox has been entered beside
    /// the network.
    pub(super) fn api_servers(&self) -> Result<Option<ApiServers>, Failure> {
        if self.backend != BackendChoice::Api {
            return Ok(None);
        }
        let settings = Settings {
            servers: self.targets(),
            agent: self.agent.clone(),
            leash: std::env::current_exe().ok(),
        };
        let servers = ApiServers::connect(&settings).map_err(failure)?;
        servers.heed_signals().map_err(failure)?;
        for warning in &servers.warnings {
            say(&format!("warning: {warning}"));
        }
        Ok(Some(servers))
    }
}

/// Plays against API servers.
pub(super) fn play_on_api(
    servers: &ApiServers,
    plays: &[Play<'_>],
    mut options: runner::Options,
    progress: &Progress,
) -> RunReport {
    options.workers = servers.count();
    let report = runner::run(plays, servers, options, &Teller(progress));
    if servers.pace().has_any() {
        say(&servers.pace().to_string());
    }
    report
}

fn failure(error: VenueError) -> Failure {
    let is_bad_input = match &error {
        VenueError::Live(error) => LiveError::is_bad_input(error),
        VenueError::NoAgent(_) | VenueError::Signals(_) => false,
    };
    let error = anyhow::Error::new(error);
    match is_bad_input {
        true => Failure::Usage(format!("failed to {error:#}")),
        false => Failure::Environment(anyhow::anyhow!("failed to {error:#}")),
    }
}

/// Tells what happens.
struct Teller<'a>(&'a Progress);

impl Observer<ApiCluster> for Teller<'_> {
    fn started(&self, id: &str) {
        self.0.started(id);
    }

    fn finished(&self, _play: Play<'_>, report: &ScenarioReport, _cluster: Option<ApiCluster>) {
        self.0.finished(report);
    }
}
