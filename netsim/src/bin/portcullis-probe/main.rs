//! `portcullis-probe`: what runs in the pods of a conformance run on a real cluster.
//!
//! - `serve` is the first process of a container: it listens ([`serve`]);
//! - `probe` is started beside it, and tries connections from the same namespace
//!   ([`netsim::remote`]);
//! - `ready` and `end` speak with `serve` through a socket that has no file ([`door`]): the image has
//!   no shell, and the root file system is read-only.
//!
//! Nothing here needs a privilege, except SCTP, which is spoken on raw sockets (`CAP_NET_RAW`).

mod door;
mod serve;

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use netsim::{remote::session, sandbox};

/// Listens and probes inside the pods of a conformance run.
#[derive(Debug, Parser)]
#[command(name = "portcullis-probe", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Listens until it is told to end, and says to everybody who it is and whom it sees.
    Serve(serve::Arguments),
    /// Reads questions from standard input, a JSON object per line, and answers them on standard
    /// output. Ends with its input.
    #[command(after_help = "\
Example:
  echo '{\"id\": 1, \"ask\": {\"probe\": {\"deadline_us\": 250000, \"calls\": [
    {\"to\": \"10.0.0.1\", \"port\": 80, \"protocol\": \"tcp\"}]}}}' | tr -d '\\n' | portcullis-probe probe")]
    Probe,
    /// Exits with 0 if `serve` listens.
    Ready(door::Which),
    /// Ends `serve`.
    End(End),
}

#[derive(Debug, clap::Args)]
struct End {
    #[command(flatten)]
    which: door::Which,
    /// Its exit code.
    #[arg(long, default_value_t = 0)]
    code: u8,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let mut text = format!("error: failed to {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            // Nobody reads it: the exit code still says something.
            let _written = writeln!(io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<u8, Box<dyn Error>> {
    // Where that is not allowed, fewer probes go at once.
    let _raised = sandbox::raise_open_files();
    match command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Probe => {
            session::run(io::stdin().lock(), io::stdout())?;
            Ok(0)
        }
        Command::Ready(which) => {
            which.knock("ready")?;
            Ok(0)
        }
        Command::End(end) => {
            end.which.knock(&format!("end {}", end.code))?;
            Ok(0)
        }
    }
}
