//! The agent of one node: `portcullis-agent --help`.
//!
//! | module | what is in it |
//! |---|---|
//! | `arguments` | the command line |
//! | `run` | follows the cluster and keeps the node's rules |
//! | `feed` | from the cluster to the agent's thread, and how long that takes |
//! | `events` | tells the owners of policies that cannot be honoured |
//! | `readiness` | what must hold before the node counts as protected |
//! | `serve` | health, metrics and state over HTTP |
//! | `metrics` | what is counted |
//! | `log` | log lines |
//! | `place` | another network namespace than its own |
//! | `neighbours` | other enforcers in the same kernel |
//! | `listing`, `counters` | lists of nftables objects; what our own rules have counted |
//! | `bridge` | whether traffic inside a bridge passes the rules |
//! | `ask` | questions to the running agent |
//! | `caught_up` | waits until the kernel has what the cluster had at some version |
//! | `check`, `cleanup`, `dump`, `log_level`, `render`, `status` | the other commands |
//!
//! Start at `run`. What must never happen: rules that go away because the program ends.

mod arguments;
mod ask;
mod bridge;
mod caught_up;
mod check;
mod cleanup;
mod counters;
mod dump;
mod events;
mod feed;
mod listing;
mod log;
mod log_level;
mod metrics;
mod neighbours;
mod place;
mod readiness;
mod render;
mod run;
mod serve;
mod status;

use std::process::ExitCode;

use clap::Parser;

use self::arguments::{Arguments, Command};

/// What the process tells its caller; the same numbers as those of `portcullis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    /// It worked; the answer is yes.
    Yes = 0,
    /// The answer is no.
    No = 1,
    /// The command line or a file is wrong.
    BadInput = 2,
    /// The machine or the cluster cannot do it.
    Environment = 3,
}

/// An error and what it means for the caller.
struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn bad_input(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        Self {
            exit: Exit::BadInput,
            error,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            exit: Exit::Environment,
            error: error.into(),
        }
    }
}

type Outcome = Result<Exit, Failure>;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(run) => run::run(run),
        Command::Status(status) => status::status(&status),
        Command::Dump(dump) => dump::dump(&dump),
        Command::Render(render) => render::render(&render),
        Command::Cleanup(cleanup) => cleanup::cleanup(&cleanup),
        Command::Check(check) => check::check(&check),
        Command::LogLevel(log_level) => log_level::log_level(&log_level),
        Command::Version => version(),
    };
    let exit = outcome.unwrap_or_else(|failure| {
        say_error(&failure.error);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

/// The whole chain of causes, once.
#[expect(
    clippy::print_stderr,
    reason = "this is where the program says why it ends"
)]
fn say_error(error: &anyhow::Error) {
    eprintln!("error: failed to {error:#}");
}

/// What a command answers.
#[expect(clippy::print_stdout, reason = "this is where commands answer")]
fn say(text: &str) {
    println!("{text}");
}

fn version() -> Outcome {
    say(concat!("portcullis-agent ", env!("CARGO_PKG_VERSION")));
    Ok(Exit::Yes)
}
