//! What others do to a node's nftables: they damage the agent's table, and have tables of their own.
//!
//! Nothing of the enforcer's is used, so that a mistake of its cannot hide itself, and a socket is
//! opened for every deed, so that the agent cannot take it for its own.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use netsim::netns::Netns;

use crate::scenario::Damage;

/// The table of the agents.
const OURS: &str = "portcullis";
/// The table of somebody else. Its chain and its set have names that ours have, too.
const FOREIGN: &str = "somebody-else";
const CHAIN: &str = "forward";
const SET: &str = "ingress-v4";
/// The maps of the isolated pods.
const SUBJECTS: [&str; 4] = ["ingress-v4", "ingress-v6", "egress-v4", "egress-v6"];

/// Damages the agent's table.
pub(super) fn damage(netns: &Netns, damage: Damage) -> io::Result<()> {
    let messages = match damage {
        Damage::DeleteTable => vec![message(DELETE_TABLE, 0, &[string(TABLE, OURS)])],
        Damage::FlushRules => vec![message(DELETE_RULE, 0, &[string(TABLE, OURS)])],
        Damage::RemoveElements => SUBJECTS
            .iter()
            .map(|set| {
                let all_of = [string(TABLE, OURS), string(ELEMENTS_SET, set)];
                message(DELETE_ELEMENT, 0, &all_of)
            })
            .collect(),
    };
    netns.run(|| transact(&messages))?
}

/// Makes a table of somebody else: a chain that is hooked beside ours, a set with elements, and a
/// rule that asks it.
pub(super) fn create_table(netns: &Netns) -> io::Result<()> {
    netns.run(|| transact(&foreign_table()))?
}

/// Everything in the table of somebody else, as the kernel lists it.
pub(super) fn listing(netns: &Netns) -> io::Result<Vec<Vec<u8>>> {
    netns.run(|| {
        let mut listing = Vec::new();
        for kind in [GET_TABLE, GET_CHAIN, GET_SET, GET_RULE] {
            listing.extend(list(kind, &[])?);
        }
        let set = [string(TABLE, FOREIGN), string(ELEMENTS_SET, SET)];
        listing.extend(list(GET_ELEMENT, &set)?);
        let name = string(TABLE, FOREIGN);
        listing.retain(|attributes| attributes.starts_with(&name));
        Ok(listing)
    })?
}

// Message types of nf_tables (linux/netfilter/nf_tables.h).
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const GET_SET: u16 = 10;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DELETE_ELEMENT: u16 = 14;

// Attributes. The table's name is the first of every message.
const TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const SET_NAME: u16 = 2;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_ID: u16 = 10;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS: u16 = 3;
const LIST_ITEM: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const DATA_VALUE: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const NESTED: u16 = 0x8000;

/// `NFPROTO_INET`, `NF_INET_FORWARD`, nft's number of IPv4 addresses.
const INET: u8 = 1;
const FORWARD: u32 = 2;
const IPV4_ADDRESS: u32 = 7;

