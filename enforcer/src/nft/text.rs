//! A transaction as a script for `nft -f`: what a person reads and can try by hand.

use std::fmt::{self, Write as _};

use super::{
    PRIORITY, TABLE,
    transaction::{Chain, Element, Family, Hook, KeyType, Map, Operation, Transaction, ValueType},
};

/// The transaction in nft's language, one command per line.
pub fn render_text(transaction: &Transaction) -> String {
    let mut text = String::new();
    for operation in transaction.operations() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", Command(operation));
    }
    text
}

struct Command<'a>(&'a Operation);

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Operation::AddTable => write!(f, "add table inet {TABLE}"),
            Operation::DeleteTable => write!(f, "delete table inet {TABLE}"),
            Operation::AddMap(map) => {
                write!(f, "add {} {{ {} }}", Named(map), declaration(map))
            }
            Operation::DeleteMap(map) => write!(f, "delete {}", Named(map)),
            Operation::AddChain(chain) => add_chain(f, chain),
            Operation::DeleteChain(chain) => write!(f, "delete chain inet {TABLE} {}", chain.name),
            Operation::FlushChain(chain) => write!(f, "flush chain inet {TABLE} {}", chain.name),
            Operation::AddRule { chain, rule } => {
                write!(f, "add rule inet {TABLE} {chain} {rule}")
            }
            Operation::AddElements { map, elements } => {
                let name = &map.name;
                write!(f, "add element inet {TABLE} {name} {{ {} }}", All(elements))
            }
            Operation::DeleteElements { map, elements } => {
                let name = &map.name;
                write!(
                    f,
                    "delete element inet {TABLE} {name} {{ {} }}",
                    All(elements)
                )
            }
        }
    }
}

struct Named<'a>(&'a Map);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.values.is_some() {
            "map"
        } else {
            "set"
        };
        write!(f, "{kind} inet {TABLE} {}", self.0.name)
    }
}

fn declaration(map: &Map) -> String {
    let address = |family| match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    };
    let mut text = "type ".to_owned();
    text += &match map.key {
        KeyType::Address(family) => address(family).to_owned(),
        KeyType::AddressPair(family) => format!("{0} . {0}", address(family)),
        KeyType::Port => "inet_proto . inet_service".to_owned(),
        KeyType::Icmpv6Type => "icmpv6_type".to_owned(),
        KeyType::Number => "classid".to_owned(),
    };
    text += match map.values {
        None => "",
        Some(ValueType::Verdict) => " : verdict",
        Some(ValueType::Number) => " : classid",
    };
    text += ";";
    if map.has_intervals {
        text += " flags interval;";
    }
    text
}

fn add_chain(f: &mut fmt::Formatter<'_>, chain: &Chain) -> fmt::Result {
    write!(f, "add chain inet {TABLE} {}", chain.name)?;
    match chain.hook {
        None => Ok(()),
        Some(Hook::Forward) => write!(
            f,
            " {{ type filter hook forward priority {PRIORITY}; policy accept; }}"
        ),
    }
}

struct All<'a>(&'a [Element]);

impl fmt::Display for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, element) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{element}")?;
        }
        Ok(())
    }
}
