//! Transactions through the `nft` command: slower, and it reads every interval set of the network
//! namespace for each change, but it is what people can run by hand.

use std::{
    collections::VecDeque,
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use super::{ApplyError, Dataplane, Transaction, render_json};

/// Directories that ordinary users often do not have in `PATH`.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Processes whose notices may not have been looked at yet; one commit has no more transactions.
const REMEMBERED: usize = 8;

/// The `nft` command, run in the network namespace of the calling thread.
#[derive(Clone, Debug)]
pub struct NftBinary {
    command: PathBuf,
    /// The last processes, the newest at the end.
    processes: VecDeque<u32>,
}

/// There is no `nft` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "find the nft command in PATH, /usr/sbin or /sbin (Debian and Ubuntu: apt install nftables)"
)]
pub struct NftNotFound;

impl NftBinary {
    /// Looks for the command.
    ///
    /// # Errors
    /// There is none.
    pub fn find() -> Result<Self, NftNotFound> {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .chain(SYSTEM_DIRECTORIES.map(PathBuf::from))
            .map(|directory| directory.join("nft"))
            .find(|command| command.is_file())
            .map(|command| Self {
                command,
                processes: VecDeque::new(),
            })
            .ok_or(NftNotFound)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.command
    }

    fn run(&mut self, input: &[u8]) -> io::Result<Output> {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the module that starts processes"
        )]
        let mut child = Command::new(&self.command)
            .args(["-j", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        self.processes.push_back(child.id());
        if self.processes.len() > REMEMBERED {
            self.processes.pop_front();
        }
        let stdin = child.stdin.take();
        thread::scope(|scope| {
            // Written beside reading, or both sides could wait for each other with full pipes.
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // An nft that ends early says why on stderr.
                    let _ = stdin.write_all(input);
                }
            });
            child.wait_with_output()
        })
    }
}

impl Dataplane for NftBinary {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        if transaction.is_empty() {
            return Ok(());
        }
        let input = render_json(transaction).to_string();
        let output = self
            .run(input.as_bytes())
            .map_err(|source| ApplyError::Run {
                command: self.command.clone(),
                source,
            })?;
        if output.status.success() {
            return Ok(());
        }
        Err(ApplyError::Nft {
            total: transaction.len(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
    /// The first netlink socket of a process gets the process's number as its port.
    fn is_sender(&self, port: u32) -> bool {
        self.processes.contains(&port)
    }
}
