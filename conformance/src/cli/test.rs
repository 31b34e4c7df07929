//! `portcullis test`.

use std::{
    collections::BTreeMap,
    num::NonZero,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Mutex,
};

use anyhow::Context;

use super::{
    Failure,
    choices::Choices,
    cluster::Connected,
    enter_sandbox, enter_sandbox_beside_network, paint_of_stderr, paint_of_stdout,
    place::{BackendChoice, Place, play_on_api},
    print, say,
};
use crate::{
    backend::sim::{DataplaneKind, Sim, usual_fabric},
    coverage::Coverage,
    kept::{holder::Holder, state::Folder},
    library, negative,
    report::{self, Conclusion, Exit, RunReport, ScenarioReport, human::Style, progress::Progress},
    runner::{self, Observer, Play, Simulator},
    scenario::{self, Fabric, Families, Scenario, World},
};

/// Where scenarios are looked for if no path is given.
const LIBRARY: &str = "scenarios";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis test                              every scenario under scenarios/
  portcullis test scenarios/ipblock -k except  those with `except` in their name or as a tag
  portcullis test -k udp -k '!sctp'            several filters: any that matches, none with !
  portcullis test --fabric both --report junit=results.xml
  portcullis test --backend api --kubeconfig F  against an API server, with agents as processes
  portcullis test --backend cluster             on the cluster of your kubeconfig")]
pub(super) struct Arguments {
    #[command(flatten)]
    run: Run,
    /// Also write the results to a file; may be repeated.
    #[arg(long = "report", value_name = "junit=FILE|json=FILE")]
    reports: Vec<ReportFile>,
}

/// What is played, where and how.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Scenario files, or folders of them [default: scenarios].
    paths: Vec<PathBuf>,
    /// Only scenarios with this in their name, or with exactly this tag; `!WORD` leaves those out.
    #[arg(short = 'k', long = "filter", value_name = "WORD")]
    filters: Vec<String>,
    /// How many scenarios at a time [default: twelve per processor; most of the time is waiting for
    /// probes that must not be answered].
    #[arg(short, long, value_name = "N", env = "PORTCULLIS_TEST_JOBS")]
    jobs: Option<NonZero<usize>>,
    /// How pods hang on their node, where the scenario leaves it open.
    /// [default: bridge, or routed where the kernel has no br_netfilter]
    #[arg(long, env = "PORTCULLIS_TEST_FABRIC")]
    fabric: Option<FabricChoice>,
    /// Which addresses pods have, where the scenario leaves it open [default: dual; on a cluster those
    /// that its pods have].
    #[arg(long, env = "PORTCULLIS_TEST_FAMILY")]
    family: Option<FamilyChoice>,
    /// How rules reach the kernel.
    #[arg(long, default_value = "netlink", env = "PORTCULLIS_TEST_DATAPLANE")]
    dataplane: DataplaneKind,
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    place: Place,
    /// Keep the cluster of the first scenario that fails, until `portcullis sim down`.
    #[arg(long)]
    keep: bool,
    /// Say at the end which lines of the semantics list the scenarios that passed show.
    #[arg(long)]
    coverage: bool,
    /// In JSON reports, list every connection, not only those that failed.
    #[arg(long)]
    all_cells: bool,
    /// Tell every failing connection in full, and always what each judge says.
    #[arg(short, long)]
    verbose: bool,
    /// Say nothing of scenarios that pass or are skipped.
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Only name what would be played.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FabricChoice {
    /// Ports of one bridge per node.
    Bridge,
    /// A route per pod.
    Routed,
    /// Every scenario on each.
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FamilyChoice {
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both addresses on every pod; every connection is probed over both.
    Dual,
}

#[derive(Clone, Debug)]
enum ReportFile {
    Junit(PathBuf),
    Json(PathBuf),
}

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some(("junit", file)) if !file.is_empty() => Ok(Self::Junit(file.into())),
            Some(("json", file)) if !file.is_empty() => Ok(Self::Json(file.into())),
            _ => Err("write junit=FILE or json=FILE".to_owned()),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    play(&arguments.run, |results| {
        let mut files = arguments.reports.iter();
        files.try_for_each(|file| write_report(file, results))
    })
}

