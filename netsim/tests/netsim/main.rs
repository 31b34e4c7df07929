//! The simulator on the real kernel.
//!
//! The process enters a sandbox before any thread starts. Where that cannot be had, every test is
//! reported as ignored, with the reason.
//!
//! - [`answers`]: what becomes of probes when something is in their way;
//! - [`choice`]: Services that choose in a particular way, and host ports;
//! - [`flows`]: connections that stay open;
//! - [`proxy`]: every form of Service;
//! - [`reach`]: who reaches whom, on both fabrics and in all families;
//! - [`life`]: pods and addresses come and go;
//! - [`leave`]: nothing stays behind;
//! - [`look`]: what a node shows of itself;
//! - [`payload`]: probes that carry something, and probes from chosen ports;
//! - [`program`]: the program that probes from inside pods of real clusters;
//! - [`services`]: Services on all nodes;
//! - [`traffic`]: connections in the background while the world changes;
//! - [`join`]: another process looks in.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps says what failed, and where"
)]

use std::{path::Path, process::ExitCode};

use libtest_mimic::{Arguments, Completion, Trial};
use netsim::sandbox::Sandbox;

mod answers;
mod barrier;
mod choice;
mod flows;
mod join;
mod leave;
mod life;
mod look;
mod payload;
mod program;
mod proxy;
mod reach;
mod services;
mod traffic;
mod world;

/// A name and what to do; it panics where something is not as it should be.
type Test = (String, fn());

fn main() -> ExitCode {
    // The tests start this program again to have another process.
    if let Some(code) = join::act().or_else(leave::act) {
        return code;
    }
    let arguments = Arguments::from_args();
    let sandbox = Sandbox::enter();
    let blocked = sandbox.err().map(|error| on_one_line(&error.to_string()));
    let tests = [
        reach::tests(),
        answers::tests(),
        flows::tests(),
        proxy::tests(),
        choice::tests(),
        life::tests(),
        leave::tests(),
        look::tests(),
        payload::tests(),
        program::tests(),
        services::tests(),
        traffic::tests(),
        join::tests(),
    ];
    let trial = |name: String, test: Box<dyn FnOnce() -> Completion + Send>| {
        let blocked = blocked.clone().or_else(|| no_bridge(&name));
        Trial::ignorable_test(name, move || {
            Ok(blocked.map_or_else(test, Completion::ignored_with))
        })
    };
    let mut trials = vec![
        trial("proxy::nft_lists_the_table".into(), Box::new(proxy::listed)),
        trial(
            "payload::a_narrow_link_needs_its_complaints".into(),
            Box::new(payload::complaints),
        ),
        trial(
            "program::without_privileges_all_but_sctp_is_there".into(),
            Box::new(program::unprivileged),
        ),
    ];
    for (name, test) in tests.into_iter().flatten() {
        let completed = move || {
            test();
            Completion::Completed
        };
        trials.push(trial(name, Box::new(completed)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why a test cannot run that has pods on a bridge: all have but those that say otherwise.
fn no_bridge(name: &str) -> Option<String> {
    let is_there = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists();
    let needs_it = !name.to_lowercase().contains("routed");
    (needs_it && !is_there).then(|| "br_netfilter is not loaded: sudo modprobe br_netfilter".into())
}

/// A reason stands behind the name of its test.
fn on_one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.join(" ")
}
