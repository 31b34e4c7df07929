//! Plays every scenario of the library as a test of its own, on both fabrics.
//!
//! The files are found when the tests run: a new one needs no recompilation and no registration.
//! Where no sandbox can be had, every test is reported as ignored, with the reason.

use std::{cmp::Reverse, env, path::PathBuf, process::ExitCode, sync::Arc};

use conformance::{
    backend::sim::Sim,
    library,
    report::{Conclusion, ScenarioReport, human},
    runner::{self, Observer, Options, Play, Simulator},
    scenario::{self, Fabric, Scenario},
};
use enforcer::diagnostic::Render;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netsim::sandbox::Sandbox;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments
        .test_threads
        .get_or_insert_with(runner::usual_workers);
    // Before any thread starts, and only if something is going to be played.
    let sandbox = if arguments.list {
        Ok(None)
    } else {
        Sandbox::enter().map(Some)
    };
    let blocked = sandbox.as_ref().err().map(ToString::to_string);
    let trials = match library::load(&[folder()], &scenario::Options::default()) {
        Ok(scenarios) => trials(scenarios, blocked.as_deref()),
        Err(diagnostics) => {
            let text = diagnostics.render(Render::Plain);
            vec![Trial::test("every file can be read", move || {
                Err(Failed::from(text))
            })]
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Where the scenarios are: beside this crate, also in a copy of the repository.
fn folder() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR");
    let own = manifest.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.join("../scenarios")
}

fn trials(scenarios: Vec<Scenario>, blocked: Option<&str>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for scenario in scenarios.into_iter().map(Arc::new) {
        let fabrics = match scenario.fabric {
            Some(fabric) => vec![fabric],
            None => vec![Fabric::Bridge, Fabric::Routed],
        };
        for fabric in fabrics {
            let scenario = scenario.clone();
            let effort = Play {
                scenario: &scenario,
                fabric,
            }
            .effort();
            let name = format!("{} on {fabric}", scenario.name);
            let blocked = blocked.map(str::to_owned);
            let trial = Trial::ignorable_test(name, move || play(&scenario, fabric, blocked));
            trials.push((effort, trial));
        }
    }
    // A long one that begins last would be waited for alone.
    trials.sort_by_key(|(effort, _)| Reverse(*effort));
    trials.into_iter().map(|(_, trial)| trial).collect()
}

fn play(
    scenario: &Scenario,
    fabric: Fabric,
    blocked: Option<String>,
) -> Result<Completion, Failed> {
    if let Some(reason) = blocked {
        return ignored(reason);
    }
    let options = Options {
        workers: 1,
        ..Options::default()
    };
    let report = runner::run_one(Play { scenario, fabric }, &Simulator, options, &Silent);
    match &report.conclusion {
        Conclusion::Passed => Ok(Completion::Completed),
        Conclusion::Skipped { reason } => ignored(reason.clone()),
        _ => Err(Failed::from(human::block(&report))),
    }
}

/// The gate's machine has everything: there, what cannot be played is a failure.
fn ignored(reason: String) -> Result<Completion, Failed> {
    if env::var_os("PORTCULLIS_CI").is_some() {
        return Err(Failed::from(reason));
    }
    Ok(Completion::ignored_with(reason))
}

/// The harness says itself what began and what ended.
struct Silent;

impl Observer<Sim> for Silent {
    fn started(&self, _id: &str) {}

    fn finished(&self, _play: Play<'_>, _report: &ScenarioReport, _cluster: Option<Sim>) {}
}