/// Plays scenarios, and hands the results over before it ends.
pub(super) fn play(
    arguments: &Run,
    write: impl FnOnce(&RunReport) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    arguments.place.check(arguments.keep, arguments.jobs)?;
    let cluster = match arguments.list {
        true => None,
        false => arguments.place.connect(arguments.choices.options())?,
    };
    let scenarios = load(arguments, cluster.as_ref().map(Connected::families))?;
    let scenarios = match arguments.place.cluster.negative_control {
        true => unenforced(&scenarios),
        false => scenarios,
    };
    let selected: Vec<&Scenario> = scenarios
        .iter()
        .filter(|scenario| is_selected(scenario, &arguments.filters))
        .collect();
    let plays: Vec<Play<'_>> = selected
        .iter()
        .flat_map(|scenario| {
            fabrics(scenario, arguments.fabric).map(|fabric| Play { scenario, fabric })
        })
        .collect();
    if arguments.list {
        for play in &plays {
            print(&format!("{}\n", play.scenario.name));
        }
    }
    if plays.is_empty() {
        say(&format!(
            "error: none of {} scenarios matches {}",
            scenarios.len(),
            arguments.filters.join(", ")
        ));
        return Ok(Exit::NothingSelected);
    }
    if arguments.list {
        return Ok(Exit::Yes);
    }
    // Made before the sandbox, in which the user has another number.
    let keeps_sim = arguments.keep && arguments.place.backend == BackendChoice::Sim;
    let door = keeps_sim.then(Door::open).transpose()?;
    let _sandbox = match arguments.place.backend {
        BackendChoice::Sim => Some(enter_sandbox()?),
        BackendChoice::Api => Some(enter_sandbox_beside_network()?),
        BackendChoice::Cluster => None,
    };
    let servers = arguments.place.api_servers()?;
    let options = runner::Options {
        dataplane: arguments.dataplane,
        workers: workers(arguments),
        stop_at_failure: arguments.keep,
        enforcer: arguments.choices.options(),
        all_cells: arguments.all_cells,
    };
    let style = Style {
        paint: paint_of_stderr(),
        verbose: arguments.verbose,
        quiet: arguments.quiet,
    };
    let watcher = Watcher {
        progress: Progress::new(plays.len(), style),
        kept: Mutex::new(None),
    };
    let results = match (&cluster, &servers) {
        (Some(cluster), _) => cluster.play(&plays, options, &watcher.progress, arguments.keep)?,
        (None, Some(servers)) => play_on_api(servers, &plays, options, &watcher.progress),
        (None, None) => runner::run(&plays, &Simulator, options, &watcher),
    };
    watcher.progress.end(&results);
    write(&results)?;
    if arguments.coverage {
        print(&coverage_of_passes(&results).render(paint_of_stdout()));
    }
    tell_github(&results)?;
    if let Some(door) = door {
        door.hold(watcher.kept)?;
    }
    Ok(Exit::of(&results))
}

/// Tells what happens, and takes the first cluster on which something failed.
struct Watcher {
    progress: Progress,
    kept: Mutex<Option<Kept>>,
}

/// A cluster on which a scenario failed.
struct Kept {
    sim: Sim,
    world: World,
    file: String,
}

impl Observer<Sim> for Watcher {
    fn started(&self, id: &str) {
        self.progress.started(id);
    }

    fn finished(&self, play: Play<'_>, report: &ScenarioReport, cluster: Option<Sim>) {
        self.progress.finished(report);
        let Some(sim) = cluster.filter(|_| report.conclusion.is_bad()) else {
            return;
        };
        let played = report.steps.len().checked_sub(1);
        let step = played.and_then(|index| play.scenario.steps.get(index));
        let mut kept = self
            .kept
            .lock()
            .expect("nobody panics while holding a cluster");
        kept.get_or_insert_with(|| Kept {
            sim,
            world: step
                .map_or(&play.scenario.world, |step| &step.world)
                .clone(),
            file: report.file.clone(),
        });
    }
}

/// Where a kept cluster can be reached.
struct Door {
    folder: Folder,
    listener: UnixListener,
}

impl Door {
    /// The name that `portcullis sim -n` knows a kept cluster by.
    const NAME: &str = "kept";

    fn open() -> Result<Self, Failure> {
        let folder = Folder::named(Self::NAME).context("failed to find a place for the cluster")?;
        if folder.read().is_ok() {
            return Err(Failure::Usage(format!(
                "a cluster called {0} is up already; `portcullis sim down -n {0}` takes it down",
                Self::NAME
            )));
        }
        folder
            .create()
            .context("failed to make a folder for the cluster")?;
        let listener = UnixListener::bind(folder.socket()).context("failed to open its door")?;
        Ok(Self { folder, listener })
    }

