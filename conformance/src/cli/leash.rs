//! `portcullis leash PROGRAM …`, which nobody types: runs a program that ends when the one that
//! started it does, however that ends. Agents of `--backend api` are started so.

use std::{ffi::OsString, os::unix::process::CommandExt as _};

use anyhow::Context as _;
use nix::sys::{prctl, signal::Signal};

use super::Failure;
use crate::{process, report::Exit};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the program; returns only if that is not to be had.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("failed to be told of the end of the parent")?;
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Failure::Usage("no program".to_owned()));
    };
    let error = process::foreground(program).args(rest).exec();
    let program = program.display();
    Err(Failure::Environment(
        anyhow::Error::new(error).context(format!("failed to start {program}")),
    ))
}
