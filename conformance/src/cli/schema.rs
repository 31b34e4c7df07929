//! `portcullis schema`.

use std::{fs, path::PathBuf};

use anyhow::Context;

use super::{Failure, print};
use crate::{report::Exit, scenario};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write it to this file instead.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let text = scenario::schema_text();
    if let Some(file) = &arguments.write {
        fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))?;
    } else {
        print(&text);
    }
    Ok(Exit::Yes)
}
