//! A transaction as JSON for the `nft` command.
//!
//! Tables, chains and rules are the types of the `nftables` crate. It has no named verdict maps and
//! not every type of set, so these and their elements are our own.

use std::borrow::Cow;

use ipnet::IpNet;
use nftables::{
    expr::{
        BinaryOperation, CT, Expression, Map as Lookup, Meta, MetaKey, NamedExpression, Payload,
        PayloadField, Prefix, SetItem,
    },
    schema::{self, FlushObject, NfCmd, NfListObject, NfObject},
    stmt::{self, JumpTarget, Mangle, Match, Operator, Reject, RejectType, VerdictMap},
    types::{NfChainPolicy, NfChainType, NfFamily, NfHook, RejectCode},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    PRIORITY, TABLE,
    transaction::{
        Chain, Element, End, Family, Hook, Key, KeyType, Map, Operation, Rule, Statement, Target,
        Transaction, Value as Held, ValueType,
    },
};
use crate::plan::{ConnectionId, Id};

/// The transaction in libnftables' JSON, as `nft -j -f` reads it.
pub fn render_json(transaction: &Transaction) -> Value {
    let operations: Vec<_> = transaction.operations().iter().map(operation).collect();
    json!({ "nftables": operations })
}

fn operation(operation: &Operation) -> Value {
    match operation {
        Operation::AddTable => known(NfCmd::Add(table())),
        Operation::DeleteTable => known(NfCmd::Delete(table())),
        Operation::AddMap(map) => json!({ "add": declaration(map) }),
        Operation::DeleteMap(map) => json!({ "delete": declaration(map) }),
        Operation::AddChain(new) => known(NfCmd::Add(NfListObject::Chain(chain(new)))),
        Operation::DeleteChain(old) => known(NfCmd::Delete(NfListObject::Chain(chain(old)))),
        Operation::FlushChain(old) => known(NfCmd::Flush(FlushObject::Chain(chain(old)))),
        Operation::AddRule { chain, rule: new } => known(NfCmd::Add(rule(chain, new))),
        Operation::AddElements { map, elements } => {
            json!({ "add": { "element": Members::new(map, elements) } })
        }
        Operation::DeleteElements { map, elements } => {
            json!({ "delete": { "element": Members::new(map, elements) } })
        }
    }
}

fn known(command: NfCmd<'_>) -> Value {
    serde_json::to_value(NfObject::CmdObject(command))
        .expect("the types have string keys and derived serializers")
}

fn table() -> NfListObject<'static> {
    NfListObject::Table(schema::Table {
        family: NfFamily::INet,
        name: TABLE.into(),
        handle: None,
    })
}

fn chain(chain: &Chain) -> schema::Chain<'_> {
    let base = schema::Chain {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: Cow::Borrowed(&chain.name),
        ..schema::Chain::default()
    };
    match chain.hook {
        None => base,
        Some(Hook::Forward) => schema::Chain {
            _type: Some(NfChainType::Filter),
            hook: Some(NfHook::Forward),
            prio: Some(PRIORITY),
            policy: Some(NfChainPolicy::Accept),
            ..base
        },
    }
}

fn rule<'a>(chain: &'a str, rule: &'a Rule) -> NfListObject<'a> {
    NfListObject::Rule(schema::Rule {
        family: NfFamily::INet,
        table: TABLE.into(),
        chain: chain.into(),
        expr: statements(&rule.statement).into(),
        comment: rule.comment.as_deref().map(Into::into),
        ..schema::Rule::default()
    })
}

