//! Clusters of kind: make one without policies of its own, let somebody enforce, take it away.
//!
//! | module | what is in it |
//! |---|---|
//! | [`command`] | the command lines, made by pure functions, and who runs them |
//! | [`config`] | the cluster's configuration, as kind reads it |
//! | [`network`] | a network that knows no policies: the ptp plug-in and routes between nodes |
//! | [`preflight`] | what is missing, before anything is made |
//! | [`lifecycle`] | up, down, and what to collect when something went wrong |
//!
//! Start at [`lifecycle::up`]. What must never happen: a cluster that is left behind without a word,
//! or a command against a cluster that is not the one we made: every `kubectl` gets the kubeconfig of
//! that cluster and no other.

pub mod command;
pub mod config;
pub mod lifecycle;
pub mod network;
pub mod preflight;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use self::config::{Family, Proxy};

/// What a cluster shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Its name; kind puts `kind-` before it in contexts.
    pub name: String,
    /// The program that runs containers.
    pub engine: Engine,
    /// The image of its nodes.
    pub node_image: String,
    /// How many nodes beside the control plane.
    pub workers: u8,
    /// Addresses of pods and Services.
    pub family: Family,
    /// How Services are made.
    pub proxy: Proxy,
    /// Who connects pods.
    pub network: Network,
    /// Who enforces policies.
    pub enforcer: Enforcer,
    /// The folder with the image archives of the agent and the probe.
    pub images: PathBuf,
    /// Where the kubeconfig goes.
    pub kubeconfig: PathBuf,
}

/// A container engine that kind can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// nerdctl, with containerd.
    Nerdctl,
}

impl Engine {
    /// The program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Nerdctl => "nerdctl",
        }
    }
}

/// Who connects the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// Routes between nodes and the ptp plug-in: no policies.
    Routes,
    /// kind's own plug-in. It enforces policies by itself.
    Kindnet,
    /// Whatever the enforcer's manifest brings.
    Bring,
}

/// Who enforces the policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforcer {
    /// Nobody that we install.
    None,
    /// Our agent.
    Portcullis,
    /// What this manifest installs.
    Manifest(PathBuf),
}

impl std::str::FromStr for Enforcer {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "none" => Self::None,
            "portcullis" => Self::Portcullis,
            file => Self::Manifest(file.into()),
        })
    }
}
