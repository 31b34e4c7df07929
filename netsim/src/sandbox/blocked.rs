//! Why a sandbox cannot be had here, and what helps.

use std::{fmt, fs, io};

use nix::errno::Errno;

/// Why [`super::Sandbox::enter`] failed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine does not let this process have namespaces.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The namespaces are there, but could not be furnished.
    #[error("set up the sandbox: {what}")]
    Setup {
        /// The step that failed.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

impl SandboxError {
    /// What was seen on this machine that is in the way.
    #[must_use]
    pub fn seen(&self) -> Option<String> {
        match self {
            Self::Blocked(blocked) => Some(blocked.seen()),
            Self::Setup { .. } => None,
        }
    }

    /// Commands or changes that help, the best first.
    #[must_use]
    pub fn fixes(&self) -> Vec<&'static str> {
        match self {
            Self::Blocked(blocked) => blocked.fixes(),
            Self::Setup { .. } => Vec::new(),
        }
    }
}

/// What keeps a process from having namespaces of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The process has threads already: a mistake of the program.
    Threads,
    /// AppArmor takes the privileges away (Ubuntu 23.10 and later).
    AppArmor,
    /// `user.max_user_namespaces = 0`.
    NoUserNamespaces,
    /// `kernel.unprivileged_userns_clone = 0` (Debian's and Arch's switch).
    NoUnprivilegedClone,
    /// A seccomp filter refuses the call (Docker and Podman by default).
    Seccomp,
    /// So many namespaces exist that the user may not have another.
    TooMany,
    /// The kernel was built without them.
    NotInKernel,
    /// Something else.
    Unknown(Errno),
}

impl Blocked {
    fn cause(&self) -> &'static str {
        match self {
            Self::Threads => "the process already has threads",
            Self::AppArmor => "AppArmor restricts unprivileged user namespaces here",
            Self::NoUserNamespaces | Self::NoUnprivilegedClone => "they are switched off here",
            Self::Seccomp => "a seccomp filter refuses them, as containers have by default",
            Self::TooMany => "this user has as many as allowed",
            Self::NotInKernel => "this kernel was built without them",
            Self::Unknown(_) => "the kernel refuses",
        }
    }

    fn seen(&self) -> String {
        match self {
            Self::Threads => "several entries in /proc/self/task".into(),
            Self::AppArmor => "kernel.apparmor_restrict_unprivileged_userns = 1   \
                (Ubuntu 23.10 and later, GitHub ubuntu-24.04 runners)"
                .into(),
            Self::NoUserNamespaces => "user.max_user_namespaces = 0".into(),
            Self::NoUnprivilegedClone => "kernel.unprivileged_userns_clone = 0".into(),
            Self::Seccomp => "Seccomp: 2 in /proc/self/status, and EPERM".into(),
            Self::TooMany => "ENOSPC: user.max_user_namespaces or user.max_net_namespaces".into(),
            Self::NotInKernel => "no /proc/self/ns/user".into(),
            Self::Unknown(errno) => errno.to_string(),
        }
    }

    fn fixes(&self) -> Vec<&'static str> {
        match self {
            Self::Threads => {
                vec!["enter the sandbox first thing in main (a bug: please report it)"]
            }
            Self::AppArmor => vec![
                "run the same command with sudo",
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            ],
            Self::NoUserNamespaces => vec![
                "run the same command with sudo",
                "sudo sysctl -w user.max_user_namespaces=10000",
            ],
            Self::NoUnprivilegedClone => vec![
                "run the same command with sudo",
                "sudo sysctl -w kernel.unprivileged_userns_clone=1",
            ],
            Self::Seccomp => vec![
                "docker run --privileged …",
                "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
                 --security-opt systempaths=unconfined …",
            ],
            Self::TooMany => vec![
                "end other simulations",
                "sudo sysctl -w user.max_user_namespaces=10000 user.max_net_namespaces=10000",
            ],
            Self::NotInKernel | Self::Unknown(_) => vec!["run the same command with sudo"],
        }
    }
}

