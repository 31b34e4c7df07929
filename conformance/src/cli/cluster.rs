//! `portcullis test --backend cluster`: what belongs to it, and how it goes.

use std::path::PathBuf;

use super::{Failure, say};
use crate::{
    backend::{
        cluster::{Cluster, Clusters, Settings},
        live::{Live, LiveError, Target, was_interrupted},
    },
    report::{RunReport, ScenarioReport, progress::Progress},
    runner::{self, Observer, Play},
    scenario::Families,
};

/// The image of `cargo xtask image`, as it is called unless told otherwise.
const PROBE_IMAGE: &str = concat!(
    "ghcr.io/portcullis/portcullis-probe:",
    env!("CARGO_PKG_VERSION")
);

/// How to play on a cluster.
#[derive(Debug, clap::Args)]
pub(super) struct OnCluster {
    /// With `--backend cluster`, the image of the pods: that of `portcullis-probe`.
    #[arg(long, value_name = "IMAGE", default_value = PROBE_IMAGE)]
    probe_image: String,
    /// Play where nobody enforces policies, and fail if a denial holds all the same: it shows that the
    /// scenarios can fail.
    #[arg(long)]
    pub(super) negative_control: bool,
}

/// A cluster that answers, and lets us play.
pub(super) struct Connected {
    clusters: Clusters,
}

impl OnCluster {
    /// Connects, and asks what there is. Nothing is made yet.
    pub(super) fn connect(
        &self,
        kubeconfig: Option<PathBuf>,
        context: Option<String>,
        options: enforcer::options::Options,
    ) -> Result<Connected, Failure> {
        let target = Target {
            kubeconfig,
            context,
        };
        let (live, version) = Live::connect(&target).map_err(failure)?;
        if let Some(warning) = version.warning {
            say(&format!("warning: {warning}"));
        }
        let settings = Settings {
            image: self.probe_image.clone(),
            options,
            is_unenforced: self.negative_control,
        };
        live.heed_signals().map_err(|error| {
            Failure::Environment(anyhow::Error::new(error).context("failed to heed signals"))
        })?;
        let clusters = Clusters::new(&live, settings).map_err(failure)?;
        let facts = clusters.facts();
        if facts.nodes.is_empty() {
            let reasons = facts.unusable.iter();
            let reasons: Vec<_> = reasons
                .map(|(name, reason)| format!("\n  {name}: {reason}"))
                .collect();
            return Err(Failure::Environment(anyhow::anyhow!(
                "failed to find a node that takes pods{}",
                reasons.concat()
            )));
        }
        say(&format!(
            "playing on {} (Kubernetes {}), {} nodes that take pods",
            live.server(),
            version.text,
            facts.nodes.len()
        ));
        Ok(Connected { clusters })
    }
}

impl Connected {
    /// Which addresses the pods of the cluster have.
    pub(super) fn families(&self) -> Families {
        self.clusters.facts().families
    }

    /// Plays one scenario after the other, and removes everything.
    pub(super) fn play(
        &self,
        plays: &[Play<'_>],
        mut options: runner::Options,
        progress: &Progress,
        keep: bool,
    ) -> Result<RunReport, Failure> {
        options.workers = 1;
        let teller = Teller {
            progress,
            clusters: &self.clusters,
            keep,
        };
        let report = runner::run(plays, &self.clusters, options, &teller);
        self.clusters.remove().map_err(failure)?;
        if was_interrupted() {
            return Err(Failure::Environment(anyhow::anyhow!(
                "interrupted; everything that was made is removed"
            )));
        }
        Ok(report)
    }
}

fn failure(error: LiveError) -> Failure {
    let is_bad_input = error.is_bad_input();
    let error = anyhow::Error::new(error);
    match is_bad_input {
        true => Failure::Usage(format!("failed to {error:#}")),
        false => Failure::Environment(anyhow::anyhow!("failed to {error:#}")),
    }
}

/// Tells what happens, and keeps what the first scenario that fails has made.
struct Teller<'a> {
    progress: &'a Progress,
    clusters: &'a Clusters,
    keep: bool,
}

impl Observer<Cluster> for Teller<'_> {
    fn started(&self, id: &str) {
        self.progress.started(id);
    }

    fn finished(&self, _play: Play<'_>, report: &ScenarioReport, cluster: Option<Cluster>) {
        self.progress.finished(report);
        if let Some(mut cluster) = cluster
            && self.keep
            && report.conclusion.is_bad()
        {
            cluster.keep();
            self.clusters.keep();
            say(
                "kept: `kubectl get namespaces -l portcullis.dev/run` names what there is, and \
                 `kubectl delete namespaces -l portcullis.dev/run` removes it",
            );
        }
    }
}
