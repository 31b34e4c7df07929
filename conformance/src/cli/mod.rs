//! The command line of `portcullis`.
//!
//! Whatever needs namespaces enters the sandbox here, before any thread starts. Artefacts go to
//! stdout, everything else to stderr, and the exit code says what became of it ([`Exit`]).

mod choices;
mod cluster;
mod conformance;
mod coverage;
mod demo;
mod fuzz;
mod kind;
mod latency;
mod leash;
mod place;
mod schema;
mod sim;
mod test;

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use enforcer::diagnostic::{Diagnostics, Render};
use netsim::sandbox::{Sandbox, SandboxError};

use crate::{paint::Paint, report::Exit};

/// Kubernetes network policies you can run: real packets, real kernel, no cluster.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    after_help = "Exit codes: 0 yes, 1 no, 2 bad input, 3 the machine cannot, 4 nothing selected, 5 judges disagree"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See policies work: nine pods, two policies, and why one connection is denied.
    Demo(demo::Arguments),
    /// Play scenario files.
    Test(test::Arguments),
    /// Judge an implementation by the whole library, and write down the evidence.
    #[command(subcommand)]
    Conformance(conformance::Command),
    /// Look for disagreements in random worlds.
    Fuzz(fuzz::Arguments),
    /// Time how long changes take to reach the packets.
    Latency(latency::Arguments),
    /// Keep a simulated cluster and play with it.
    #[command(subcommand)]
    Sim(sim::Command),
    /// Run a program that ends with its parent.
    #[command(hide = true)]
    Leash(leash::Arguments),
    /// Say which lines of the semantics list the scenarios show.
    Coverage(coverage::Arguments),
    /// Make a cluster of kind, and play scenarios on it.
    #[command(subcommand)]
    Kind(kind::Command),
    /// Print the JSON Schema of scenario files.
    Schema(schema::Arguments),
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The user's files or arguments.
    #[error("{0}")]
    Input(Diagnostics),
    /// The user's arguments, where no file is to blame.
    #[error("{0}")]
    Usage(String),
    /// No sandbox to be had.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Something else of the machine.
    #[error("{0:#}")]
    Environment(anyhow::Error),
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Input(diagnostics)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Environment(error)
    }
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Input(_) | Self::Usage(_) => Exit::BadInput,
            Self::Sandbox(_) | Self::Environment(_) => Exit::Environment,
        }
    }

    fn report(&self) {
        match self {
            Self::Input(diagnostics) => {
                let how = match paint_of_stderr() {
                    Paint::Color => Render::Color,
                    Paint::Plain => Render::Plain,
                };
                for diagnostic in &diagnostics.0 {
                    say(&diagnostic.render(how));
                }
            }
            Self::Sandbox(error) => {
                say(&format!("error: failed to {error}"));
                say("  = still works: `portcullis test --list` reads and checks scenario files");
            }
            other => say(&format!("error: {other}")),
        }
    }
}

/// Parses the arguments, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Conformance(command) => conformance::run(&command),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Latency(arguments) => latency::run(&arguments),
        Command::Leash(arguments) => leash::run(&arguments),
        Command::Sim(command) => sim::run(&command),
        Command::Coverage(arguments) => coverage::run(&arguments),
        Command::Kind(command) => kind::run(&command),
        Command::Schema(arguments) => schema::run(&arguments),
    };
    let exit = result.unwrap_or_else(|failure| {
        failure.report();
        failure.exit()
    });
    ExitCode::from(exit)
}

/// Leaves the caller's namespaces; what follows may build networks.
fn enter_sandbox() -> Result<Sandbox, Failure> {
    Ok(Sandbox::enter()?)
}

/// The same for what goes on talking to an API server.
fn enter_sandbox_beside_network() -> Result<Sandbox, Failure> {
    Ok(Sandbox::beside_network()?)
}

/// What standard error gets.
fn paint_of_stderr() -> Paint {
    Paint::choose(io::stderr().is_terminal(), |name| env::var(name).ok())
}

/// What standard output gets.
fn paint_of_stdout() -> Paint {
    Paint::choose(io::stdout().is_terminal(), |name| env::var(name).ok())
}

/// A line for the person, on stderr.
#[expect(clippy::print_stderr, reason = "the command line talks to a person")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// The artefact, on stdout.
#[expect(clippy::print_stdout, reason = "the command line's artefact")]
fn print(text: &str) {
    print!("{text}");
}