    /// Keeps the cluster until somebody takes it down.
    fn hold(self, kept: Mutex<Option<Kept>>) -> Result<(), Failure> {
        let kept = kept
            .into_inner()
            .expect("nobody panics while holding a cluster");
        let Some(Kept { sim, world, file }) = kept else {
            return Ok(self.folder.remove().context("failed to tidy up")?);
        };
        let holder = Holder::new(sim, world, self.folder, file);
        holder
            .announce()
            .context("failed to announce the cluster")?;
        let name = Self::NAME;
        say(&format!(
            "kept: `portcullis sim matrix -n {name}`, `portcullis sim shell -n {name} NS/POD`; \
             `portcullis sim down -n {name}` or Ctrl-C ends it"
        ));
        Ok(holder.serve(&self.listener).context("failed to answer")?)
    }
}

/// The scenarios where nobody enforces; those that would show nothing are left out, and told.
fn unenforced(scenarios: &[Scenario]) -> Vec<Scenario> {
    let (mut shown, mut left_out) = (Vec::new(), BTreeMap::<String, usize>::new());
    for scenario in scenarios {
        match negative::unenforced(scenario) {
            Ok(without) => shown.push(without),
            Err(pointless) => *left_out.entry(pointless.to_string()).or_default() += 1,
        }
    }
    for (reason, count) in left_out {
        say(&format!(
            "{count} scenarios are left out of the negative control: {reason}"
        ));
    }
    shown
}

fn load(arguments: &Run, usual: Option<Families>) -> Result<Vec<Scenario>, Failure> {
    let options = scenario::Options {
        families: Some(match arguments.family {
            Some(FamilyChoice::Ipv4) => Families::Ipv4,
            Some(FamilyChoice::Ipv6) => Families::Ipv6,
            Some(FamilyChoice::Dual) => Families::Dual,
            None => usual.unwrap_or(Families::Dual),
        }),
    };
    let library = [PathBuf::from(LIBRARY)];
    let paths: &[PathBuf] = if arguments.paths.is_empty() {
        &library
    } else {
        &arguments.paths
    };
    Ok(library::load(paths, &options)?)
}

fn is_selected(scenario: &Scenario, filters: &[String]) -> bool {
    let matches =
        |word: &str| scenario.name.contains(word) || scenario.tags.iter().any(|t| t == word);
    let (without, with): (Vec<&str>, Vec<&str>) = filters
        .iter()
        .map(String::as_str)
        .partition(|f| f.starts_with('!'));
    (with.is_empty() || with.into_iter().any(matches))
        && !without.into_iter().any(|word| matches(&word[1..]))
}

fn fabrics(
    scenario: &Scenario,
    choice: Option<FabricChoice>,
) -> impl Iterator<Item = Fabric> + use<> {
    let chosen = match (scenario.fabric, choice) {
        (Some(fabric), _) => vec![fabric],
        (None, None) => vec![usual_fabric()],
        (None, Some(FabricChoice::Bridge)) => vec![Fabric::Bridge],
        (None, Some(FabricChoice::Routed)) => vec![Fabric::Routed],
        (None, Some(FabricChoice::Both)) => vec![Fabric::Bridge, Fabric::Routed],
    };
    chosen.into_iter()
}

fn workers(arguments: &Run) -> usize {
    arguments
        .jobs
        .map_or_else(runner::usual_workers, NonZero::get)
}

fn coverage_of_passes(results: &RunReport) -> Coverage {
    let passed = results
        .scenarios
        .iter()
        .filter(|scenario| scenario.conclusion == Conclusion::Passed);
    Coverage::of(passed.map(|scenario| (scenario.id.as_str(), scenario.covers.as_slice())))
}

/// Annotations and a summary, where this runs as a step of a GitHub workflow.
fn tell_github(results: &RunReport) -> Result<(), Failure> {
    if std::env::var_os("GITHUB_ACTIONS").is_some() {
        print(&report::github::annotations(results));
    }
    match std::env::var_os("GITHUB_STEP_SUMMARY") {
        Some(path) => report::github::append_summary(Path::new(&path), results)
            .map_err(|error| Failure::Environment(error.into())),
        None => Ok(()),
    }
}

fn write_report(file: &ReportFile, results: &RunReport) -> Result<(), Failure> {
    let written = match file {
        ReportFile::Junit(path) => report::junit::write(path, results),
        ReportFile::Json(path) => report::json::write(path, results),
    };
    written.map_err(|error| Failure::Environment(error.into()))
}
