//! The tests once more without root.
//!
//! Only the finished test programs run as the ordinary user, on a copy of the repository, because
//! neither the checkout nor cargo's registry need be readable to anybody else.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{Cargo, root, say};

/// `nobody` on every Linux.
const ORDINARY_USER: &str = "65534";

/// The commands that some tests run, and the variables by which they are told where the copies are.
const COMMANDS: [(&str, &str); 3] = [
    ("portcullis", "PORTCULLIS_BINARY"),
    ("portcullis-agent", "PORTCULLIS_AGENT_BINARY"),
    ("portcullis-probe", "PORTCULLIS_PROBE_BINARY"),
];

/// A finished program and the crate it belongs to.
struct Program {
    executable: PathBuf,
    crate_folder: PathBuf,
    is_test: bool,
}

pub(crate) fn run() -> Result<()> {
    let programs = programs()?;
    let copy = tempfile::Builder::new()
        .prefix("portcullis-unprivileged-")
        .permissions(fs::Permissions::from_mode(0o777))
        .tempdir()
        .context("failed to make a folder for the copy")?;
    copy_repository(copy.path())?;
    let (tests, others): (Vec<_>, Vec<_>) = programs.iter().partition(|program| program.is_test);
    for program in others {
        program.copy_to(copy.path())?;
    }
    for program in tests {
        program.run_in(copy.path())?;
    }
    say("unprivileged: everything is green");
    Ok(())
}

impl Program {
    fn copy_to(&self, folder: &Path) -> Result<PathBuf> {
        let name = self.executable.file_name();
        let copy = folder.join(name.context("a program without a name")?);
        fs::copy(&self.executable, &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        Ok(copy)
    }

    /// Runs a test program as the ordinary user, on the copy of the repository.
    fn run_in(&self, copy: &Path) -> Result<()> {
        let executable = self.copy_to(copy)?;
        let folder = copy.join(&self.crate_folder);
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let mut test = Cargo::program("setpriv")
            .args(["--reuid", ORDINARY_USER, "--regid", ORDINARY_USER])
            .args(["--clear-groups", "--"])
            .args([&executable])
            .env("CARGO_MANIFEST_DIR", &shown(&folder))
            .env("HOME", &shown(copy))
            .env("INSTA_UPDATE", "no")
            .env("INSTA_WORKSPACE_ROOT", &shown(copy))
            .env("PORTCULLIS_CI", "1")
            .directory(&folder);
        for (command, variable) in COMMANDS {
            test = test.env(variable, &shown(&copy.join(command)));
        }
        test.check()?;
        Ok(fs::remove_file(&executable)?)
    }
}

/// Builds the tests and the commands, and asks cargo where they are.
fn programs() -> Result<Vec<Program>> {
    let messages = Cargo::new("test")
        .args([
            "--workspace",
            "--locked",
            "--no-run",
            "--message-format=json",
        ])
        .output()?;
    let mut programs = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("failed to read cargo's answer")?;
        let is_test = message["profile"]["test"] == Value::Bool(true);
        let name = message["target"]["name"].as_str();
        let is_command = COMMANDS.iter().any(|(command, _)| name == Some(command));
        let (Some(executable), Some(manifest)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
        ) else {
            continue;
        };
        if is_test || is_command {
            let folder = Path::new(manifest).parent();
            let folder = folder.context("a manifest without a folder")?;
            programs.push(Program {
                executable: executable.into(),
                crate_folder: folder.strip_prefix(root())?.to_owned(),
                is_test,
            });
        }
    }
    Ok(programs)
}

/// What git tracks, readable to everyone.
fn copy_repository(to: &Path) -> Result<()> {
    let tracked = Cargo::program("git").args(["ls-files"]).output()?;
    for file in tracked.lines() {
        let target = to.join(file);
        let folder = target.parent().context("a file without a folder")?;
        fs::create_dir_all(folder)?;
        let source = root().join(file);
        if source.is_file() {
            fs::copy(source, &target)?;
        }
    }
    Cargo::program("chmod")
        .args([Path::new("-R"), Path::new("a+rwX"), to])
        .check()
}
