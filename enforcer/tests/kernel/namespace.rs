//! Namespaces of the tests' own.

use std::{fs, thread};

use enforcer::nft::{Dataplane, Netlink, remove_table};
use libtest_mimic::Failed;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{getegid, geteuid},
};

/// Leaves the machine's network namespace: as it is where the privilege is there, in a user
/// namespace otherwise. To be called while there is one thread; why not, if it does not work.
pub(crate) fn enter() -> Result<(), String> {
    if leave(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    leave(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("neither root nor user namespaces: failed to unshare: {error}"))?;
    for (file, content) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), content)
            .map_err(|error| format!("failed to write {file} of a user namespace: {error}"))?;
    }
    Ok(())
}

/// Whether this kernel has nf_tables.
pub(crate) fn probe() -> Result<(), String> {
    let mut dataplane =
        Netlink::open().map_err(|error| format!("no netfilter netlink: {error}"))?;
    dataplane
        .apply(&remove_table())
        .map_err(|error| format!("no nf_tables: failed to {error}"))
}

/// Whether limits of the machine's first user namespace do not apply.
pub(crate) fn is_privileged() -> bool {
    // The first user namespace maps every id to itself.
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Runs `body` on a thread in a new network namespace, which is gone afterwards.
pub(crate) fn in_new_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> Result<T, Failed> {
    thread::scope(|scope| {
        let run = || {
            leave(CloneFlags::CLONE_NEWNET)
                .map_err(|error| format!("failed to make a network namespace: {error}"))?;
            Ok(body())
        };
        match scope.spawn(run).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator, which owns this, is not among the enforcer's dependencies"
)]
fn leave(namespaces: CloneFlags) -> nix::Result<()> {
    unshare(namespaces)
}
