//! Namespaces of the tests' own.

use std::fs;

use enforcer::nft::{Dataplane, Netlink, remove_table};
use libtest_mimic::Failed;
use netsim::{Netns, sandbox::Sandbox};

/// Leaves the machine's network namespace: as it is where the privilege is there, in a user
/// namespace otherwise. To be called while there is one thread; why not, if it does not work.
pub(crate) fn enter() -> Result<(), String> {
    match Sandbox::enter() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string().replace('\n', " ")),
    }
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
    let made = Netns::new().and_then(|netns| netns.run(body));
    made.map_err(|error| format!("failed to make a network namespace: {error}").into())
}
