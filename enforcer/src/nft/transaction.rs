//! The typed operations of a transaction.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::{
    plan::{ConnectionId, Id},
    policy::{PortRange, Protocol},
};

/// Operations that the kernel takes all at once or not at all, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    operations: Vec<Operation>,
}

impl Transaction {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The number of operations; any number of elements of one map are one.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// The operations, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub(super) fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }
}

impl FromIterator<Operation> for Transaction {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        Self {
            operations: operations.into_iter().collect(),
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations
            .iter()
            .try_for_each(|operation| writeln!(f, "{operation}"))
    }
}

/// One operation on our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes the table; nothing happens if it is there.
    AddTable,
    /// Deletes the table with everything in it.
    DeleteTable,
    /// Makes a set or map.
    AddMap(Map),
    /// Deletes a set or map with its elements.
    DeleteMap(Map),
    /// Makes a chain without rules.
    AddChain(Chain),
    /// Deletes a chain with its rules.
    DeleteChain(Chain),
    /// Deletes the rules of a chain.
    FlushChain(Chain),
    /// Appends a rule.
    AddRule {
        /// The chain's name.
        chain: Arc<str>,
        /// The rule.
        rule: Rule,
    },
    /// Puts elements into a set or map.
    AddElements {
        /// The set or map.
        map: Map,
        /// The elements.
        elements: Vec<Element>,
    },
    /// Takes elements out of a set or map.
    DeleteElements {
        /// The set or map.
        map: Map,
        /// The elements, as they are in it.
        elements: Vec<Element>,
    },
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        })
    }
}

/// What a set or map is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// One address.
    Address(Family),
    /// Source and destination.
    AddressPair(Family),
    /// Protocol and port.
    Port,
    /// An ICMPv6 type.
    Icmpv6Type,
    /// A number that stands for addresses: a class of peers, or a profile.
    Number,
}

/// What the elements of a map hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// Where to go on. The kernel walks all such maps whenever one of them gets an element that
    /// leads to a chain.
    Verdict,
    /// A number, to be looked up in a map of verdicts. Such elements cost the same in maps of any
    /// size.
    Number,
}

/// A named set or map, without its elements.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Map {
    /// Its name.
    pub name: Arc<str>,
    /// What it is asked with.
    pub key: KeyType,
    /// What its elements hold; nothing if it is a set.
    pub values: Option<ValueType>,
    /// Whether its elements are ranges.
    pub has_intervals: bool,
}

/// A chain, without its rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain {
    /// Its name.
    pub name: Arc<str>,
    /// Where packets enter it, if not from other chains alone.
    pub hook: Option<Hook>,
}

/// The hooks we use. The policy is always to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// What the node passes on, between DNAT and SNAT.
    Forward,
}

/// What a packet is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Its source address.
    Source,
    /// Its destination address.
    Destination,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What it does.
    pub statement: Statement,
    /// For people.
    pub comment: Option<String>,
}

/// What rules can do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statement {
    /// Packets of and errors about connections that were let through pass.
    AcceptReplies,
    /// ICMPv6 types of this set pass.
    AcceptIcmpv6 {
        /// The set's name.
        set: Arc<str>,
    },
    /// (source, destination) of this set pass.
    AcceptPairs {
        /// Of this family.
        family: Family,
        /// The set's name.
        set: Arc<str>,
    },
    /// The verdict of this map for an address, if it has one.
    AskAddress {
        /// Of this family.
        family: Family,
        /// Which of the packet's addresses.
        end: End,
        /// The map's name.
        map: Arc<str>,
    },
    /// The verdict for the number of an address, if it has one.
    AskNumber {
        /// Of this family.
        family: Family,
        /// Which of the packet's addresses.
        end: End,
        /// The name of the map from addresses to numbers.
        numbers: Arc<str>,
        /// The name of the map from numbers to verdicts.
        verdicts: Arc<str>,
    },
    /// The number of an address, if it has one, for [`Statement::AskFound`].
    FindNumber {
        /// Of this family.
        family: Family,
        /// Which of the packet's addresses.
        end: End,
        /// The name of the map from addresses to numbers.
        numbers: Arc<str>,
    },
    /// The verdict for the number that was found last, if it has one.
    AskFound {
        /// The name of the map from numbers to verdicts.
        verdicts: Arc<str>,
    },
    /// Takes the number that was found last out of the packet's priority, where it is kept.
    ForgetNumber,
    /// The verdict of this map for protocol and destination port, if it has one.
    AskPort {
        /// The map's name.
        map: Arc<str>,
    },
    /// To another chain or back.
    Go(Target),
    /// To another chain with the packets of these connections.
    GoIfOneOf {
        /// The connections; at least one.
        connections: Vec<ConnectionId>,
        /// Where to.
        target: Target,
    },
    /// To another chain with what has an address in a range that a set does not hold.
    GoUnlessMember {
        /// The range.
        range: IpNet,
        /// Which of the packet's addresses.
        end: End,
        /// The set's name.
        set: Arc<str>,
        /// Where to.
        target: Target,
    },
    /// Counts and drops.
    Drop,
    /// Counts TCP and answers it with a reset.
    RejectTcp,
    /// Counts and answers with ICMP "administratively prohibited".
    Reject,
}

