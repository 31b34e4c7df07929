//! What the kernel has in our table, in a form that can be compared: read by netlink, so that
//! nothing has to be installed.
//!
//! Left out is only what differs between two tables that mean the same: handles, and the order in
//! which a set gives its elements. Rules stay in their order; everything else is sorted.

use std::{fmt, io};

use enforcer::nft::TABLE;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// Messages of nf_tables (linux/netfilter/nf_tables.h): what is asked for, and the attributes in
/// its answers that only tell two equal objects apart.
const CHAINS: Kind = Kind {
    get: 4,
    name: 3,
    ignored: &[2],
};
const RULES: Kind = Kind {
    get: 7,
    name: 2,
    ignored: &[3, 6],
};
const SETS: Kind = Kind {
    get: 10,
    name: 2,
    ignored: &[10, 16],
};
const ELEMENTS: Kind = Kind {
    get: 13,
    name: 2,
    ignored: &[],
};
/// The table's name is the first attribute everywhere.
const TABLE_NAME: u16 = 1;
/// The list of elements, and an entry of it.
const ELEMENT_LIST: u16 = 3;

/// `NFPROTO_INET`, `NFNL_SUBSYS_NFTABLES`.
const INET: u8 = 1;
const SUBSYSTEM: u16 = 10;
/// `NLM_F_REQUEST | NLM_F_DUMP`, `NLMSG_ERROR`, `NLMSG_DONE` (linux/netlink.h).
const DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const FAMILY: usize = 4;

struct Kind {
    get: u16,
    name: u16,
    ignored: &'static [u16],
}

/// Everything in our table of one network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing(Vec<Line>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// What it is of: `chain forward`.
    owner: String,
    /// In the order of its chain, for a rule.
    position: usize,
    bytes: Vec<u8>,
}

impl Listing {
    /// Lists the table in the calling thread's network namespace.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn read() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let mut lines = Vec::new();
        objects(&socket, "chain", &CHAINS, &mut lines)?;
        objects(&socket, "rule of", &RULES, &mut lines)?;
        let sets = objects(&socket, "set", &SETS, &mut lines)?;
        for set in &sets {
            elements(&socket, set, &mut lines)?;
        }
        lines.sort();
        Ok(Self(lines))
    }

    /// How many chains, rules, sets and elements there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first thing that only one of two has, for a person.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let only = |one: &Self, other: &Self| {
            let line = one.0.iter().find(|line| !other.0.contains(line))?;
            Some(line.to_string())
        };
        match (only(self, other), only(other, self)) {
            (None, None) => None,
            (one, other) => Some(format!(
                "by edits: {}; from nothing: {}",
                one.unwrap_or_else(|| "no such thing".to_owned()),
                other.unwrap_or_else(|| "no such thing".to_owned())
            )),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.owner)?;
        for byte in &self.bytes {
            match byte {
                0x20..0x7f => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "\\{byte:02x}")?,
            }
        }
        Ok(())
    }
}

/// Lists all objects of a kind in our table; returns their names.
fn objects(
    socket: &Socket,
    word: &str,
    kind: &Kind,
    lines: &mut Vec<Line>,
) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for message in dump(socket, kind, &[])? {
        let attributes = attributes(&message);
        if text(&attributes, TABLE_NAME) != TABLE {
            continue;
        }
        let name = text(&attributes, kind.name);
        let kept = attributes
            .iter()
            .filter(|(id, _)| !kind.ignored.contains(id));
        let bytes = kept.flat_map(|(id, value)| [&id.to_be_bytes(), &**value].concat());
        lines.push(Line {
            owner: format!("{word} {name}"),
            position: if kind.get == RULES.get {
                lines.len()
            } else {
                0
            },
            bytes: bytes.collect(),
        });
        names.push(name);
    }
    // Positions only order the rules of one chain.
    let mut last: Option<(String, usize)> = None;
    let of_kind = lines.iter_mut().filter(|line| line.position > 0);
    for line in of_kind {
        let position = match &last {
            Some((owner, position)) if *owner == line.owner => position + 1,
            _ => 1,
        };
        last = Some((line.owner.clone(), position));
        line.position = position;
    }
    Ok(names)
}

fn elements(socket: &Socket, set: &str, lines: &mut Vec<Line>) -> io::Result<()> {
    let question = [attribute(TABLE_NAME, TABLE), attribute(ELEMENTS.name, set)].concat();
    for message in dump(socket, &ELEMENTS, &question)? {
        for (id, list) in attributes(&message) {
            if id != ELEMENT_LIST {
                continue;
            }
            lines.extend(attributes(list).into_iter().map(|(_, element)| Line {
                owner: format!("element of {set}"),
                position: 0,
                bytes: element.to_vec(),
            }));
        }
    }
    Ok(())
}

/// The attributes of every answer.
fn dump(socket: &Socket, kind: &Kind, question: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let length = u32::try_from(HEADER + FAMILY + question.len()).expect("questions are short");
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend((SUBSYSTEM << 8 | kind.get).to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    // Neither sequence number nor port: one question at a time, and the kernel knows us.
    bytes.extend([0; 8]);
    bytes.extend([INET, 0, 0, 0]);
    bytes.extend(question);
    socket.send(&bytes, 0)?;
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while let Some((message, payload, next)) = split(rest) {
            match message {
                DONE => return Ok(found),
                ERROR => return Err(refusal(payload)),
                _ => found.extend(payload.get(FAMILY..).map(<[u8]>::to_vec)),
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

fn refusal(payload: &[u8]) -> io::Error {
    let code = payload.get(..4).and_then(|code| code.try_into().ok());
    io::Error::from_raw_os_error(-code.map_or(0, i32::from_ne_bytes))
}

/// Attributes without the mark of nested ones.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    const KIND: u16 = 0x3fff;
    let mut found = Vec::new();
    while let Some(&[a, b, c, d]) = bytes.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = bytes.get(4..length) else {
            break;
        };
        found.push((u16::from_ne_bytes([c, d]) & KIND, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn text(attributes: &[(u16, &[u8])], wanted: u16) -> String {
    let value = attributes.iter().find(|(id, _)| *id == wanted);
    let bytes = value.map_or(&[] as &[_], |(_, value)| value);
    String::from_utf8_lossy(bytes)
        .trim_end_matches('\0')
        .to_owned()
}

fn attribute(id: u16, value: &str) -> Vec<u8> {
    let length = u16::try_from(value.len() + 5).expect("names are short");
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend(id.to_ne_bytes());
    bytes.extend(value.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
