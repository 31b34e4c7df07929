//! Removes exactly what the agent made: its table.

use anyhow::Context as _;
use enforcer::nft::{Dataplane as _, Netlink, TABLE, remove_table};

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
    Ok(Exit::Yes)
}
