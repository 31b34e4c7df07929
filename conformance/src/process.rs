//! The one place of this crate that starts processes.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write as _},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::kind::command::{CommandLine, Ended, Runner};

/// Between two glances at another process.
const PAUSE: Duration = Duration::from_millis(5);

/// A command that outlives this process: a process group of its own, no terminal, output to a file.
///
/// # Errors
/// If the file cannot be shared.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where processes start"
)]
pub(crate) fn background(program: &Path, output: &File) -> io::Result<Command> {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0);
    Ok(command)
}

/// A command that takes this process's place and terminal.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where processes start"
)]
pub(crate) fn foreground(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// What `nft list ruleset` prints in the calling thread's network namespace; nothing without `nft`.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where processes start"
)]
pub(crate) fn list_ruleset() -> Option<String> {
    let nft = enforcer::nft::NftBinary::find().ok()?;
    let listed = Command::new(nft.path())
        .args(["list", "ruleset"])
        .output()
        .ok()?;
    let text = String::from_utf8(listed.stdout).ok()?;
    listed.status.success().then_some(text)
}

/// A short wait inside a loop with a deadline.
#[expect(
    clippy::disallowed_methods,
    reason = "inside loops with a deadline that watch a process"
)]
pub(crate) fn short_pause() {
    thread::sleep(PAUSE);
}

/// Runs programs that are found on the `PATH`, and waits for each.
pub(crate) struct Programs;

impl Runner for Programs {
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is where processes start"
    )]
    fn run(&mut self, command: &CommandLine) -> io::Result<Ended> {
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .envs(
                command
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(if command.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().zip(command.input.as_deref());
        thread::scope(|scope| {
            // A program that answers before it has read everything must not block us.
            scope.spawn(move || {
                if let Some((mut pipe, text)) = input {
                    // A program that ended early says by its exit code why.
                    drop(pipe.write_all(text.as_bytes()));
                }
            });
            let output = child.wait_with_output()?;
            Ok(Ended {
                code: output.status.code(),
                output: String::from_utf8_lossy(&output.stdout).into_owned(),
                complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
            })
        })
    }
}

/// Where a program lies on the `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs a program in this one's terminal and gives its exit code; none after a signal.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where processes start"
)]
pub(crate) fn status(program: &Path, arguments: &[OsString]) -> io::Result<Option<i32>> {
    let status = Command::new(program).args(arguments).status()?;
    Ok(status.code())
}
