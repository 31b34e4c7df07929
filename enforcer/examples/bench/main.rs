//! How fast Portcullis is: `cargo xtask bench NAME`.
//!
//! Every benchmark prints tables, and at the end one line `NAME VALUE UNIT` per figure. What is
//! compared is measured in turns in one process, in namespaces of the same making, because machines
//! are noisy: the ratio is the result.
//!
//! | module | what is in it |
//! |---|---|
//! | `packet` | what new and established connections cost |
//! | `update` | from an event to the kernel's commit |
//! | `churn` | a steady stream of events; the start with a large cluster |
//! | `compile`, `shape` | from objects to a plan, for the published shapes |
//! | `object`, `city` | objects in one line each, and clusters of any size made of them |
//! | `rival` | the classic enforcers |
//! | `process` | memory and processor time |
//! | `sample`, `report`, `plot` | what is made of measurements |

mod churn;
mod city;
mod compile;
mod object;
mod packet;
mod plot;
mod process;
mod report;
mod rival;
mod sample;
mod shape;
mod update;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use netsim::sandbox::{Sandbox, SandboxError};

use crate::{
    report::{Machine, Output, Report, progress},
    rival::program::{self, Missing},
};

/// The machine cannot do it; as `portcullis` says it.
const ENVIRONMENT: u8 = 3;

#[derive(Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    name: Name,
}

#[derive(Subcommand)]
enum Name {
    Packet(packet::Arguments),
    Update(update::Arguments),
    Compile(compile::Arguments),
    Churn(churn::Arguments),
}

impl Name {
    fn output(&self) -> &Output {
        match self {
            Self::Packet(arguments) => &arguments.output,
            Self::Update(arguments) => &arguments.output,
            Self::Compile(arguments) => &arguments.output,
            Self::Churn(arguments) => &arguments.output,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = measure(&arguments.name);
    program::clean();
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("error: failed to {error:#}"));
            if error.is::<Missing>() || error.is::<SandboxError>() {
                ENVIRONMENT.into()
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn measure(name: &Name) -> Result<()> {
    let machine = Machine::look();
    let _sandbox = Sandbox::enter()?;
    let mut report = Report::new(name.output().clone());
    match name {
        Name::Packet(arguments) => packet::run(arguments, &mut report)?,
        Name::Update(arguments) => update::run(arguments, &mut report)?,
        Name::Compile(arguments) => compile::run(arguments, &mut report)?,
        Name::Churn(arguments) => churn::run(arguments, &mut report)?,
    }
    report.finish(&machine)
}
