//! The library once more with the API in the loop: objects in an API server of tests, and the agents
//! as processes with the rights that they are installed with.
//!
//! One play of every scenario file, on one fabric; the other plays of a file differ in what the server
//! and the agents never see. An ordinary user plays a sample, which shows that no root is needed. Where a sandbox or the agent's program is missing, every test is reported
//! as ignored, with the reason.

#[path = "../../enforcer/tests/apiserver/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "what goes wrong on command is for the tests of the agent"
)]
mod apiserver;

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    env,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use conformance::{
    backend::{
        api::{ApiCluster, ApiServers, Settings},
        live::Target,
    },
    library,
    report::{Conclusion, ScenarioReport, human},
    runner::{self, Observer, Options, Play},
    scenario::{self, Fabric, Scenario},
};
use enforcer::diagnostic::Render;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netsim::sandbox::Sandbox;

use self::apiserver::{ADMIN, ApiServer};

/// An ordinary user plays one of so many files.
const SAMPLE: usize = 8;

/// How many scenarios are played at the same time, each against a server of its own.
const SERVERS: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SERVERS);
    // In the sandbox everybody is.
    let is_root = nix::unistd::geteuid().is_root();
    // Before any thread starts, and only if something is going to be played.
    let sandbox = if arguments.list {
        Ok(None)
    } else {
        Sandbox::beside_network().map(Some)
    };
    let blocked = sandbox.as_ref().err().map(ToString::to_string);
    let servers = Arc::new(Servers::default());
    let trials = match library::load(&[folder()], &scenario::Options::default()) {
        Ok(scenarios) => trials(scenarios, is_root, blocked.as_deref(), &servers),
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

/// The API servers, once somebody plays.
#[derive(Default)]
struct Servers {
    venue: OnceLock<Result<(ApiServers, Vec<ApiServer>), String>>,
}

impl Servers {
    fn venue(&self) -> Result<&ApiServers, String> {
        let venue = self.venue.get_or_init(start);
        venue.as_ref().map(|(venue, _)| venue).map_err(Clone::clone)
    }
}

fn start() -> Result<(ApiServers, Vec<ApiServer>), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut targets = Vec::new();
    let mut servers = Vec::new();
    for number in 0..SERVERS {
        let server = ApiServer::start(apiserver::Settings {
            // As on a bare server: nobody empties namespaces.
            ends_namespaces: false,
            has_rbac: true,
            ..apiserver::Settings::default()
        });
        let kubeconfig = folder.path().join(format!("{number}.kubeconfig"));
        server.write_kubeconfig(&kubeconfig, ADMIN);
        targets.push(Target {
            kubeconfig: Some(kubeconfig),
            context: None,
        });
        servers.push(server);
    }
    let settings = Settings {
        servers: targets,
        agent: env::var_os("PORTCULLIS_AGENT_BINARY").map(PathBuf::from),
        leash: None,
    };
    let venue = ApiServers::connect(&settings).map_err(|error| format!("failed to {error}"))?;
    Ok((venue, servers))
}

/// One play of every file, on bridge and routed by turns where the file does not choose.
fn trials(
    scenarios: Vec<Scenario>,
    is_root: bool,
    blocked: Option<&str>,
    servers: &Arc<Servers>,
) -> Vec<Trial> {
    let mut files = BTreeSet::new();
    let mut trials = Vec::new();
    for (number, scenario) in scenarios.into_iter().enumerate() {
        let is_of_sample = is_root || files.len().is_multiple_of(SAMPLE);
        if !files.insert(scenario.base.clone()) || !is_of_sample {
            continue;
        }
        let by_turns = match number % 2 {
            0 => Fabric::Bridge,
            _ => Fabric::Routed,
        };
        let fabric = scenario.fabric.unwrap_or(by_turns);
        let effort = Play {
            scenario: &scenario,
            fabric,
        }
        .effort();
        let name = format!("{} on {fabric}", scenario.name);
        let (blocked, servers) = (blocked.map(str::to_owned), Arc::clone(servers));
        let trial = Trial::ignorable_test(name, move || play(&scenario, fabric, blocked, &servers));
        trials.push((effort, trial));
    }
    // A long one that begins last would be waited for alone.
    trials.sort_by_key(|(effort, _)| Reverse(*effort));
    trials.into_iter().map(|(_, trial)| trial).collect()
}

fn play(
    scenario: &Scenario,
    fabric: Fabric,
    blocked: Option<String>,
    servers: &Servers,
) -> Result<Completion, Failed> {
    let venue = match blocked.map_or_else(|| servers.venue(), Err) {
        Ok(venue) => venue,
        Err(reason) if env::var_os("PORTCULLIS_CI").is_some() => return Err(reason.into()),
        Err(reason) => return Ok(Completion::ignored_with(reason)),
    };
    let report = runner::run_one(
        Play { scenario, fabric },
        venue,
        Options::default(),
        &Silent,
    );
    match &report.conclusion {
        Conclusion::Passed => Ok(Completion::Completed),
        // What the back end cannot do, wherever it runs.
        Conclusion::Skipped { reason } => Ok(Completion::ignored_with(reason.clone())),
        _ => Err(Failed::from(human::block(&report))),
    }
}

/// The harness says itself what began and what ended.
struct Silent;

impl Observer<ApiCluster> for Silent {
    fn started(&self, _id: &str) {}

    fn finished(&self, _play: Play<'_>, _report: &ScenarioReport, _cluster: Option<ApiCluster>) {}
}
