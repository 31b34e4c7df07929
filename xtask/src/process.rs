//! The one place of this crate that starts processes.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};

/// A command line under construction, run in the root of the workspace.
pub(crate) struct Cargo {
    shown: Vec<String>,
    command: Command,
}

impl Cargo {
    /// Any program.
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is where processes start"
    )]
    pub(crate) fn program(program: &str) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self {
            shown: vec![program.to_owned()],
            command,
        }
    }

    /// `cargo SUBCOMMAND`, with the cargo that runs us.
    pub(crate) fn new(subcommand: &str) -> Self {
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut this = Self::program(&cargo).args([subcommand]);
        this.shown[0] = "cargo".to_owned();
        this
    }

    /// `portcullis SUBCOMMAND`, built first.
    pub(crate) fn portcullis(subcommand: &str) -> Self {
        Self::new("run").args(["--quiet", "--bin", "portcullis", "--", subcommand])
    }

    /// The benchmark of this name, built first: optimised, unless it is to be quick and is built for
    /// the tests anyway.
    pub(crate) fn bench(name: &str, is_quick: bool) -> Self {
        // Of all of the workspace, so that what the tests are built of is used again.
        let mut this = Self::new("run").args(["--quiet"]);
        if !is_quick {
            this = this.args(["--release"]);
        }
        match name {
            // These play scenarios and ask the oracle.
            "sim" => this.args(["--example", "bench-sim", "--"]),
            "oracle" => this.args(["--example", "bench-oracle", "--"]),
            _ => this.args(["--example", "bench", "--", name]),
        }
    }

    pub(crate) fn args<I>(mut self, arguments: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        for argument in arguments {
            self.shown
                .push(argument.as_ref().to_string_lossy().into_owned());
            self.command.arg(argument);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.shown.insert(0, format!("{name}={value}"));
        self.command.env(name, value);
        self
    }

    pub(crate) fn directory(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it and returns what it printed; its errors go where ours go.
    pub(crate) fn output(mut self) -> Result<String> {
        let shown = self.shown.join(" ");
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("failed to start `{shown}`"))?;
        if !output.status.success() {
            bail!("`{shown}` failed: {}", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no UTF-8"))
    }

    /// Runs it, and hands on how it ended.
    pub(crate) fn status(mut self) -> Result<ExitCode> {
        let status = self
            .command
            .status()
            .with_context(|| format!("failed to start `{}`", self.shown.join(" ")))?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }

    /// Runs it, and fails unless it succeeded.
    pub(crate) fn check(mut self) -> Result<()> {
        let shown = self.shown.join(" ");
        say(&format!("$ {shown}"));
        let status = self
            .command
            .status()
            .with_context(|| format!("failed to start `{shown}`"))?;
        if !status.success() {
            bail!("`{shown}` failed: {status}");
        }
        Ok(())
    }
}

/// One line for the person who watches.
#[expect(clippy::print_stderr, reason = "chores talk to a person")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies one level below the root")
        .to_owned()
}
