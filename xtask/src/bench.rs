//! The benchmarks in the gate: that each of them works, not how fast anything is.

use std::path::Path;

use anyhow::Result;

use crate::process::{Cargo, say};

/// What classic enforcers need, and where Debian has it.
const PROGRAMS: [&str; 3] = ["iptables", "ipset", "nft"];
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Runs all of them as `--quick` as they can, without the competitors that are not here.
pub(crate) fn check() -> Result<()> {
    let has_competitors = PROGRAMS.iter().all(|program| {
        let mut folders = FOLDERS.iter();
        folders.any(|folder| Path::new(folder).join(program).is_file())
    });
    if !has_competitors {
        say("ci: benchmarks without iptables, ipset and nft, because they are not all here");
    }
    for name in ["packet", "update"] {
        let without = (!has_competitors).then_some("--ours-only");
        let bench = Cargo::bench(name, true).args(["--quick"]);
        bench.args(without).check()?;
    }
    for name in ["compile", "churn", "oracle"] {
        Cargo::bench(name, true).args(["--quick"]).check()?;
    }
    Ok(())
}
