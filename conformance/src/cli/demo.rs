//! `portcullis demo`.

use std::path::PathBuf;

use anyhow::Context;

use super::{Failure, choices::Choices, enter_sandbox, paint_of_stdout, print, say};
use crate::{
    demo::{self, Story},
    matrix::render::Look,
    report::Exit,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Leave the scenario and its policies as files in this folder, and play nothing.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    #[command(flatten)]
    choices: Choices,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if let Some(folder) = &arguments.write {
        let files = demo::write(folder)
            .with_context(|| format!("failed to write to {}", folder.display()))?;
        for file in files {
            say(&format!("wrote {file}"));
        }
        let folder = folder.display();
        say(&format!(
            "Next:  portcullis test {folder}\n       portcullis sim up -f {folder}/demo.yaml"
        ));
        return Ok(Exit::Yes);
    }
    let scenario = demo::scenario()?;
    let _sandbox = enter_sandbox()?;
    let told = demo::play(&scenario, arguments.choices.options())
        .map_err(|error| anyhow::Error::from(error).context("failed to play the demo"))?;
    let Story {
        text,
        judges_agree,
        as_expected,
    } = told.story(Look {
        paint: paint_of_stdout(),
        ..Look::default()
    });
    print(&text);
    say("Next:  portcullis demo --write ./netpol-demo   then   portcullis test ./netpol-demo");
    Ok(match (judges_agree, as_expected) {
        (false, _) => Exit::JudgesDisagree,
        (true, false) => Exit::No,
        (true, true) => Exit::Yes,
    })
}