fn statements(statement: &Statement) -> Vec<stmt::Statement<'_>> {
    let accept = || stmt::Statement::Accept(None);
    match statement {
        Statement::AcceptReplies => {
            let passing = ["established", "related"].map(|state| Expression::String(state.into()));
            vec![
                matches(ct("state"), Operator::IN, Expression::List(passing.into())),
                accept(),
            ]
        }
        Statement::AcceptIcmpv6 { set } => {
            vec![
                matches(field("icmpv6", "type"), Operator::EQ, reference(set)),
                accept(),
            ]
        }
        Statement::AcceptPairs { family, set } => {
            let header = family.header();
            let pair = concat([field(header, "saddr"), field(header, "daddr")]);
            vec![matches(pair, Operator::EQ, reference(set)), accept()]
        }
        Statement::AskAddress { family, end, map } => {
            vec![ask(field(family.header(), end.field()), map)]
        }
        Statement::AskNumber {
            family,
            end,
            numbers,
            verdicts,
        } => vec![
            find_number(*family, *end, numbers),
            ask(meta(MetaKey::Priority), verdicts),
        ],
        Statement::FindNumber {
            family,
            end,
            numbers,
        } => vec![find_number(*family, *end, numbers)],
        Statement::AskFound { verdicts } => vec![ask(meta(MetaKey::Priority), verdicts)],
        Statement::ForgetNumber => {
            let mark = || Expression::String(Id::MARK.into());
            let masked = BinaryOperation::AND(meta(MetaKey::Priority), mark());
            let masked = Expression::BinaryOperation(Box::new(masked));
            vec![
                matches(masked, Operator::EQ, mark()),
                set_priority(Expression::String("none".into())),
            ]
        }
        Statement::AskPort { map } => {
            vec![ask(concat([protocol(), field("th", "dport")]), map)]
        }
        Statement::Go(target) => vec![go(target)],
        Statement::GoIfOneOf {
            connections,
            target,
        } => vec![
            matches(ct("id"), Operator::EQ, one_of(connections)),
            go(target),
        ],
        Statement::GoUnlessMember {
            range,
            end,
            set,
            target,
        } => {
            let address = || field(Family::of(range.addr()).header(), end.field());
            vec![
                matches(address(), Operator::EQ, prefix(range)),
                matches(address(), Operator::NEQ, reference(set)),
                go(target),
            ]
        }
        Statement::Drop => vec![counter(), stmt::Statement::Drop(None)],
        Statement::RejectTcp => {
            let tcp = Expression::String("tcp".into());
            let reset = Reject::new(Some(RejectType::TCPReset), None);
            vec![
                matches(protocol(), Operator::EQ, tcp),
                counter(),
                stmt::Statement::Reject(Some(reset)),
            ]
        }
        Statement::Reject => {
            let prohibited =
                Reject::new(Some(RejectType::ICMPX), Some(RejectCode::AdminProhibited));
            vec![counter(), stmt::Statement::Reject(Some(prohibited))]
        }
    }
}

fn counter() -> stmt::Statement<'static> {
    stmt::Statement::Counter(stmt::Counter::Anonymous(None))
}

fn protocol() -> Expression<'static> {
    meta(MetaKey::L4proto)
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn find_number(family: Family, end: End, numbers: &str) -> stmt::Statement<'static> {
    set_priority(Expression::Named(NamedExpression::Map(Box::new(Lookup {
        key: field(family.header(), end.field()),
        data: reference(numbers),
    }))))
}

fn set_priority(value: Expression<'_>) -> stmt::Statement<'_> {
    stmt::Statement::Mangle(Mangle {
        key: meta(MetaKey::Priority),
        value,
    })
}

fn ct(key: &'static str) -> Expression<'static> {
    Expression::Named(NamedExpression::CT(CT {
        key: key.into(),
        family: None,
        dir: None,
    }))
}

/// A set that a rule has for itself.
fn one_of(connections: &[ConnectionId]) -> Expression<'static> {
    let items = connections
        .iter()
        .map(|connection| SetItem::Element(Expression::Number(connection.number())));
    Expression::Named(NamedExpression::Set(items.collect()))
}

fn prefix(range: &IpNet) -> Expression<'static> {
    Expression::Named(NamedExpression::Prefix(Prefix {
        addr: Box::new(Expression::String(range.network().to_string().into())),
        len: range.prefix_len().into(),
    }))
}

