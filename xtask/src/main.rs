//! The repository's chores as ordinary Rust: `cargo xtask --help`.
//!
//! `ci` is the gate: what it runs is what lands. `demo`, `bench` and `schema` are short names for
//! what a person types often.

mod bench;
mod ci;
mod deploy;
mod image;
mod process;
mod promises;
mod readme;
mod tidy;
mod unprivileged;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::process::Cargo;

/// The repository's chores.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that must be green before a change lands.
    Ci,
    /// Real packets, real policies, real nftables: the first thing to try.
    Demo {
        /// Arguments of `portcullis demo`, for example `--write DIR`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measures, prints a table and one `NAME VALUE UNIT` line per figure.
    Bench {
        /// Which benchmark.
        #[arg(value_parser = ["packet", "update", "compile", "churn", "oracle", "sim"])]
        name: String,
        /// Further arguments of the benchmark: `--help` names them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Writes enforcer/deploy/install.yaml anew from the Helm chart.
    Deploy {
        /// Prints the manifests that these values lead to instead, as `helm template` does.
        #[arg(long, value_name = "FILE")]
        values: Option<PathBuf>,
    },
    /// Writes OCI archives of the agent and the probe; needs no container engine.
    Image(image::Arguments),
    /// Writes scenarios/scenario.schema.json anew from the types.
    Schema,
    /// Checks the rules of the repository that no compiler knows.
    Tidy,
    /// Runs every test program as an ordinary user; needs root to become one.
    Unprivileged,
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().chore {
        Chore::Ci => ci::run().map(|()| ExitCode::SUCCESS),
        Chore::Demo { arguments } => Cargo::portcullis("demo").args(arguments).status(),
        Chore::Bench { name, arguments } => {
            let is_quick = arguments.iter().any(|argument| argument == "--quick");
            Cargo::bench(&name, is_quick).args(arguments).status()
        }
        Chore::Deploy { values } => match values {
            None => deploy::run(),
            Some(values) => deploy::print(&values),
        }
        .map(|()| ExitCode::SUCCESS),
        Chore::Image(arguments) => image::run(&arguments).map(|()| ExitCode::SUCCESS),
        Chore::Schema => Cargo::portcullis("schema")
            .args(["--write", "scenarios/scenario.schema.json"])
            .status(),
        Chore::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
        Chore::Unprivileged => unprivileged::run().map(|()| ExitCode::SUCCESS),
    }
}
