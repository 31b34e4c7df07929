//! The ranges of a profile, without overlaps.

use super::rules::Rules;
use crate::plan::{
    Allowed, Block, BlockTable, Grant,
    interval::{self, Interval},
};

/// The ipBlocks of `rules` without overlaps (semantics 66–75): what any of them allows.
fn flat_blocks(rules: &Rules) -> [Vec<(Interval, Allowed)>; 2] {
    [false, true].map(|ipv6| {
        let mut parts = Vec::new();
        for (block, allowed) in &rules.blocks {
            if block.cidr.addr().is_ipv6() != ipv6 {
                continue;
            }
            let holes = block
                .except
                .iter()
                .filter(|hole| hole.addr().is_ipv6() == ipv6)
                .map(Interval::of);
            for left in interval::subtract(Interval::of(&block.cidr), holes) {
                parts.push((left, allowed));
            }
        }
        interval::flatten(&parts, |allowed| Allowed::union(allowed.copied()))
    })
}

/// The table of the ipBlocks of `rules`, with what is allowed for everyone in each entry.
pub(super) fn block_table(
    rules: &Rules,
    mut grant: impl FnMut(Allowed) -> Option<Grant>,
) -> Option<BlockTable> {
    let [ipv4, ipv6] = flat_blocks(rules);
    let mut blocks = Vec::new();
    for (is_ipv6, flat) in [(false, ipv4), (true, ipv6)] {
        for (interval, allowed) in flat {
            let allowed = Allowed::union([&allowed, &rules.anyone]);
            if let Some(grant) = grant(allowed) {
                blocks.push(Block {
                    first: interval::address(interval.first, is_ipv6),
                    last: interval::address(interval.last, is_ipv6),
                    grant,
                });
            }
        }
    }
    (!blocks.is_empty()).then_some(BlockTable {
        direction: rules.direction,
        blocks,
    })
}
