//! The cluster back end against something that behaves as a cluster does: an API server of tests, nodes
//! that run pods ([`kubelet`]), and streams into them by the protocol of `exec` ([`front`]). Pods are
//! network namespaces, what runs in them is the real `portcullis-probe`, and the packets are real.
//!
//! Where a sandbox or the program is missing, every test is reported as ignored, with the reason.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps says what failed, and where"
)]

#[path = "../../../enforcer/tests/apiserver/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "what goes wrong on command is for the tests of the agent"
)]
mod apiserver;
mod front;
mod kubelet;
mod plays;

use std::{env, path::PathBuf, process::ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netsim::sandbox::Sandbox;

/// Where the program is that pods run, if not beside the tests.
const PROBE: &str = "PORTCULLIS_PROBE_BINARY";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before any thread starts, and only if something is going to be played.
    let sandbox = match arguments.list {
        true => Ok(None),
        false => Sandbox::beside_network().map(Some),
    };
    let blocked = sandbox.as_ref().err().map(ToString::to_string);
    let blocked = blocked.or_else(|| probe().err());
    let is_gate = env::var_os("PORTCULLIS_CI").is_some();
    let trials = plays::all().into_iter().map(|(name, play)| {
        let blocked = blocked.clone();
        Trial::ignorable_test(name, move || match blocked {
            None => play().map(|()| Completion::Completed).map_err(Failed::from),
            Some(reason) if is_gate => Err(reason.into()),
            Some(reason) => Ok(Completion::ignored_with(reason.replace('\n', " "))),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The program that pods run.
fn probe() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os(PROBE) {
        return Ok(path.into());
    }
    // The tests are one folder below the programs.
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let folder = own.ancestors().nth(2).unwrap_or(&own);
    let beside = folder.join("portcullis-probe");
    match beside.is_file() {
        true => Ok(beside),
        false => Err(format!(
            "there is no {}: cargo build --package netsim --bin portcullis-probe",
            beside.display()
        )),
    }
}
