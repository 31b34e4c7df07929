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

/// A test program and the crate it belongs to.
struct TestProgram {
    executable: PathBuf,
    crate_folder: PathBuf,
}

pub(crate) fn run() -> Result<()> {
    let programs = test_programs()?;
    let copy = tempfile::Builder::new()
        .prefix("portcullis-unprivileged-")
        .permissions(fs::Permissions::from_mode(0o777))
        .tempdir()
        .context("failed to make a folder for the copy")?;
    copy_repository(copy.path())?;
    for program in programs {
        let name = program
            .executable
            .file_name()
            .context("a test program without a name")?;
        let executable = copy.path().join(name);
        fs::copy(&program.executable, &executable)?;
        fs::set_permissions(&executable, fs::Permissions::from_mode(0o755))?;
        let folder = copy.path().join(&program.crate_folder);
        Cargo::program("setpriv")
            .args([
                "--reuid",
                ORDINARY_USER,
                "--regid",
                ORDINARY_USER,
                "--clear-groups",
                "--",
            ])
            .args([&executable])
            .env("CARGO_MANIFEST_DIR", &folder.to_string_lossy())
            .env("INSTA_WORKSPACE_ROOT", &copy.path().to_string_lossy())
            .env("HOME", &copy.path().to_string_lossy())
            .directory(&folder)
            .check()?;
        fs::remove_file(&executable)?;
    }
    say("unprivileged: everything is green");
    Ok(())
}

/// Builds the tests and asks cargo where they are.
fn test_programs() -> Result<Vec<TestProgram>> {
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
        let (Some(executable), Some(manifest)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
        ) else {
            continue;
        };
        if is_test {
            let folder = Path::new(manifest)
                .parent()
                .context("a manifest without a folder")?;
            programs.push(TestProgram {
                executable: executable.into(),
                crate_folder: folder.strip_prefix(root())?.to_owned(),
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
