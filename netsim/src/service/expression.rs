//! The words of nftables that Services need.
//!
//! Each function is one expression of the kernel. Values that packets carry are in network order,
//! those that the kernel computes (marks, states, random numbers) in the machine's own.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::{
    NetfilterProtoFamily,
    nftables::{
        Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute,
        Lookup, Meta, MetaKey, Operator, Payload, Register, Verdict, VerdictAttribute,
    },
};

/// A rule is a list of these.
pub(super) type Expression = ListAttribute<ExpressionAttribute>;

/// The bit of the packet mark by which kube-proxy says "masquerade this connection".
const MASQUERADE_MARK: u32 = 0x4000;

/// Numbers of `linux/netfilter/nf_tables.h`, and of headers it refers to.
mod number {
    pub(super) const PAYLOAD_NETWORK: u32 = 1;
    pub(super) const PAYLOAD_TRANSPORT: u32 = 2;

    pub(super) const CT_DREG: u16 = 1;
    pub(super) const CT_KEY: u16 = 2;
    pub(super) const CT_STATE: u32 = 0;
    pub(super) const CT_STATE_NEW: u32 = 8;

    pub(super) const NUMGEN_DREG: u16 = 1;
    pub(super) const NUMGEN_MODULUS: u16 = 2;
    pub(super) const NUMGEN_TYPE: u16 = 3;
    pub(super) const NUMGEN_RANDOM: u32 = 1;

    pub(super) const NAT_TYPE: u16 = 1;
    pub(super) const NAT_DESTINATION: u32 = 1;
    pub(super) const NAT_FAMILY: u16 = 2;
    pub(super) const NAT_ADDRESS: u16 = 3;
    pub(super) const NAT_PORT: u16 = 5;

    pub(super) const FIB_DREG: u16 = 1;
    pub(super) const FIB_RESULT: u16 = 2;
    pub(super) const FIB_RESULT_ADDRTYPE: u32 = 3;
    pub(super) const FIB_FLAGS: u16 = 3;
    pub(super) const FIB_SOURCE: u32 = 1;
    pub(super) const RTN_LOCAL: u32 = 2;

    pub(super) const REJECT_TYPE: u16 = 1;
    pub(super) const REJECT_ICMPX: u32 = 2;
    pub(super) const REJECT_CODE: u16 = 2;
    pub(super) const ICMPX_PORT_UNREACHABLE: u8 = 1;

    pub(super) const DROP: u32 = 0;

    pub(super) const DYNSET_SET_NAME: u16 = 1;
    pub(super) const DYNSET_OPERATION: u16 = 3;
    pub(super) const DYNSET_KEY: u16 = 4;
    pub(super) const DYNSET_UPDATE: u32 = 1;
}

/// The address family of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// An address in the network header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn netfilter(self) -> NetfilterProtoFamily {
        match self {
            Self::V4 => NetfilterProtoFamily::IPv4,
            Self::V6 => NetfilterProtoFamily::IPv6,
        }
    }

    /// Bytes of an address.
    pub(super) fn width(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    fn offset(self, side: Side) -> u32 {
        match (self, side) {
            (Self::V4, Side::Source) => 12,
            (Self::V4, Side::Destination) => 16,
            (Self::V6, Side::Source) => 8,
            (Self::V6, Side::Destination) => 24,
        }
    }

    /// The registers behind one that holds an address, in words of four bytes.
    fn behind_address(self) -> [Register; 2] {
        match self {
            Self::V4 => [Register::Reg32_01, Register::Reg32_02],
            Self::V6 => [Register::Reg32_04, Register::Reg32_05],
        }
    }
}

/// Only packets of this family.
pub(super) fn of_family(family: Family) -> [Expression; 2] {
    [
        meta(MetaKey::Nfproto, Register::Reg1),
        equals(vec![family.netfilter().into()]),
    ]
}

/// `ip daddr . meta l4proto . th dport` in one key, from the first register on.
pub(super) fn load_destination(family: Family) -> [Expression; 3] {
    let [protocol, port] = family.behind_address();
    [
        load_address(family, Side::Destination),
        meta(MetaKey::L4Proto, protocol),
        payload(number::PAYLOAD_TRANSPORT, 2, 2, port),
    ]
}

/// `ip saddr . ip daddr` in one key, from the first register on.
pub(super) fn load_both_addresses(family: Family) -> [Expression; 2] {
    let [behind, _] = family.behind_address();
    let destination = family.offset(Side::Destination);
    [
        load_address(family, Side::Source),
        payload(number::PAYLOAD_NETWORK, destination, family.width(), behind),
    ]
}

/// An address in the first register.
pub(super) fn load_address(family: Family, side: Side) -> Expression {
    let offset = family.offset(side);
    payload(
        number::PAYLOAD_NETWORK,
        offset,
        family.width(),
        Register::Reg1,
    )
}

/// Only packets whose address, as loaded by [`load_address`], is in this network.
pub(super) fn in_network(address: Vec<u8>, mask: Vec<u8>) -> [Expression; 2] {
    let nothing = vec![0; mask.len()];
    [bitwise(mask, nothing), equals(address)]
}

/// Only packets whose key is in the set.
pub(super) fn in_set(set: &str) -> Expression {
    Expressions::Lookup(vec![
        Lookup::Set(set.to_owned()),
        Lookup::SourceRegister(Register::Reg1),
    ])
    .into()
}

/// Has a set remember the key from now on.
pub(super) fn remember_in(set: &str) -> Expression {
    let mut name = set.as_bytes().to_vec();
    name.push(0);
    other(
        "dynset",
        vec![
            DefaultNla::new(number::DYNSET_SET_NAME, name),
            word(number::DYNSET_OPERATION, number::DYNSET_UPDATE),
            word(number::DYNSET_KEY, Register::Reg1.into()),
        ],
    )
}

