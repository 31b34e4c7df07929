//! The agent against an API server: what it makes of lists and watches, and of everything that goes
//! wrong; then as a process, with a kernel.

#[path = "../apiserver/mod.rs"]
mod apiserver;

mod container;
mod follow;
mod installed;
mod links;
mod machine;
mod measure;
mod objects;
mod process;
mod recorder;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

type Outcome = Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let possible = machine::enter();
    let mut trials = follow::trials();
    trials.extend(process::trials(&possible));
    trials.extend(installed::trials(&possible));
    trials.push(trial("measure", measure::measure).with_ignored_flag(true));
    trials.push(trial("measure_wide", measure::measure_wide).with_ignored_flag(true));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: fn() -> Outcome) -> Trial {
    Trial::test(name, test)
}

fn ensure(condition: bool, message: impl Into<Failed>) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(message.into())
    }
}
