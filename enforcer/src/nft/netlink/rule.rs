//! Rules as netlink expressions, in the form nft writes them, so that nft lists them as it would
//! its own.

use ipnet::IpNet;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, NfTablesMessage,
    Operator, Payload, Register, RuleAttribute, RuleMessage, Verdict, VerdictAttribute,
};

use super::{element::octets, object::ANONYMOUS};
use crate::{
    nft::{
        TABLE,
        transaction::{Chain, End, Family, Rule, Statement, Target},
    },
    plan::{ConnectionId, Id},
};

/// `NFT_PAYLOAD_NETWORK_HEADER` and `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const ICMPV6: u8 = 58;
/// `NF_DROP` and `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// `NFT_CT_STATE` with the bits for established and related.
const CT_STATE: u32 = 0;
const ESTABLISHED_OR_RELATED: u32 = 0b110;
/// `NFT_CT_ID`: the same four bytes as `CTA_ID`.
pub(super) const CT_ID: u8 = 23;
const TCP: u8 = 6;
/// `NFT_REJECT_TCP_RST`, `NFT_REJECT_ICMPX_UNREACH` and `NFT_REJECT_ICMPX_ADMIN_PROHIBITED`.
const REJECT_BY_RESET: u32 = 1;
const REJECT_BY_ICMPX: u32 = 2;
const ADMIN_PROHIBITED: u8 = 3;
/// `NFT_LOOKUP_F_INV`.
const UNLESS_FOUND: u32 = 1;
/// `NFTNL_UDATA_RULE_COMMENT`.
pub(super) const RULE_COMMENT: u8 = 0;

/// `set_id` is that of the set that the rule has for itself, if it has one.
pub(super) fn add(chain: &str, rule: &Rule, set_id: u32) -> NfTablesMessage {
    let expressions = expressions(&rule.statement, set_id);
    let mut attributes = vec![
        RuleAttribute::Table(TABLE.into()),
        RuleAttribute::Chain(chain.into()),
        RuleAttribute::Expressions(expressions.into_iter().map(Into::into).collect()),
    ];
    if let Some(text) = &rule.comment {
        attributes.push(RuleAttribute::UserData(comment(RULE_COMMENT, text)));
    }
    NfTablesMessage::NewRule(RuleMessage { attributes })
}

/// Deletes all rules of a chain.
pub(super) fn flush(chain: &Chain) -> NfTablesMessage {
    NfTablesMessage::DeleteRule(RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(chain.name.to_string()),
        ],
    })
}

/// A comment in nft's user data: kind, length, text, 0.
pub(super) fn comment(kind: u8, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).expect("comments end at 128 bytes");
    [&[kind, length], text.as_bytes(), &[0]].concat()
}

pub(super) fn verdict(target: &Target) -> DataAttribute {
    let to = |code, chain: &str| {
        vec![
            VerdictAttribute::Code(code),
            VerdictAttribute::Chain(chain.into()),
        ]
    };
    DataAttribute::Verdict(match target {
        Target::Return => vec![VerdictAttribute::Code(Verdict::Return)],
        Target::Jump(chain) => to(Verdict::Jump, chain),
        Target::Goto(chain) => to(Verdict::Goto, chain),
    })
}

