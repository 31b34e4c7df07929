//! `portcullis conformance`: the library as evidence about an implementation.

use std::path::PathBuf;

use super::{Failure, say, test};
use crate::report::{
    Exit,
    evidence::{self, Implementation, Subject},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Play the library, and write a folder of reports.
    Run(Arguments),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis conformance run --backend cluster --report out \\
      --project kindnet --implementation-version v1.8.0
  portcullis conformance run --backend cluster --negative-control --report out
                                     proves that the suite can fail: nobody may enforce there

The folder holds README.md and index.html for people, conformance-report.yaml in the shape of the
Gateway API's conformance reports, junit.xml and results.json. Exit codes are those of
`portcullis test`.")]
pub(super) struct Arguments {
    #[command(flatten)]
    run: test::Run,
    /// The folder of the reports; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    report: PathBuf,
    /// Who makes what is judged.
    #[arg(long, default_value = "")]
    organization: String,
    /// The name of what is judged.
    #[arg(long, default_value = "")]
    project: String,
    /// Where it lives.
    #[arg(long, default_value = "")]
    url: String,
    /// Its version.
    #[arg(long, default_value = "", value_name = "VERSION")]
    implementation_version: String,
    /// Whom to ask about it; may be repeated.
    #[arg(long)]
    contact: Vec<String>,
}

pub(super) fn run(command: &Command) -> Result<Exit, Failure> {
    let Command::Run(arguments) = command;
    let implementation = Implementation {
        organization: arguments.organization.clone(),
        project: arguments.project.clone(),
        url: arguments.url.clone(),
        version: arguments.implementation_version.clone(),
        contact: arguments.contact.clone(),
    };
    let command = command_line(std::env::args());
    let subject = Subject {
        implementation: &implementation,
        command: &command,
    };
    test::play(&arguments.run, |results| {
        evidence::write(&arguments.report, results, subject)
            .map_err(|error| Failure::Environment(error.into()))?;
        say(&format!("evidence  {}", arguments.report.display()));
        Ok(())
    })
}

/// What was typed, without the folder that the program lies in.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let words = words.enumerate().map(|(index, word)| match index {
        0 => "portcullis".to_owned(),
        _ => quoted(&word),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The word as a shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_command_back() {
        let words = [
            "/opt/bin/portcullis",
            "conformance",
            "run",
            "-k",
            "!sctp",
            "--project",
            "it's",
        ];
        assert_eq!(
            command_line(words.iter().map(ToString::to_string)),
            r"portcullis conformance run -k '!sctp' --project 'it'\''s'"
        );
    }
}