/// Where evaluation goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// After the last jump: in the hook. This is what allows.
    Return,
    /// In another chain, to come back.
    Jump(Arc<str>),
    /// In another chain, not to come back.
    Goto(Arc<str>),
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// What it is found by.
    pub key: Key,
    /// What it holds, in a map.
    pub value: Option<Value>,
    /// For people.
    pub comment: Option<String>,
}

/// What an element of a map holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A verdict.
    Verdict(Target),
    /// A number.
    Number(Id),
}

/// What an element is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// One address.
    Address(IpAddr),
    /// The addresses from the first to the second.
    AddressRange(IpAddr, IpAddr),
    /// Source and destination.
    AddressPair(IpAddr, IpAddr),
    /// Ports of a protocol.
    Ports(Protocol, PortRange),
    /// An ICMPv6 type.
    Icmpv6Type(u8),
    /// A number that stands for addresses.
    Number(Id),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddTable => f.write_str("add table"),
            Self::DeleteTable => f.write_str("delete table"),
            Self::AddMap(map) => write!(f, "add {map}"),
            Self::DeleteMap(map) => write!(f, "delete {map}"),
            Self::AddChain(chain) => write!(f, "add chain {}", chain.name),
            Self::DeleteChain(chain) => write!(f, "delete chain {}", chain.name),
            Self::FlushChain(chain) => write!(f, "flush chain {}", chain.name),
            Self::AddRule { chain, rule } => write!(f, "add rule to {chain}: {rule}"),
            Self::AddElements { map, elements } => {
                write!(f, "add to {}: {}", map.name, Listed(elements))
            }
            Self::DeleteElements { map, elements } => {
                write!(f, "delete from {}: {}", map.name, Listed(elements))
            }
        }
    }
}

/// The first few in full.
struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (index, element) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{element}")?;
        }
        match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.values.is_some() { "map" } else { "set" };
        write!(f, "{kind} {}", self.name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.statement {
            Statement::AcceptReplies => f.write_str("ct state established,related accept"),
            Statement::AcceptIcmpv6 { set } => write!(f, "icmpv6 type @{set} accept"),
            Statement::AcceptPairs { family, set } => {
                let ip = family.header();
                write!(f, "{ip} saddr . {ip} daddr @{set} accept")
            }
            Statement::AskAddress { family, end, map } => {
                write!(f, "{} {} vmap @{map}", family.header(), end.field())
            }
            Statement::AskNumber {
                family,
                end,
                numbers,
                verdicts,
            } => write!(
                f,
                "meta priority set {} {} map @{numbers} meta priority vmap @{verdicts}",
                family.header(),
                end.field()
            ),
            Statement::FindNumber {
                family,
                end,
                numbers,
            } => write!(
                f,
                "meta priority set {} {} map @{numbers}",
                family.header(),
                end.field()
            ),
            Statement::AskFound { verdicts } => write!(f, "meta priority vmap @{verdicts}"),
            Statement::ForgetNumber => {
                let mark = Id::MARK;
                write!(f, "meta priority & {mark} == {mark} meta priority set none")
            }
            Statement::AskPort { map } => write!(f, "meta l4proto . th dport vmap @{map}"),
            Statement::Go(target) => write!(f, "{target}"),
            Statement::GoIfOneOf {
                connections,
                target,
            } => write!(f, "ct id {{ {} }} {target}", Listed(connections)),
            Statement::GoUnlessMember {
                range,
                end,
                set,
                target,
            } => {
                let (ip, end) = (Family::of(range.addr()).header(), end.field());
                write!(f, "{ip} {end} {range} {ip} {end} != @{set} {target}")
            }
            Statement::Drop => f.write_str("counter drop"),
            Statement::RejectTcp => f.write_str("meta l4proto tcp counter reject with tcp reset"),
            Statement::Reject => f.write_str("counter reject with icmpx admin-prohibited"),
        }?;
        match &self.comment {
            Some(comment) => write!(f, " comment \"{comment}\""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(comment) = &self.comment {
            write!(f, " comment \"{comment}\"")?;
        }
        match &self.value {
            Some(Value::Verdict(target)) => write!(f, " : {target}"),
            Some(Value::Number(number)) => write!(f, " : {}", number.handle()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::AddressRange(first, last) => write!(f, "{first}-{last}"),
            Self::AddressPair(source, destination) => write!(f, "{source} . {destination}"),
            Self::Ports(protocol, range) => {
                write!(f, "{} . {range}", protocol.to_string().to_lowercase())
            }
            Self::Icmpv6Type(number) => write!(f, "{number}"),
            Self::Number(number) => f.write_str(&number.handle()),
        }
    }
}

impl Family {
    /// The header's name in nft's language.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

impl End {
    /// The field's name in nft's language.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Source => "saddr",
            Self::Destination => "daddr",
        }
    }
}