/// The cause, then a line each for what was seen and what helps.
impl fmt::Display for Blocked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "create a user namespace ({})", self.cause())?;
        write!(formatter, "  = seen: {}", self.seen())?;
        for (index, fix) in self.fixes().into_iter().enumerate() {
            let label = if index == 0 { "= do:  " } else { "  or:  " };
            write!(formatter, "\n  {label}{fix}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Blocked {}

/// Finds the cause on this machine of what `unshare` answered.
pub(super) fn diagnose(errno: Errno) -> SandboxError {
    name(errno, &Seen::here()).into()
}

/// What the machine says about namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    threads: usize,
    apparmor_restricts: bool,
    max_user_namespaces: Option<u64>,
    unprivileged_clone: Option<u64>,
    seccomp: bool,
    in_kernel: bool,
}

impl Seen {
    fn here() -> Self {
        Self {
            threads: threads(),
            apparmor_restricts: sysctl("kernel/apparmor_restrict_unprivileged_userns") == Some(1),
            max_user_namespaces: sysctl("user/max_user_namespaces"),
            unprivileged_clone: sysctl("kernel/unprivileged_userns_clone"),
            seccomp: status("Seccomp:").as_deref() == Some("2"),
            in_kernel: fs::exists("/proc/self/ns/user").unwrap_or(true),
        }
    }
}

fn name(errno: Errno, seen: &Seen) -> Blocked {
    if seen.threads > 1 {
        Blocked::Threads
    } else if !seen.in_kernel {
        Blocked::NotInKernel
    } else if seen.max_user_namespaces == Some(0) {
        Blocked::NoUserNamespaces
    } else if errno == Errno::ENOSPC {
        Blocked::TooMany
    } else if seen.unprivileged_clone == Some(0) {
        Blocked::NoUnprivilegedClone
    } else if matches!(errno, Errno::EPERM | Errno::EACCES) && seen.apparmor_restricts {
        Blocked::AppArmor
    } else if errno == Errno::EPERM && seen.seccomp {
        Blocked::Seccomp
    } else {
        Blocked::Unknown(errno)
    }
}

/// How many threads the process has; 1 where that cannot be seen.
pub(super) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Whether the process can do without a user namespace: `CAP_NET_ADMIN`, `CAP_NET_RAW` and
/// `CAP_SYS_ADMIN` (bits 12, 13 and 21 of linux/capability.h). Root of a container often cannot.
pub(super) fn is_administrator() -> bool {
    const NEEDED: u64 = 1 << 12 | 1 << 13 | 1 << 21;
    status("CapEff:")
        .and_then(|set| u64::from_str_radix(&set, 16).ok())
        .is_some_and(|set| set & NEEDED == NEEDED)
}

fn sysctl(name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    text.trim().parse().ok()
}

fn status(field: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Seen = Seen {
        threads: 1,
        apparmor_restricts: false,
        max_user_namespaces: Some(96_365),
        unprivileged_clone: None,
        seccomp: false,
        in_kernel: true,
    };

    #[test]
    fn the_cause_is_named_by_what_the_machine_shows() {
        let cases = [
            (Errno::EINVAL, Seen { threads: 4, ..OPEN }, Blocked::Threads),
            (
                Errno::EPERM,
                Seen {
                    apparmor_restricts: true,
                    ..OPEN
                },
                Blocked::AppArmor,
            ),
            (
                Errno::EACCES,
                Seen {
                    apparmor_restricts: true,
                    ..OPEN
                },
                Blocked::AppArmor,
            ),
            (
                Errno::ENOSPC,
                Seen {
                    max_user_namespaces: Some(0),
                    ..OPEN
                },
                Blocked::NoUserNamespaces,
            ),
            (
                Errno::EPERM,
                Seen {
                    unprivileged_clone: Some(0),
                    ..OPEN
                },
                Blocked::NoUnprivilegedClone,
            ),
            (
                Errno::EPERM,
                Seen {
                    seccomp: true,
                    ..OPEN
                },
                Blocked::Seccomp,
            ),
            (Errno::ENOSPC, OPEN, Blocked::TooMany),
            (
                Errno::EINVAL,
                Seen {
                    in_kernel: false,
                    ..OPEN
                },
                Blocked::NotInKernel,
            ),
            (Errno::EPERM, OPEN, Blocked::Unknown(Errno::EPERM)),
        ];
        for (errno, seen, expected) in cases {
            assert_eq!(name(errno, &seen), expected, "{errno} with {seen:?}");
        }
    }

    #[test]
    fn the_text_has_the_cause_what_was_seen_and_what_helps() {
        assert_eq!(
            Blocked::AppArmor.to_string(),
            "create a user namespace (AppArmor restricts unprivileged user namespaces here)\n  \
             = seen: kernel.apparmor_restrict_unprivileged_userns = 1   (Ubuntu 23.10 and later, GitHub ubuntu-24.04 runners)\n  \
             = do:  run the same command with sudo\n    \
             or:  sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        );
    }
}
