//! What the choices of an enforcer do to real packets, on both fabrics and in both families.
//!
//! - `calls`: connections of either protocol, and what becomes of what is said on them;
//! - `stage`: two nodes with pods, one of them enforced;
//! - `revoke`, `hold`, `reject`: one choice each;
//! - `measure`: what it costs.
//!
//! The simulator is used for its wires only: the enforcer does not know of it.

#[path = "../world/mod.rs"]
mod world;

mod calls;
mod hold;
mod measure;
mod reject;
mod revoke;
mod stage;

use std::{path::Path, process::ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netsim::{Fabric, sandbox::Sandbox};

use self::stage::{Family, Stage};

type Outcome = Result<(), Failed>;
/// A name and what to do on a fabric, in a family.
type Test = (&'static str, fn(Fabric, Family) -> Outcome);

/// Tests at the same time.
const THREADS: usize = 12;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They mostly listen to silence.
    arguments.test_threads.get_or_insert(THREADS);
    let blocked = Sandbox::enter().err().map(|error| error.to_string());
    let mut trials = Vec::new();
    for (name, test) in [revoke::TESTS, hold::TESTS, reject::TESTS].concat() {
        for fabric in [Fabric::Bridge, Fabric::Routed] {
            let blocked = blocked.clone().or_else(|| missing(fabric));
            for family in [Family::V4, Family::V6] {
                let blocked = blocked.clone();
                let name = format!("{name} ({fabric:?}, {family:?})").to_lowercase();
                trials.push(Trial::ignorable_test(name, move || match blocked {
                    Some(reason) => Ok(Completion::ignored_with(reason.replace('\n', " "))),
                    None => test(fabric, family).map(|()| Completion::Completed),
                }));
            }
        }
    }
    let measure = Trial::ignorable_test(
        "measure (prints figures; on demand by --ignored --nocapture measure)",
        move || match blocked {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => measure::measure().map(|()| Completion::Completed),
        },
    );
    trials.push(measure.with_ignored_flag(true));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What a fabric needs and the machine lacks.
fn missing(fabric: Fabric) -> Option<String> {
    let is_there = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists();
    (fabric == Fabric::Bridge && !is_there)
        .then(|| "br_netfilter is not loaded: sudo modprobe br_netfilter".into())
}

fn ensure(condition: bool, message: impl Into<Failed>) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(message.into())
    }
}
