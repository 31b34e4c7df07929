//! The private corner of the machine that simulated clusters live in.
//!
//! [`Sandbox::enter`] moves the whole process into mount and network namespaces of its own, and,
//! where it has no privilege, into a user namespace in which it has them all. It comes first in
//! `main`: the kernel refuses a process that already has threads. Nothing is left behind when the
//! process ends, however it ends.
//!
//! [`Sandbox::beside_network`] is the same, but that the process stays in the network it is in.
//! [`Sandbox::join`] is for a second process that wants to look into the sandbox of a first.
//!
//! - [`blocked`]: why a sandbox cannot be had, and what helps.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::CloneFlags,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        stat::fstat,
    },
    unistd::{getegid, geteuid},
};

use crate::netns::Netns;

pub mod blocked;

pub use blocked::{Blocked, SandboxError};

/// Proof that the process is inside a sandbox, where namespaces can be made.
#[derive(Debug)]
pub struct Sandbox {
    unprivileged: bool,
}

impl Sandbox {
    /// Moves the process into a sandbox. First thing in `main`, before any thread starts.
    ///
    /// With the capabilities of an administrator: new network and mount namespaces. Without: a new
    /// user namespace beside them, in which the caller is root and nobody else exists. The limit
    /// of open files is raised to the hard one, because every pod and every probe needs some.
    ///
    /// # Errors
    /// [`SandboxError`] says what is in the way and what helps. The process is as it was then,
    /// except after [`SandboxError::Setup`].
    pub fn enter() -> Result<Self, SandboxError> {
        Self::leave_all(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
    }

    /// The same for a process that goes on talking to others: it stays in its network namespace, in
    /// which it changes nothing. Those that it makes are separate from it all the same.
    ///
    /// # Errors
    /// As [`Sandbox::enter`].
    pub fn beside_network() -> Result<Self, SandboxError> {
        Self::leave_all(CloneFlags::CLONE_NEWNS)
    }

    fn leave_all(separate: CloneFlags) -> Result<Self, SandboxError> {
        if blocked::threads() > 1 {
            return Err(Blocked::Threads.into());
        }
        let unprivileged = !blocked::is_administrator() || leave(separate).is_err();
        if unprivileged {
            let (user, group) = (geteuid(), getegid());
            leave(separate | CloneFlags::CLONE_NEWUSER).map_err(blocked::diagnose)?;
            write("/proc/self/setgroups", "deny")?;
            write("/proc/self/uid_map", &format!("0 {user} 1"))?;
            write("/proc/self/gid_map", &format!("0 {group} 1"))?;
        }
        let keep_mounts_here = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            keep_mounts_here,
            None::<&str>,
        )
        .map_err(|error| setup("make the mounts private", error.into()))?;
        raise_open_files().map_err(|error| setup("raise the limit of open files", error))?;
        Ok(Self { unprivileged })
    }

    /// Moves the process into the user, mount and network namespaces of process `pid`. First thing
    /// in `main`, before any thread starts. The working directory stays what it was where the other
    /// side has it too, else it is `/`.
    ///
    /// # Errors
    /// Where the process does not exist, belongs to somebody else, or this one has threads.
    pub fn join(pid: u32) -> Result<Self, JoinError> {
        let fail = |source| JoinError { pid, source };
        if blocked::threads() > 1 {
            return Err(fail(Errno::EINVAL.into()));
        }
        let folder = PathBuf::from(format!("/proc/{pid}/ns"));
        let directory = env::current_dir();
        let theirs = |name: &str| File::open(folder.join(name)).map_err(fail);
        let (user, mounts, network) = (theirs("user")?, theirs("mnt")?, theirs("net")?);
        let own_user = File::open("/proc/self/ns/user").map_err(fail)?;
        let other_user = !is_same(&own_user, &user).map_err(fail)?;
        // The kernel refuses to enter the user namespace one is in already. The others need the
        // privileges that the user namespace gives, so it comes first.
        if other_user {
            enter(&user, CloneFlags::CLONE_NEWUSER).map_err(fail)?;
        }
        enter(&network, CloneFlags::CLONE_NEWNET).map_err(fail)?;
        enter(&mounts, CloneFlags::CLONE_NEWNS).map_err(fail)?;
        let back = directory.and_then(env::set_current_dir);
        back.or_else(|_| env::set_current_dir("/")).map_err(fail)?;
        Ok(Self {
            unprivileged: other_user,
        })
    }

    /// Moves the process into one network namespace of the sandbox for good, so that a command it
    /// starts next runs there.
    ///
    /// # Errors
    /// Where the namespace cannot be entered.
    pub fn settle(&self, namespace: &Netns) -> io::Result<()> {
        namespace.settle()
    }

    /// Whether the sandbox has a user namespace of its own.
    #[must_use]
    pub fn is_unprivileged(&self) -> bool {
        self.unprivileged
    }
}

/// Why the sandbox of another process cannot be joined.
#[derive(Debug, thiserror::Error)]
#[error("join the sandbox of process {pid}")]
pub struct JoinError {
    /// The other process.
    pub pid: u32,
    /// What the kernel says.
    pub source: io::Error,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that makes a sandbox"
)]
fn leave(flags: CloneFlags) -> Result<(), Errno> {
    nix::sched::unshare(flags)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that joins a sandbox"
)]
fn enter(namespace: &File, kind: CloneFlags) -> io::Result<()> {
    nix::sched::setns(namespace, kind).map_err(Into::into)
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

fn write(path: &'static str, text: &str) -> Result<(), SandboxError> {
    // AppArmor lets the namespace be made on some kernels and refuses what comes next.
    fs::write(Path::new(path), text).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => blocked::diagnose(Errno::EPERM),
        _ => setup(path, error),
    })
}

fn setup(what: &'static str, source: io::Error) -> SandboxError {
    SandboxError::Setup { what, source }
}

/// Raises the limit of open files to the hard one: every pod and every probe needs some.
///
/// # Errors
/// Where the kernel refuses.
pub fn raise_open_files() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}
