//! `portcullis test`.

use std::{
    num::NonZero,
    path::PathBuf,
    str::FromStr,
    thread,
};

use super::{Failure, colour_on_stderr, enter_sandbox, print, say};
use crate::{
    backend::sim::DataplaneKind,
    library,
    report::{self, Exit},
    runner::{self, Play},
    scenario::{self, Fabric, Families, Scenario},
};

/// Where scenarios are looked for if no path is given.
const LIBRARY: &str = "scenarios";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis test                              every scenario under scenarios/
  portcullis test scenarios/ipblock -k except  those with `except` in their name or as a tag
  portcullis test -k udp -k '!sctp'            several filters: any that matches, none with !
  portcullis test --fabric both --report junit=results.xml")]
pub(super) struct Arguments {
    /// Scenario files, or folders of them [default: scenarios].
    paths: Vec<PathBuf>,
    /// Only scenarios with this in their name, or with exactly this tag; `!WORD` leaves those out.
    #[arg(short = 'k', long = "filter", value_name = "WORD")]
    filters: Vec<String>,
    /// How many scenarios at a time [default: the number of processors].
    #[arg(short, long, value_name = "N", env = "PORTCULLIS_TEST_JOBS")]
    jobs: Option<NonZero<usize>>,
    /// How pods hang on their node, where the scenario leaves it open.
    #[arg(long, default_value = "bridge", env = "PORTCULLIS_TEST_FABRIC")]
    fabric: FabricChoice,
    /// Which addresses pods have, where the scenario leaves it open.
    #[arg(long, default_value = "dual", env = "PORTCULLIS_TEST_FAMILY")]
    family: FamilyChoice,
    /// How rules reach the kernel.
    #[arg(long, default_value = "netlink", env = "PORTCULLIS_TEST_DATAPLANE")]
    dataplane: DataplaneKind,
    /// Keep the cluster of the first scenario that fails, until `portcullis sim down`.
    #[arg(long)]
    keep: bool,
    /// Also write the results to a file; may be repeated.
    #[arg(long = "report", value_name = "junit=FILE|json=FILE")]
    reports: Vec<ReportFile>,
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
    let scenarios = load(arguments)?;
    let selected: Vec<&Scenario> = scenarios
        .iter()
        .filter(|scenario| is_selected(scenario, &arguments.filters))
        .collect();
    let plays: Vec<Play<'_>> = selected
        .iter()
        .flat_map(|scenario| fabrics(scenario, arguments.fabric).map(|fabric| Play { scenario, fabric }))
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
    let _sandbox = enter_sandbox()?;
    let options = runner::Options {
        dataplane: arguments.dataplane,
        workers: workers(arguments),
    };
    let progress = report::progress::Progress::new(plays.len(), colour_on_stderr());
    let results = runner::run(&plays, options, &progress);
    progress.end(&results);
    for file in &arguments.reports {
        write_report(file, &results)?;
    }
    Ok(Exit::of(&results))
}

fn load(arguments: &Arguments) -> Result<Vec<Scenario>, Failure> {
    let options = scenario::Options {
        families: Some(match arguments.family {
            FamilyChoice::Ipv4 => Families::Ipv4,
            FamilyChoice::Ipv6 => Families::Ipv6,
            FamilyChoice::Dual => Families::Dual,
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
    let matches = |word: &str| scenario.name.contains(word) || scenario.tags.iter().any(|t| t == word);
    let (without, with): (Vec<&str>, Vec<&str>) =
        filters.iter().map(String::as_str).partition(|f| f.starts_with('!'));
    (with.is_empty() || with.into_iter().any(matches))
        && !without.into_iter().any(|word| matches(&word[1..]))
}

fn fabrics(scenario: &Scenario, choice: FabricChoice) -> impl Iterator<Item = Fabric> + use<> {
    let chosen = match (scenario.fabric, choice) {
        (Some(fabric), _) => vec![fabric],
        (None, FabricChoice::Bridge) => vec![Fabric::Bridge],
        (None, FabricChoice::Routed) => vec![Fabric::Routed],
        (None, FabricChoice::Both) => vec![Fabric::Bridge, Fabric::Routed],
    };
    chosen.into_iter()
}

fn workers(arguments: &Arguments) -> usize {
    let processors = || thread::available_parallelism().map_or(1, NonZero::get);
    arguments.jobs.map_or_else(processors, NonZero::get)
}

fn write_report(file: &ReportFile, results: &report::RunReport) -> Result<(), Failure> {
    let written = match file {
        ReportFile::Junit(path) => report::junit::write(path, results),
        ReportFile::Json(path) => report::json::write(path, results),
    };
    written.map_err(|error| Failure::Environment(error.into()))
}
