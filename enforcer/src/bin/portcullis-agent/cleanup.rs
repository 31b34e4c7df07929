//! Removes exactly what the agent made: its table.

use anyhow::Context as _;
use enforcer::nft::{Dataplane as _, Netlink, TABLE, remove_table};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Exit, Outcome, arguments::Cleanup, neighbours, place::Netns, say};

/// Removing nothing is no error.
pub(crate) fn cleanup(arguments: &Cleanup) -> Outcome {
    let netns = Netns::new(arguments.place.netns.as_deref());
    let was_there = netns.run(|| -> anyhow::Result<bool> {
        let was_there = neighbours::has_own_table().context("list the names of nftables tables")?;
        if was_there {
            Netlink::open()
                .context("open a netlink socket")?
                .apply(&remove_table())?;
        }
        Ok(was_there)
    })??;
    say(&if was_there {
        format!("removed nftables table inet {TABLE}")
    } else {
        format!("nothing to remove: there is no nftables table inet {TABLE}")
    });
    if arguments.stay {
        wait_for_the_end()?;
    }
    Ok(Exit::Yes)
}

/// Returns at SIGTERM or SIGINT.
fn wait_for_the_end() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("wait for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("wait for signals")?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
