//! What our own rules have counted: denied packets, exactly.

use std::io;

use enforcer::nft::TABLE;

use crate::listing::{INET, RULES, attributes, list};

/// `NFTA_RULE_TABLE`, `NFTA_RULE_CHAIN` and `NFTA_RULE_EXPRESSIONS`.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
/// `NFTA_LIST_ELEM`.
const ITEM: u16 = 1;
/// `NFTA_EXPR_DATA`; the counter is the only expression whose data has two 64-bit numbers first.
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
/// `NFTA_COUNTER_BYTES` and `NFTA_COUNTER_PACKETS`.
const BYTES: u16 = 1;
const PACKETS: u16 = 2;

/// Why a packet was denied, and in which chain that is counted.
pub(crate) const CHAINS: [(Reason, &str); 4] = [
    (Reason::new("ingress", "no_rule"), "denied-ingress"),
    (Reason::new("egress", "no_rule"), "denied-egress"),
    (Reason::new("", "unprogrammed"), "held"),
    (Reason::new("", "revoked"), "denied-revoked"),
];

/// Why packets are denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// `ingress` or `egress`; empty if it does not matter.
    pub(crate) direction: &'static str,
    /// `no_rule`, `unprogrammed` or `revoked`.
    pub(crate) reason: &'static str,
}

impl Reason {
    const fn new(direction: &'static str, reason: &'static str) -> Self {
        Self { direction, reason }
    }
}

/// What was denied since the table was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// What the rules of one of our chains have counted in the network namespace of the calling thread;
/// nothing if there is no such chain.
///
/// # Errors
/// Whatever the kernel says.
pub(crate) fn denied(chain: &str) -> io::Result<Denied> {
    let mut denied = Denied::default();
    let restriction = [(RULE_TABLE, TABLE), (RULE_CHAIN, chain)];
    list(RULES, INET, &restriction, |rule| {
        let expressions =
            attributes(rule, RULE_EXPRESSIONS).flat_map(|list| attributes(list, ITEM));
        for expression in expressions {
            if !attributes(expression, EXPRESSION_NAME).any(|name| name == b"counter\0") {
                continue;
            }
            for data in attributes(expression, EXPRESSION_DATA) {
                denied.packets += number(data, PACKETS);
                denied.bytes += number(data, BYTES);
            }
        }
    })?;
    Ok(denied)
}

fn number(bytes: &[u8], kind: u16) -> u64 {
    attributes(bytes, kind)
        .find_map(|value| Some(u64::from_be_bytes(*value.first_chunk()?)))
        .unwrap_or_default()
}
