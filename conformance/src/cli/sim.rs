//! `portcullis sim`: a simulated cluster that stays.

use std::{
    env, fs,
    os::unix::{net::UnixListener, process::CommandExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use netsim::{netns::Netns, sandbox::Sandbox};

use super::{Failure, choices::Choices, enter_sandbox, print, say};
use crate::{
    backend::{
        Backend,
        sim::{DataplaneKind, Sim, SimOptions, sim_fabric, sim_families, usual_fabric},
    },
    kept::{
        holder::Holder,
        request::{Request, Response, ask},
        state::{Folder, State},
    },
    process,
    report::Exit,
    scenario::{self, Scenario},
};

/// How long building a cluster may take before `up` gives up on its holder.
const BUILD_TIME: Duration = Duration::from_secs(30);

/// A simulated cluster that stays.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Build the cluster of a scenario file and keep it.
    Up(Up),
    /// List the clusters that are kept.
    Ls,
    /// Run a command inside a pod, node or external machine.
    Exec(Exec),
    /// A shell inside a pod, node or external machine.
    Shell(Shell),
    /// Apply NetworkPolicies.
    Apply(Manifests),
    /// Delete NetworkPolicies.
    Delete(Manifests),
    /// Set or remove labels of a pod: `KEY=VALUE` or `KEY-`.
    Label(Label),
    /// Who reaches whom, with real packets.
    Matrix(Which),
    /// Links, addresses, routes, neighbours, ruleset and connections of a node.
    Dump(Dump),
    /// Take the cluster down.
    Down(Which),
    /// The process behind `up`.
    #[command(hide = true)]
    Hold(Hold),
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The cluster's name.
    #[arg(short, long, default_value = "default", env = "PORTCULLIS_SIM_NAME")]
    name: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Up {
    #[command(flatten)]
    which: Which,
    /// The scenario file whose cluster to build.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Play this many steps of the scenario's story first: their policies and labels stay.
    #[arg(long, value_name = "N", default_value_t = 0)]
    steps: usize,
    /// How pods hang on their node: bridge or routed [default: bridge, or routed where the kernel
    /// has no br_netfilter]
    #[arg(long, value_parser = ["bridge", "routed"])]
    fabric: Option<String>,
    #[command(flatten)]
    choices: Choices,
}

#[derive(Debug, clap::Args)]
pub(super) struct Hold {
    #[command(flatten)]
    up: Up,
}

#[derive(Debug, clap::Args)]
pub(super) struct Exec {
    #[command(flatten)]
    which: Which,
    /// `NAMESPACE/POD`, `node/NAME` or `ext/NAME`.
    place: String,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Shell {
    #[command(flatten)]
    which: Which,
    /// `NAMESPACE/POD`, `node/NAME` or `ext/NAME`.
    place: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Manifests {
    #[command(flatten)]
    which: Which,
    /// The file with the manifests.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Label {
    #[command(flatten)]
    which: Which,
    /// `NAMESPACE/POD`.
    pod: String,
    /// `KEY=VALUE` sets, `KEY-` removes.
    #[arg(required = true)]
    labels: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Dump {
    #[command(flatten)]
    which: Which,
    /// The node; the first one if this is left out.
    node: Option<String>,
}

pub(super) fn run(command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Up(arguments) => up(arguments),
        Command::Hold(arguments) => hold(&arguments.up),
        Command::Ls => list(),
        Command::Exec(arguments) => exec(&arguments.which, &arguments.place, &arguments.command),
        Command::Shell(arguments) => {
            let shell = env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
            exec(&arguments.which, &arguments.place, &[shell])
        }
        Command::Apply(arguments) => {
            let (file, text) = read(&arguments.file)?;
            request(&arguments.which, &Request::Apply { file, text })
        }
        Command::Delete(arguments) => {
            let (file, text) = read(&arguments.file)?;
            request(&arguments.which, &Request::Delete { file, text })
        }
        Command::Label(arguments) => {
            let labels = arguments.labels.iter().map(|text| label(text));
            let labels = labels.collect::<Result<_, _>>()?;
            let pod = arguments.pod.clone();
            request(&arguments.which, &Request::Label { pod, labels })
        }
        Command::Matrix(which) => request(which, &Request::Matrix),
        Command::Dump(arguments) => dump(arguments),
        Command::Down(which) => down(which),
    }
}

/// Starts the holder and waits until its cluster stands.
fn up(arguments: &Up) -> Result<Exit, Failure> {
    // Mistakes in the file are shown here and not in the holder's log.
    let scenario = load(&arguments.file)?;
    let folder = folder(&arguments.which)?;
    if folder.read().is_ok() {
        return Err(Failure::Usage(format!(
            "a cluster called {0} is up already; `portcullis sim down -n {0}` takes it down",
            arguments.which.name
        )));
    }
    folder
        .create()
        .context("failed to make a folder for the cluster")?;
    let log = fs::File::create(folder.log()).context("failed to make the holder's log")?;
    let own = env::current_exe().context("failed to find this program")?;
    let mut holder = process::background(&own, &log)
        .context("failed to prepare the holder")?
        .args(["sim", "hold", "--name", &arguments.which.name, "--file"])
        .arg(&arguments.file)
        .args(["--steps", &arguments.steps.to_string()])
        .args(
            arguments
                .fabric
                .iter()
                .flat_map(|fabric| ["--fabric", fabric]),
        )
        .args(arguments.choices.arguments())
        .spawn()
        .context("failed to start the holder")?;
    let begun = Instant::now();
    let state = loop {
        if let Ok(state) = folder.read() {
            break state;
        }
        let ended = holder.try_wait().context("failed to watch the holder")?;
        if let Some(status) = ended {
            say(&fs::read_to_string(folder.log()).unwrap_or_default());
            let _ = folder.remove();
            return Ok(if status.code() == Some(2) {
                Exit::BadInput
            } else {
                Exit::Environment
            });
        }
        if begun.elapsed() > BUILD_TIME {
            let _ = holder.kill();
            return Err(anyhow!("failed to build the cluster in {BUILD_TIME:?}").into());
        }
        process::short_pause();
    };
    let pods = state.places.keys().filter(|place| is_pod(place));
    let first = pods.clone().next().cloned().unwrap_or_default();
    say(&format!(
        "cluster {} is up: {} pods on {} nodes, in {:.2} s",
        arguments.which.name,
        pods.count(),
        scenario.world.nodes.len(),
        begun.elapsed().as_secs_f64()
    ));
    let name = match arguments.which.name.as_str() {
        "default" => String::new(),
        name => format!(" -n {name}"),
    };
    say(&format!("  portcullis sim shell{name} {first}"));
    say(&format!("  portcullis sim matrix{name}"));
    say(&format!("  portcullis sim down{name}"));
    Ok(Exit::Yes)
}

/// The holder: builds, announces, serves.
fn hold(arguments: &Up) -> Result<Exit, Failure> {
    let scenario = load(&arguments.file)?;
    let folder = folder(&arguments.which)?;
    // Bound before the sandbox, whose mounts nobody else sees.
    let listener = UnixListener::bind(folder.socket()).context("failed to open the door")?;
    let _sandbox = enter_sandbox()?;
    let sim = build(&scenario, arguments)?;
    let holder = Holder::new(
        sim,
        world_after(&scenario, arguments.steps),
        folder,
        arguments.file.display().to_string(),
    );
    holder
        .announce()
        .context("failed to announce the cluster")?;
    holder.serve(&listener).context("failed to answer")?;
    Ok(Exit::Yes)
}

fn build(scenario: &Scenario, arguments: &Up) -> Result<Sim, Failure> {
    let options = SimOptions {
        fabric: match arguments.fabric.as_deref() {
            Some("routed") => netsim::topology::Fabric::Routed,
            Some(_) => netsim::topology::Fabric::Bridge,
            None => sim_fabric(scenario.fabric.unwrap_or_else(usual_fabric)),
        },
        families: sim_families(scenario.families),
        dataplane: DataplaneKind::Netlink,
        options: scenario.options.over(arguments.choices.options()),
    };
    let failed = |error| Failure::Environment(anyhow::Error::from(error).context("failed"));
    let mut sim = Sim::build(&scenario.world, options).map_err(failed)?;
    sim.create(&scenario.world).map_err(failed)?;
    for policy in &scenario.initial_policies {
        let change = scenario::Change::ApplyPolicy(policy.clone());
        sim.change(&change).map_err(failed)?;
    }
    for step in scenario.steps.iter().take(arguments.steps) {
        for change in &step.changes {
            sim.change(change).map_err(failed)?;
        }
    }
    Ok(sim)
}

fn world_after(scenario: &Scenario, steps: usize) -> scenario::World {
    let step = steps.checked_sub(1).and_then(|last| {
        let last = last.min(scenario.steps.len().saturating_sub(1));
        scenario.steps.get(last)
    });
    step.map_or_else(|| scenario.world.clone(), |step| step.world.clone())
}

fn load(file: &Path) -> Result<Scenario, Failure> {
    let mut scenarios = scenario::load(file)?.into_iter();
    scenarios
        .next()
        .ok_or_else(|| Failure::Usage(format!("there is no scenario in {}", file.display())))
}

fn list() -> Result<Exit, Failure> {
    for (name, folder) in Folder::all().context("failed to look for clusters")? {
        if let Ok(state) = folder.read() {
            let pods = state.places.keys().filter(|place| is_pod(place)).count();
            print(&format!("{name}\t{pods} pods\t{}\n", state.file));
        }
    }
    Ok(Exit::Yes)
}

/// Becomes the command, inside the place.
fn exec(which: &Which, place: &str, command: &[String]) -> Result<Exit, Failure> {
    let (_, state) = running(which)?;
    let Some(path) = state.places.get(place) else {
        let known: Vec<_> = state.places.keys().map(String::as_str).collect();
        return Err(Failure::Usage(format!(
            "there is no {place} in cluster {}; there are {}",
            which.name,
            known.join(", ")
        )));
    };
    let sandbox = Sandbox::join(state.pid).context("failed to enter the cluster")?;
    let netns = Netns::open(path).context("failed to open the place")?;
    sandbox
        .settle(&netns)
        .context("failed to enter the place")?;
    let error = process::foreground(&command[0])
        .args(&command[1..])
        .env("PORTCULLIS_PLACE", place)
        .env("PS1", format!("{place} $ "))
        .exec();
    Err(anyhow::Error::new(error)
        .context(format!("failed to start {}", command[0]))
        .into())
}

fn dump(arguments: &Dump) -> Result<Exit, Failure> {
    let (_, state) = running(&arguments.which)?;
    let node = match &arguments.node {
        Some(node) => node.trim_start_matches("node/").to_owned(),
        None => state
            .places
            .keys()
            .find_map(|place| place.strip_prefix("node/"))
            .unwrap_or_default()
            .to_owned(),
    };
    request(&arguments.which, &Request::Dump { node })
}

fn down(which: &Which) -> Result<Exit, Failure> {
    let (folder, state) = running(which)?;
    ask(&folder.socket(), &Request::Down).context("failed to ask the cluster to end")?;
    let begun = Instant::now();
    while Path::new(&format!("/proc/{}", state.pid)).exists() && begun.elapsed() < BUILD_TIME {
        process::short_pause();
    }
    say(&format!("cluster {} is down", which.name));
    Ok(Exit::Yes)
}

fn request(which: &Which, question: &Request) -> Result<Exit, Failure> {
    let (folder, _) = running(which)?;
    match ask(&folder.socket(), question).context("failed to ask the cluster")? {
        Response::Done(text) => {
            print(&text);
            Ok(Exit::Yes)
        }
        Response::JudgesDisagree(text) => {
            print(&text);
            Ok(Exit::JudgesDisagree)
        }
        Response::BadInput(text) => {
            say(text.trim_end());
            Ok(Exit::BadInput)
        }
        Response::Failed(text) => {
            say(text.trim_end());
            Ok(Exit::Environment)
        }
    }
}

fn running(which: &Which) -> Result<(Folder, State), Failure> {
    let folder = folder(which)?;
    let state = folder.read().map_err(|_| {
        Failure::Usage(format!(
            "no cluster called {} is up; `portcullis sim up -f FILE` builds one",
            which.name
        ))
    })?;
    Ok((folder, state))
}

fn folder(which: &Which) -> Result<Folder, Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if which.name.is_empty() || !which.name.chars().all(is_plain) {
        return Err(Failure::Usage(format!(
            "`{}` cannot be a cluster's name: use letters, digits, `-` and `_`",
            which.name
        )));
    }
    let folder = Folder::named(&which.name).context("failed to find a place for clusters")?;
    Ok(folder)
}

fn read(file: &Path) -> Result<(String, String), Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("failed to read {}: {error}", file.display())))?;
    Ok((file.display().to_string(), text))
}

fn label(text: &str) -> Result<(String, Option<String>), Failure> {
    if let Some((key, value)) = text.split_once('=') {
        return Ok((key.to_owned(), Some(value.to_owned())));
    }
    match text.strip_suffix('-') {
        Some(key) => Ok((key.to_owned(), None)),
        None => Err(Failure::Usage(format!(
            "`{text}` is no label: write KEY=VALUE to set it, KEY- to remove it"
        ))),
    }
}

fn is_pod(place: &str) -> bool {
    !place.starts_with("node/") && !place.starts_with("ext/")
}
