//! The command as a person meets it: what it prints, how it exits, what it leaves behind.
//!
//! Tests that need a sandbox are reported as ignored, with the reason, where none can be had.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod api;
mod bad_input;
mod blocked;
mod coverage;
mod fuzz;
mod kept;
mod latency;
mod plays;
mod portcullis;

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::portcullis::Portcullis;

/// A test by its name.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let reason = if arguments.list {
        None
    } else {
        sandbox_is_blocked()
    };
    let mut trials = Vec::new();
    let without_sandbox = [
        api::MISTAKES,
        bad_input::TESTS,
        coverage::TESTS,
        fuzz::TESTS,
        latency::MISTAKES,
    ]
    .concat();
    for (name, test) in without_sandbox {
        trials.push(Trial::test(name, move || {
            test();
            Ok(())
        }));
    }
    for (name, test) in [
        api::TESTS,
        plays::TESTS,
        kept::TESTS,
        latency::TESTS,
        blocked::TESTS,
    ]
    .concat()
    {
        let reason = reason.clone();
        trials.push(Trial::ignorable_test(name, move || match reason {
            Some(reason) if env::var_os("PORTCULLIS_CI").is_some() => Err(Failed::from(reason)),
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => {
                test();
                Ok(Completion::Completed)
            }
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why no sandbox can be had; the command says it itself.
fn sandbox_is_blocked() -> Option<String> {
    let demo = Portcullis::new(&["demo"]).run();
    (demo.code == 3).then_some(demo.stderr)
}
