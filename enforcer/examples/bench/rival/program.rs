//! The one place of the benchmarks that starts processes: iptables, ipset and nft, in the network
//! namespace of the calling thread.

use std::{
    env, io,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};

/// Where programs of administrators are, if the path of an ordinary user lacks it.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A program that was found.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: &'static [&'static str],
}

/// The programs of the classic enforcers.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) ipset: Program,
    pub(crate) iptables: Program,
    pub(crate) nft: Program,
}

/// Programs that are not here.
#[derive(Debug, thiserror::Error)]
#[error(
    "find {} (Debian and Ubuntu: apt install {}); `--ours-only` measures without them",
    .programs.join(", "), .packages.join(" ")
)]
pub(crate) struct Missing {
    programs: Vec<&'static str>,
    packages: Vec<&'static str>,
}

impl Programs {
    /// Looks for all of them. Of the two kinds of iptables the older is preferred: the newer makes
    /// nftables rules of what it is told.
    pub(crate) fn find() -> Result<Self, Missing> {
        let (mut programs, mut packages) = (Vec::new(), Vec::new());
        let mut need = |names: &[&'static str], package, arguments| {
            let found = names.iter().find_map(|name| find(name));
            if found.is_none() {
                programs.push(names[names.len() - 1]);
                packages.push(package);
            }
            Program {
                path: found.unwrap_or_default(),
                arguments,
            }
        };
        let restore = ["iptables-legacy-restore", "iptables-restore"];
        let found = Self {
            ipset: need(&["ipset"], "ipset", &["-exist", "restore"]),
            iptables: need(&restore, "iptables", &[]),
            nft: need(&["nft"], "nftables", &["-f", "-"]),
        };
        if programs.is_empty() {
            Ok(found)
        } else {
            Err(Missing { programs, packages })
        }
    }
}

impl Program {
    /// Its name, as on a command line.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Runs it in the network namespace of the calling thread until it ends.
    ///
    /// # Errors
    /// It cannot be started, or it complains.
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is where processes start"
    )]
    pub(crate) fn run(&self, input: &str) -> Result<()> {
        let name = self.name();
        let mut child = Command::new(&self.path)
            .args(self.arguments)
            // Whoever is not root may not lock where root does.
            .env("XTABLES_LOCKFILE", lock())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let stdin = child.stdin.take();
        let output = thread::scope(|scope| -> io::Result<_> {
            // Written beside reading, or both sides could wait for each other with full pipes.
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // A program that ends early says why.
                    drop(stdin.write_all(input.as_bytes()));
                }
            });
            child.wait_with_output()
        })
        .with_context(|| format!("wait for {name}"))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let first: Vec<&str> = complaint.trim().lines().take(5).collect();
            bail!("run {name}: {}: {}", output.status, first.join("\n"));
        }
        Ok(())
    }
}

/// Runs this program once more with other arguments, and returns what it prints.
///
/// # Errors
/// It fails; what it complains of is shown.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where processes start"
)]
pub(crate) fn again(arguments: &[&str]) -> Result<String> {
    let output = Command::new(env::current_exe().context("find this program")?)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("start this program once more")?;
    if !output.status.success() {
        bail!("run {}: {}", arguments.join(" "), output.status);
    }
    String::from_utf8(output.stdout).context("read what was measured")
}

/// A lock of our own: namespaces of our own need no other.
fn lock() -> PathBuf {
    env::temp_dir().join(format!("portcullis-bench-{}.lock", std::process::id()))
}

/// Takes away what running programs has left behind.
pub(crate) fn clean() {
    // It is not there if none was run.
    drop(std::fs::remove_file(lock()));
}

fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
