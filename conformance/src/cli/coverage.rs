//! `portcullis coverage`.

use std::path::PathBuf;

use super::{Failure, paint_of_stdout, print};
use crate::{coverage::Coverage, library, report::Exit, scenario};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1 if a line has neither a scenario nor a reason, or both.

Examples:
  portcullis coverage                    what the scenarios under scenarios/ show
  portcullis coverage mine/ --json       what yours show, for programs")]
pub(super) struct Arguments {
    /// Scenario files, or folders of them.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let scenarios = library::load(&arguments.paths, &scenario::Options::default())?;
    let covers = scenarios
        .iter()
        .map(|scenario| (scenario.name.as_str(), scenario.covers.as_slice()));
    let coverage = Coverage::of(covers);
    print(&if arguments.json {
        let text = serde_json::to_string_pretty(&coverage)
            .expect("the model has only string keys and serialisable values");
        text + "\n"
    } else {
        coverage.render(paint_of_stdout())
    });
    Ok(if coverage.is_complete() {
        Exit::Yes
    } else {
        Exit::No
    })
}
