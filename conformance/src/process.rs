//! The one place of this crate that starts processes.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

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
pub(crate) fn foreground(program: &str) -> Command {
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