/// The verdict that the map has for the key; goes on where it has none.
pub(super) fn verdict_of(map: &str) -> Expression {
    Expressions::Lookup(vec![
        Lookup::Set(map.to_owned()),
        Lookup::SourceRegister(Register::Reg1),
        Lookup::DestinationRegister(Register::Verdict),
    ])
    .into()
}

/// Only the first packets of connections. Looking makes the kernel track them.
pub(super) fn new_connection() -> [Expression; 3] {
    let state = other(
        "ct",
        vec![
            word(number::CT_DREG, Register::Reg1.into()),
            word(number::CT_KEY, number::CT_STATE),
        ],
    );
    [state, and(number::CT_STATE_NEW), is_not_zero()]
}

/// Only connections from addresses of this machine.
pub(super) fn from_here() -> [Expression; 2] {
    let kind = other(
        "fib",
        vec![
            word(number::FIB_DREG, Register::Reg1.into()),
            word(number::FIB_RESULT, number::FIB_RESULT_ADDRTYPE),
            word(number::FIB_FLAGS, number::FIB_SOURCE),
        ],
    );
    [kind, equals(number::RTN_LOCAL.to_ne_bytes().to_vec())]
}

/// One connection of so many, by chance.
pub(super) fn one_of(many: u32) -> [Expression; 2] {
    let dice = other(
        "numgen",
        vec![
            word(number::NUMGEN_DREG, Register::Reg1.into()),
            word(number::NUMGEN_MODULUS, many),
            word(number::NUMGEN_TYPE, number::NUMGEN_RANDOM),
        ],
    );
    [dice, equals(0_u32.to_ne_bytes().to_vec())]
}

/// To be masqueraded when it leaves.
pub(super) fn mark_for_masquerade() -> [Expression; 3] {
    let bit = MASQUERADE_MARK.to_ne_bytes().to_vec();
    let others = (!MASQUERADE_MARK).to_ne_bytes().to_vec();
    [
        meta(MetaKey::Mark, Register::Reg1),
        bitwise(others, bit),
        Expressions::Meta(vec![
            Meta::Key(MetaKey::Mark),
            Meta::SourceRegister(Register::Reg1),
        ])
        .into(),
    ]
}

/// Only what [`mark_for_masquerade`] has marked.
pub(super) fn is_marked() -> [Expression; 3] {
    [
        meta(MetaKey::Mark, Register::Reg1),
        and(MASQUERADE_MARK),
        is_not_zero(),
    ]
}

/// From now on this connection goes to another address and port.
pub(super) fn rewrite_destination(family: Family, address: Vec<u8>, port: u16) -> [Expression; 3] {
    let nat = other(
        "nat",
        vec![
            word(number::NAT_TYPE, number::NAT_DESTINATION),
            word(number::NAT_FAMILY, u8::from(family.netfilter()).into()),
            word(number::NAT_ADDRESS, Register::Reg1.into()),
            word(number::NAT_PORT, Register::Reg2.into()),
        ],
    );
    [
        immediate(Register::Reg1, DataAttribute::Value(address)),
        immediate(
            Register::Reg2,
            DataAttribute::Value(port.to_be_bytes().to_vec()),
        ),
        nat,
    ]
}

/// From now on this connection comes from an address of the link it leaves by.
pub(super) fn masquerade() -> Expression {
    other("masq", Vec::new())
}

/// ICMP port unreachable, of either family.
pub(super) fn reject() -> Expression {
    let code = DefaultNla::new(number::REJECT_CODE, vec![number::ICMPX_PORT_UNREACHABLE]);
    let kind = word(number::REJECT_TYPE, number::REJECT_ICMPX);
    other("reject", vec![kind, code])
}

/// Silence.
pub(super) fn drop_it() -> Expression {
    let verdict = VerdictAttribute::Code(Verdict::Other(number::DROP));
    immediate(Register::Verdict, DataAttribute::Verdict(vec![verdict]))
}

/// Goes on in another chain and does not come back.
pub(super) fn go_to(chain: &str) -> Expression {
    immediate(Register::Verdict, goto(chain))
}

/// [`go_to`], as the value of a map.
pub(super) fn goto(chain: &str) -> DataAttribute {
    DataAttribute::Verdict(vec![
        VerdictAttribute::Code(Verdict::Goto),
        VerdictAttribute::Chain(chain.to_owned()),
    ])
}

fn meta(key: MetaKey, register: Register) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(register)]).into()
}

fn payload(base: u32, offset: u32, length: u32, register: Register) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
    .into()
}

fn equals(value: Vec<u8>) -> Expression {
    compare(Operator::Equal, value)
}

fn is_not_zero() -> Expression {
    compare(Operator::NotEqual, vec![0; 4])
}

fn compare(operator: Operator, value: Vec<u8>) -> Expression {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value)),
    ])
    .into()
}

fn and(bits: u32) -> Expression {
    bitwise(bits.to_ne_bytes().to_vec(), vec![0; 4])
}

fn bitwise(mask: Vec<u8>, xor: Vec<u8>) -> Expression {
    let length = u32::try_from(mask.len()).expect("an address is the longest");
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(length),
        Bitwise::Mask(DataAttribute::Value(mask)),
        Bitwise::Xor(DataAttribute::Value(xor)),
    ])
    .into()
}

fn immediate(register: Register, data: DataAttribute) -> Expression {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(register),
        Immediate::Data(data),
    ])
    .into()
}

/// What the crate of the messages has no type for.
fn other(expression_type: &str, attributes: Vec<DefaultNla>) -> Expression {
    Expressions::Other {
        expression_type: expression_type.to_owned(),
        attributes,
    }
    .into()
}

fn word(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}