fn matches<'a>(left: Expression<'a>, op: Operator, right: Expression<'a>) -> stmt::Statement<'a> {
    stmt::Statement::Match(Match { left, right, op })
}

fn ask<'a>(key: Expression<'a>, map: &str) -> stmt::Statement<'a> {
    stmt::Statement::VerdictMap(VerdictMap {
        key,
        data: reference(map),
    })
}

fn reference(set: &str) -> Expression<'static> {
    Expression::String(format!("@{set}").into())
}

fn field(protocol: &'static str, field: &'static str) -> Expression<'static> {
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(
        PayloadField {
            protocol: protocol.into(),
            field: field.into(),
        },
    )))
}

fn concat<'a>(parts: impl Into<Vec<Expression<'a>>>) -> Expression<'a> {
    Expression::Named(NamedExpression::Concat(parts.into()))
}

fn go(target: &Target) -> stmt::Statement<'_> {
    let to = |chain| JumpTarget {
        target: Cow::Borrowed(chain),
    };
    match target {
        Target::Return => stmt::Statement::Return(None),
        Target::Jump(chain) => stmt::Statement::Jump(to(chain)),
        Target::Goto(chain) => stmt::Statement::Goto(to(chain)),
    }
}

/// A set or map as `add` and `delete` take it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Declaration<'a> {
    Set(Declared<'a>),
    Map(Declared<'a>),
}

#[derive(Serialize)]
struct Declared<'a> {
    family: &'static str,
    table: &'static str,
    name: &'a str,
    #[serde(rename = "type")]
    key: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<&'static str>,
}

fn declaration(map: &Map) -> Declaration<'_> {
    let declared = Declared {
        family: "inet",
        table: TABLE,
        name: &map.name,
        key: key_type(map.key),
        map: map.values.map(|values| match values {
            ValueType::Verdict => "verdict",
            ValueType::Number => "classid",
        }),
        flags: if map.has_intervals {
            vec!["interval"]
        } else {
            Vec::new()
        },
    };
    if map.values.is_some() {
        Declaration::Map(declared)
    } else {
        Declaration::Set(declared)
    }
}

fn key_type(key: KeyType) -> Value {
    let address = |family| match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    };
    match key {
        KeyType::Address(family) => json!(address(family)),
        KeyType::AddressPair(family) => json!([address(family), address(family)]),
        KeyType::Port => json!(["inet_proto", "inet_service"]),
        KeyType::Icmpv6Type => json!("icmpv6_type"),
        KeyType::Number => json!("classid"),
    }
}

#[derive(Serialize)]
struct Members<'a> {
    family: &'static str,
    table: &'static str,
    name: &'a str,
    elem: Vec<Value>,
}

impl<'a> Members<'a> {
    fn new(map: &'a Map, elements: &[Element]) -> Self {
        Self {
            family: "inet",
            table: TABLE,
            name: &map.name,
            elem: elements.iter().map(element).collect(),
        }
    }
}

fn element(element: &Element) -> Value {
    let mut value = key(element.key);
    if let Some(comment) = &element.comment {
        value = json!({ "elem": { "val": value, "comment": comment } });
    }
    match &element.value {
        None => value,
        Some(Held::Verdict(target)) => json!([value, go(target)]),
        Some(Held::Number(number)) => json!([value, number.handle()]),
    }
}

fn key(key: Key) -> Value {
    match key {
        Key::Address(address) => json!(address),
        Key::AddressRange(first, last) if first == last => json!(first),
        Key::AddressRange(first, last) => json!({ "range": [first, last] }),
        Key::AddressPair(source, destination) => json!({ "concat": [source, destination] }),
        Key::Ports(protocol, range) => {
            let ports = if range.first() == range.last() {
                json!(range.first())
            } else {
                json!({ "range": [range.first(), range.last()] })
            };
            json!({ "concat": [protocol.to_string().to_lowercase(), ports] })
        }
        Key::Icmpv6Type(number) => json!(number),
        Key::Number(number) => json!(number.handle()),
    }
}