fn foreign_table() -> Vec<Vec<u8>> {
    let table = string(TABLE, FOREIGN);
    let hook = nested(
        CHAIN_HOOK,
        &[number(HOOK_NUMBER, FORWARD), number(HOOK_PRIORITY, 10)],
    );
    // Documentation addresses: no pod's traffic is met.
    let element = |last: u8| {
        let key = nested(ELEMENT_KEY, &[attribute(DATA_VALUE, &[192, 0, 2, last])]);
        nested(LIST_ITEM, &[key])
    };
    let expression = |name: &str, data: &[Vec<u8>]| {
        let parts = [string(EXPRESSION_NAME, name), nested(EXPRESSION_DATA, data)];
        nested(LIST_ITEM, &parts)
    };
    // Register 1, network header, offset and length of the source address.
    let load = [number(1, 1), number(2, 1), number(3, 12), number(4, 4)];
    // The set, and what to look up in it.
    let look_up = [string(1, SET), number(2, 1), number(4, 1)];
    vec![
        message(NEW_TABLE, CREATE, std::slice::from_ref(&table)),
        message(
            NEW_CHAIN,
            CREATE,
            &[
                table.clone(),
                string(CHAIN_NAME, CHAIN),
                hook,
                string(CHAIN_TYPE, "filter"),
            ],
        ),
        message(
            NEW_SET,
            CREATE,
            &[
                table.clone(),
                string(SET_NAME, SET),
                number(SET_KEY_TYPE, IPV4_ADDRESS),
                number(SET_KEY_LENGTH, 4),
                number(SET_ID, 1),
            ],
        ),
        message(
            NEW_ELEMENT,
            CREATE,
            &[
                table.clone(),
                string(ELEMENTS_SET, SET),
                nested(ELEMENTS, &[element(1), element(2), element(3)]),
            ],
        ),
        message(
            NEW_RULE,
            CREATE | APPEND,
            &[
                table,
                string(RULE_CHAIN, CHAIN),
                nested(
                    RULE_EXPRESSIONS,
                    &[
                        expression("payload", &load),
                        expression("lookup", &look_up),
                        expression("counter", &[]),
                    ],
                ),
            ],
        ),
    ]
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).expect("our attributes are short");
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &parts.concat())
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn string(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

// Flags of netlink messages, and the messages of all families (linux/netlink.h).
const REQUEST: u16 = 0x1;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NFNL_SUBSYS_NFTABLES`, and the messages around a transaction.
const SUBSYSTEM: u16 = 10;
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const FAMILY: usize = 4;

fn message(kind: u16, flags: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    let family = [INET, 0, 0, 0];
    framed(SUBSYSTEM << 8 | kind, flags, family, &attributes.concat())
}

fn framed(kind: u16, flags: u16, family: [u8; FAMILY], rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + FAMILY + rest.len()).expect("our messages are short");
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | REQUEST).to_ne_bytes());
    // Neither sequence number nor port: one question at a time, and the kernel knows us.
    bytes.extend([0; 8]);
    bytes.extend(family);
    bytes.extend(rest);
    bytes
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// All messages as one transaction. The kernel handles it while it is being sent, and answers
/// whatever it refuses.
fn transact(messages: &[Vec<u8>]) -> io::Result<()> {
    let socket = open()?;
    let around = |kind| framed(kind, 0, [0, 0, 0, 10], &[]);
    let batch = [around(BEGIN), messages.concat(), around(END)].concat();
    socket.send(&batch, 0)?;
    for_each_answer(&socket, |_, _| {})
}

/// The attributes of every object of one kind.
fn list(kind: u16, attributes: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
    let socket = open()?;
    socket.send(&message(kind, DUMP, attributes), 0)?;
    let mut listed = Vec::new();
    for_each_answer(&socket, |kind, payload| {
        // The generation of the whole ruleset is in the family's header, and is nobody's.
        if kind >> 8 == SUBSYSTEM
            && let Some(attributes) = payload.get(FAMILY..)
        {
            listed.push(attributes.to_vec());
        }
    })?;
    Ok(listed)
}

fn for_each_answer(socket: &Socket, mut take: impl FnMut(u16, &[u8])) -> io::Result<()> {
    loop {
        let datagram = match socket.recv_from_full() {
            Ok((datagram, _)) => datagram,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut rest = &datagram[..];
        while let Some((kind, payload, next)) = split(rest) {
            match kind {
                ERROR => refusal(payload)?,
                DONE => return Ok(()),
                _ => take(kind, payload),
            }
            rest = next;
        }
    }
}

/// The type and the payload of the first message, and what comes after it.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let payload = bytes.get(HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, payload, rest))
}

fn refusal(payload: &[u8]) -> io::Result<()> {
    let code = payload.get(..4).and_then(|code| code.try_into().ok());
    match code.map_or(0, i32::from_ne_bytes) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}
