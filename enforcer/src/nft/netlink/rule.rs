//! Rules as netlink expressions, in the form nft writes them, so that nft lists them as it would
//! its own.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, NfTablesMessage,
    Operator, Payload, Register, RuleAttribute, RuleMessage, Verdict, VerdictAttribute,
};

use crate::nft::{
    TABLE,
    transaction::{End, Family, Rule, Statement, Target},
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
/// `NFTNL_UDATA_RULE_COMMENT`.
pub(super) const RULE_COMMENT: u8 = 0;

pub(super) fn add(chain: &str, rule: &Rule) -> NfTablesMessage {
    let expressions = expressions(&rule.statement);
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

fn expressions(statement: &Statement) -> Vec<Expressions> {
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
        Statement::AskPort { map } => vec![
            meta(MetaKey::L4Proto),
            payload(Register::Reg32_01, TRANSPORT_HEADER, 2, 2),
            ask(map),
        ],
        Statement::Go(target) => vec![immediate(verdict(target))],
        Statement::Drop => vec![
            Expressions::Other {
                expression_type: "counter".into(),
                attributes: Vec::new(),
            },
            immediate(code(DROP)),
        ],
    }
}

fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => IPV4,
        Family::V6 => IPV6,
    }
}

/// `ct state established,related`: the state's bits in the host's byte order.
fn replies() -> Vec<Expressions> {
    let number = |kind, value: u32| DefaultNla::new(kind, value.to_be_bytes().into());
    let value = |bits: u32| DataAttribute::Value(bits.to_ne_bytes().into());
    vec![
        Expressions::Other {
            expression_type: "ct".into(),
            // NFTA_CT_DREG and NFTA_CT_KEY
            attributes: vec![number(2, CT_STATE), number(1, Register::Reg1.into())],
        },
        Expressions::Bitwise(vec![
            Bitwise::SourceRegister(Register::Reg1),
            Bitwise::DestinationRegister(Register::Reg1),
            Bitwise::Length(4),
            Bitwise::Mask(value(ESTABLISHED_OR_RELATED)),
            Bitwise::Xor(value(0)),
        ]),
        Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(Operator::NotEqual),
            Cmp::Data(value(0)),
        ]),
    ]
}

fn meta(key: MetaKey) -> Expressions {
    Expressions::Meta(vec![
        Meta::Key(key),
        Meta::DestinationRegister(Register::Reg1),
    ])
}

fn equal(value: u8) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(Operator::Equal),
        Cmp::Data(DataAttribute::Value(vec![value])),
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
