//! Up, down, and what is collected in between.

use std::{fs, io, path::Path};

use super::{
    Enforcer, Network, Options,
    command::{self, CommandError, CommandLine, Runner},
    config, network,
    preflight::{self, Incomplete},
};

/// The agent as it is installed; the file people install from.
const INSTALL: &str = include_str!("../../../enforcer/deploy/install.yaml");

/// A cluster could not be brought up or looked into. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// Something is missing; nothing was created.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file of ours could not be written.
    #[error("write {path}")]
    Write {
        /// The file or folder.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Brings a cluster up, with a network and an enforcer, and returns when both are ready. `tell` hears
/// what is being done.
///
/// # Errors
/// See [`KindError`]. A cluster that was begun is deleted again.
pub fn up(
    options: &Options,
    runner: &mut dyn Runner,
    tell: &mut dyn FnMut(&str),
) -> Result<(), KindError> {
    preflight::look(options, runner)?;
    let begun = begin(options, runner, tell);
    if begun.is_err() {
        tell("this did not work: deleting the cluster again");
        // The first error is the one to report; a cluster that was never made cannot be deleted.
        drop(runner.run(&command::delete(options)));
    }
    begun
}

fn begin(
    options: &Options,
    runner: &mut dyn Runner,
    tell: &mut dyn FnMut(&str),
) -> Result<(), KindError> {
    tell("creating the cluster");
    runner.check(&command::create(options, config::config(options)))?;
    if options.network == Network::Routes {
        tell("connecting its nodes by routes");
        for command in connect(options, runner)? {
            runner.check(&command)?;
        }
    }
    tell("loading the images");
    for archive in preflight::archives(options) {
        runner.check(&command::load(options, &archive))?;
    }
    if let Enforcer::Manifest(file) = &options.enforcer {
        tell("installing the enforcer");
        runner.check(&command::apply_file(options, file))?;
    }
    runner.check(&command::nodes_ready(options))?;
    if options.enforcer == Enforcer::Portcullis {
        tell("installing the agent");
        runner.check(&command::apply(options, INSTALL.to_owned()))?;
        runner.check(&command::agent_ready(options))?;
    }
    tell("waiting for the system's pods");
    runner.check(&command::system_ready(options))?;
    Ok(())
}

fn connect(options: &Options, runner: &mut dyn Runner) -> Result<Vec<CommandLine>, KindError> {
    let command = command::nodes(options);
    let printed = runner.check(&command)?;
    let nodes = network::nodes(&printed).map_err(|reason| CommandError::Output {
        command: command.to_string(),
        reason,
    })?;
    Ok(network::connect(options, &nodes))
}

/// Deletes the cluster. That there is none is no error.
///
/// # Errors
/// If kind fails.
pub fn down(options: &Options, runner: &mut dyn Runner) -> Result<(), KindError> {
    runner.check(&command::delete(options))?;
    Ok(())
}

/// Writes logs, events and every node's ruleset into a folder; what cannot be had is left out and
/// told.
///
/// # Errors
/// If the folder cannot be written.
pub fn collect(
    options: &Options,
    runner: &mut dyn Runner,
    folder: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<(), KindError> {
    let write = |path: &Path, content: &str| {
        fs::write(path, content).map_err(|source| KindError::Write {
            path: path.display().to_string(),
            source,
        })
    };
    fs::create_dir_all(folder).map_err(|source| KindError::Write {
        path: folder.display().to_string(),
        source,
    })?;
    let mut save = |name: String, command: &CommandLine| match runner.check(command) {
        Ok(output) => write(&folder.join(name), &output),
        Err(error) => {
            tell(&format!("not collected: failed to {error}"));
            Ok(())
        }
    };
    let everything = ["get", "pods,services,networkpolicies", "-A", "-o", "yaml"];
    save(
        "objects.yaml".to_owned(),
        &command::kubectl(options, everything),
    )?;
    let events = ["get", "events", "-A", "--sort-by=.lastTimestamp"];
    save("events.txt".to_owned(), &command::kubectl(options, events))?;
    let logs = [
        "--namespace=kube-system",
        "logs",
        "daemonset/portcullis",
        "--all-pods",
        "--prefix",
    ];
    if options.enforcer == Enforcer::Portcullis {
        save("agents.log".to_owned(), &command::kubectl(options, logs))?;
    }
    let listed = runner.check(&command::nodes(options)).unwrap_or_default();
    for node in network::nodes(&listed).unwrap_or_default() {
        let list = ["nft", "list", "ruleset"];
        let command = command::in_node(options, &node.name, list);
        match runner.check(&command) {
            Ok(output) => write(&folder.join(format!("{}.nft", node.name)), &output)?,
            Err(error) => tell(&format!("not collected: failed to {error}")),
        }
    }
    if let Err(error) = runner.check(&command::export_logs(options, &folder.join("kind"))) {
        tell(&format!("not collected: failed to {error}"));
    }
    Ok(())
}
