//! The gate.

use anyhow::{Context, Result};

use crate::{
    bench,
    process::{Cargo, say},
    readme, tidy,
};

/// Formatting, lints, tidiness, tests, the README's commands and the benchmarks, as the user who
/// calls it. `.ci/run` calls it as root and then runs the tests once more as an ordinary user.
pub(crate) fn run() -> Result<()> {
    Cargo::new("fmt").args(["--all", "--check"]).check()?;
    Cargo::new("clippy")
        .args([
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])
        .check()?;
    tidy::run().context("the repository is not tidy")?;
    Cargo::new("test")
        .args(["--workspace", "--locked"])
        .env("INSTA_UPDATE", "no")
        .env("PORTCULLIS_CI", "1")
        .check()?;
    for command in readme::commands()? {
        if command.contains("git clone") || command.starts_with("cd ") {
            continue; // we are inside the clone already
        }
        if command == "cargo test" {
            continue; // just done
        }
        Cargo::program("sh").args(["-c", &command]).check()?;
    }
    bench::check()?;
    say("ci: everything is green");
    Ok(())
}