fn expressions(statement: &Statement, set_id: u32) -> Vec<Expressions> {
    match statement {
        Statement::AcceptReplies => {
            let mut expressions = replies();
            expressions.push(immediate(code(ACCEPT)));
            expressions
        }
        Statement::AcceptIcmpv6 { set } => vec![
            meta(MetaKey::Nfproto),
            equal(IPV6),
            meta(MetaKey::L4Proto),
            equal(ICMPV6),
            payload(Register::Reg1, TRANSPORT_HEADER, 0, 1),
            is_member(set),
            immediate(code(ACCEPT)),
        ],
        Statement::AcceptPairs { family, set } => {
            // Where the second field of a concatenation goes: registers of 4 and of 16 bytes.
            let second = match family {
                Family::V4 => Register::Reg32_01,
                Family::V6 => Register::Reg2,
            };
            vec![
                meta(MetaKey::Nfproto),
                equal(nfproto(*family)),
                address(Register::Reg1, *family, End::Source),
                address(second, *family, End::Destination),
                is_member(set),
                immediate(code(ACCEPT)),
            ]
        }
        Statement::AskAddress { family, end, map } => vec![
            meta(MetaKey::Nfproto),
            equal(nfproto(*family)),
            address(Register::Reg1, *family, *end),
            ask(map),
        ],
        Statement::AskNumber {
            family,
            end,
            numbers,
            verdicts,
        } => {
            let mut expressions = find_number(*family, *end, numbers);
            expressions.extend([meta(MetaKey::Priority), ask(verdicts)]);
            expressions
        }
        Statement::FindNumber {
            family,
            end,
            numbers,
        } => find_number(*family, *end, numbers),
        Statement::AskFound { verdicts } => vec![meta(MetaKey::Priority), ask(verdicts)],
        Statement::ForgetNumber => {
            let mark = || Id::MARK_BIT.to_ne_bytes().to_vec();
            vec![
                meta(MetaKey::Priority),
                masked(mark()),
                equal_bytes(mark()),
                load(vec![0; 4]),
                set_priority(),
            ]
        }
        Statement::AskPort { map } => vec![
            meta(MetaKey::L4Proto),
            payload(Register::Reg32_01, TRANSPORT_HEADER, 2, 2),
            ask(map),
        ],
        Statement::Go(target) => vec![immediate(verdict(target))],
        Statement::GoIfOneOf {
            connections,
            target,
        } => {
            let id = vec![ct(CT_ID.into()), is_one_of(connections, set_id)];
            [id, vec![immediate(verdict(target))]].concat()
        }
        Statement::GoUnlessMember {
            range,
            end,
            set,
            target,
        } => {
            let family = Family::of(range.addr());
            let mut expressions = vec![meta(MetaKey::Nfproto), equal(nfproto(family))];
            expressions.extend(in_range(range, *end));
            expressions.extend([
                address(Register::Reg1, family, *end),
                is_no_member(set),
                immediate(verdict(target)),
            ]);
            expressions
        }
        Statement::Drop => vec![counter(), immediate(code(DROP))],
        Statement::RejectTcp => vec![
            meta(MetaKey::L4Proto),
            equal(TCP),
            counter(),
            reject(REJECT_BY_RESET, 0),
        ],
        Statement::Reject => vec![counter(), reject(REJECT_BY_ICMPX, ADMIN_PROHIBITED)],
    }
}

fn counter() -> Expressions {
    Expressions::Other {
        expression_type: "counter".into(),
        attributes: Vec::new(),
    }
}

fn reject(kind: u32, code: u8) -> Expressions {
    Expressions::Other {
        expression_type: "reject".into(),
        // NFTA_REJECT_TYPE and NFTA_REJECT_ICMP_CODE
        attributes: vec![number(1, kind), DefaultNla::new(2, vec![code])],
    }
}

/// Whether the number in the first register is that of one of the connections. nft, too, has a set
/// only for more than one.
fn is_one_of(connections: &[ConnectionId], set_id: u32) -> Expressions {
    match connections {
        [one] => equal_bytes(one.number().to_be_bytes().into()),
        _ => Expressions::Lookup(vec![
            Lookup::SourceRegister(Register::Reg1),
            Lookup::Set(ANONYMOUS.into()),
            Lookup::SetId(set_id),
        ]),
    }
}

/// Whether an address of the packet is in a range.
fn in_range(range: &IpNet, end: End) -> Vec<Expressions> {
    let mut expressions = vec![address(Register::Reg1, Family::of(range.addr()), end)];
    if range.prefix_len() < range.max_prefix_len() {
        expressions.push(masked(octets(range.netmask())));
    }
    expressions.push(equal_bytes(octets(range.network())));
    expressions
}

fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => IPV4,
        Family::V6 => IPV6,
    }
}

/// `ct state established,related`: the state's bits in the host's byte order.
fn replies() -> Vec<Expressions> {
    vec![
        ct(CT_STATE),
        masked(ESTABLISHED_OR_RELATED.to_ne_bytes().into()),
        Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(Operator::NotEqual),
            Cmp::Data(DataAttribute::Value(vec![0; 4])),
        ]),
    ]
}

/// What conntrack knows of the packet's connection.
fn ct(key: u32) -> Expressions {
    Expressions::Other {
        expression_type: "ct".into(),
        // NFTA_CT_KEY and NFTA_CT_DREG
        attributes: vec![number(2, key), number(1, Register::Reg1.into())],
    }
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().into())
}

/// The first register without the bits that `mask` lacks.
fn masked(mask: Vec<u8>) -> Expressions {
    let length = u32::try_from(mask.len()).expect("a register has sixteen bytes");
    let zeroes = vec![0; mask.len()];
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(length),
        Bitwise::Mask(DataAttribute::Value(mask)),
        Bitwise::Xor(DataAttribute::Value(zeroes)),
    ])
}

fn meta(key: MetaKey) -> Expressions {
    Expressions::Meta(vec![
        Meta::Key(key),
        Meta::DestinationRegister(Register::Reg1),
    ])
}

/// Puts what a map has for an address into the packet's priority.
fn find_number(family: Family, end: End, numbers: &str) -> Vec<Expressions> {
    vec![
        meta(MetaKey::Nfproto),
        equal(nfproto(family)),
        address(Register::Reg1, family, end),
        look_up(numbers),
        set_priority(),
    ]
}

/// Puts the first register into the packet's priority.
fn set_priority() -> Expressions {
    Expressions::Meta(vec![
        Meta::Key(MetaKey::Priority),
        Meta::SourceRegister(Register::Reg1),
    ])
}

/// Puts a value into the first register.
fn load(value: Vec<u8>) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Reg1),
        Immediate::Data(DataAttribute::Value(value)),
    ])
}

fn equal(value: u8) -> Expressions {
    equal_bytes(vec![value])
}

fn equal_bytes(value: Vec<u8>) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(Operator::Equal),
        Cmp::Data(DataAttribute::Value(value)),
    ])
}

fn payload(register: Register, base: u32, offset: u32, length: u32) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
}

/// An address out of the network header.
fn address(register: Register, family: Family, end: End) -> Expressions {
    let (offset, length) = match (family, end) {
        (Family::V4, End::Source) => (12, 4),
        (Family::V4, End::Destination) => (16, 4),
        (Family::V6, End::Source) => (8, 16),
        (Family::V6, End::Destination) => (24, 16),
    };
    payload(register, NETWORK_HEADER, offset, length)
}

fn is_member(set: &str) -> Expressions {
    Expressions::Lookup(vec![
        Lookup::SourceRegister(Register::Reg1),
        Lookup::Set(set.into()),
    ])
}

fn is_no_member(set: &str) -> Expressions {
    Expressions::Lookup(vec![
        Lookup::SourceRegister(Register::Reg1),
        Lookup::Set(set.into()),
        Lookup::Flags(UNLESS_FOUND),
    ])
}

/// What a map has for the first register, into that register.
fn look_up(map: &str) -> Expressions {
    Expressions::Lookup(vec![
        Lookup::SourceRegister(Register::Reg1),
        Lookup::DestinationRegister(Register::Reg1),
        Lookup::Set(map.into()),
    ])
}

/// The verdict of a map, straight into the verdict register.
fn ask(map: &str) -> Expressions {
    Expressions::Lookup(vec![
        Lookup::SourceRegister(Register::Reg1),
        Lookup::DestinationRegister(Register::Verdict),
        Lookup::Set(map.into()),
    ])
}

fn immediate(data: DataAttribute) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(data),
    ])
}

fn code(code: u32) -> DataAttribute {
    DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(code))])
}
